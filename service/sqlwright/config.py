"""Settings: one frozen object, from flags, environment variables, and a file. Nothing else reads the environment.

First found wins: a flag, `SQLWRIGHT_…` (and `DATABASE_URL`), `sqlwright.toml`, `[tool.sqlwright]` of `pyproject.toml`,
both in the folder where sqlwright starts. An empty variable counts as absent.

The sources are read here and not by pydantic-settings because a message must say *where* a wrong value was found, and
because a variable that no setting knows must stop the start: pydantic-settings merges its sources before it validates
and looks only at the variables it knows.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from sqlwright.address import parse_address
from sqlwright.errors import SettingsError

PREFIX = "SQLWRIGHT_"


def _split(value: object) -> object:
    """Lists come as one string, separated by commas, from flags and variables."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _no_boolean(value: object) -> object:
    """A file's `port = true` is a mistake, not the number 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False), BeforeValidator(_no_boolean)]
Lifetime = Annotated[float, Field(ge=0, le=86_400 * 7, allow_inf_nan=False), BeforeValidator(_no_boolean)]
SecondsOrNone = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False), BeforeValidator(_no_boolean)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_no_boolean)]
Connections = Annotated[int, Field(ge=1, le=1000), BeforeValidator(_no_boolean)]


class Settings(BaseModel):
    """Every key is a flag (`--page-rows-max`), a variable (`SQLWRIGHT_PAGE_ROWS_MAX`), a file entry (`page_rows_max`).

    A default that depends on another key follows it, so that setting one of a pair alone is never a contradiction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = Field(
        default="",
        description="where the data is: sqlite:///path, a path, postgresql://user@host/name, mysql://user@host/name",
    )
    read_urls: Names = Field(default=(), description="read replicas: more places to read from, separated by commas")
    queries: Path = Field(default=Path("queries"), description="the folder of .sql files")
    migrations: Path = Field(default=Path("migrations"), description="the folder of numbered .sql files of `migrate`")

    tables: Names = Field(default=(), description="tables and views to serve at /tables; * for all of them")

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: Annotated[int, BeforeValidator(_no_boolean)] = Field(
        default=8000, ge=0, le=65_535, description="port to listen on"
    )
    workers: Count = Field(default=1, le=256, description="server processes")
    allow_anonymous: bool = Field(default=False, description="listen beyond this machine without authentication")
    allowed_hosts: Names = Field(
        default=(), description="Host names to answer to, besides loopback and `host`; * for any"
    )
    allowed_origins: Names = Field(default=(), description="Origins whose pages may call, besides our own; * for any")

    reader_pool_size: Connections | None = Field(
        default=None, description="reading connections per worker and URL (10; SQLite 4)"
    )
    writer_pool_size: Connections | None = Field(
        default=None, description="writing connections per worker (5; SQLite always 1)"
    )
    pooler: Literal["none", "transaction"] = Field(
        default="none", description="`transaction` where PgBouncer or its like stands before PostgreSQL in that mode"
    )
    batching: Literal["on", "off"] = Field(
        default="on", description="reads that wait for each other run as one statement, where that is proven safe"
    )
    short_reads: Literal["loop", "thread"] = Field(
        default="loop",
        description="SQLite: reads of up to 1 ms run on the loop or the server's thread; `thread` for a slow disk",
    )
    waiting_max: Count = Field(default=1000, description="calls that may wait for a connection, per pool")
    connect_timeout_seconds: Seconds = Field(default=2.0, description="opening a connection")
    acquire_timeout_seconds: Seconds = Field(default=2.0, description="waiting for a connection")
    connection_lifetime_seconds: Lifetime = Field(
        default=1800.0, description="the age at which a connection is replaced; 0 for never"
    )
    connection_idle_seconds: Lifetime = Field(
        default=300.0, description="a connection that was not needed for so long is closed, but for one; 0 for never"
    )
    statement_timeout_seconds: Seconds = Field(default=5.0, description="a statement, where the query has no @timeout")
    lock_timeout_seconds: Seconds = Field(default=2.0, description="waiting for a lock")
    request_timeout_seconds: Seconds = Field(
        default_factory=lambda values: max(
            10.0, values["acquire_timeout_seconds"] + values["statement_timeout_seconds"]
        ),
        description="a whole request (10, more where a statement may take longer); a longer @timeout extends it",
    )
    header_timeout_seconds: Seconds = Field(
        default=10.0, description="receiving the headers of a request, and waiting for the next on a connection"
    )
    send_timeout_seconds: Seconds = Field(
        default=30.0, description="a caller that takes nothing more of its answer (Linux)"
    )
    stream_timeout_seconds: Seconds = Field(
        default=300.0, description="a whole answer in NDJSON or CSV; each fetch is a statement of its own"
    )
    streams_max: Connections | None = Field(
        default=None,
        description="answers in NDJSON or CSV at one time, per worker: each holds a reading connection (half of them)",
    )
    transaction_timeout_seconds: Seconds = Field(
        default=10.0, description="a whole transaction, where it names no timeout"
    )
    idle_in_transaction_timeout_seconds: Seconds = Field(
        default=5.0, description="doing nothing in a transaction, between two of its statements"
    )
    shutdown_delay_seconds: SecondsOrNone = Field(
        default=0.0, description="after a stop signal, not ready but still taking calls, for a balancer to notice"
    )
    drain_seconds: Seconds = Field(
        default=25.0, description="from a stop signal to the end; calls that still run are cut 2 s before"
    )

    body_bytes_max: Count = Field(default=1024 * 1024, description="size of a request body")
    bulk_body_bytes_max: Count = Field(default=16 * 1024 * 1024, description="size of the body of a bulk call")
    bulk_items_max: Count = Field(default=100_000, description="items of a bulk call")
    array_items_max: Count = Field(
        default=1000, description="items of an array call: a query that reads, once for each"
    )
    json_depth_max: Count = Field(default=64, description="nesting of a JSON body")
    transaction_steps_max: Count = Field(default=50, description="steps of a POST /transaction")
    table_statements_max: Count = Field(default=512, description="statements of /tables that are kept, the rarest go")
    page_rows_max: Count = Field(default=1000, description="most rows of a page, where the query has no @limit")
    page_rows: Count = Field(
        default_factory=lambda values: min(100, values["page_rows_max"]),
        description="rows of a page, where the query has no @limit (100, never more than page_rows_max)",
    )
    page_bytes_max: Count = Field(
        default=16 * 1024 * 1024, description="size of a page: fewer rows where they are large; also of a single row"
    )
    big_numbers: Literal["number", "string"] = Field(
        default="number", description="how bigint and numeric travel in JSON"
    )

    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="log lines: text for people, json for programs"
    )
    slow_ms: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_no_boolean)] = Field(
        default=500.0, description="calls that take longer are logged with their times; 0 for none"
    )
    log_calls: bool | None = Field(
        default=None, description="one log line a call (every one in a terminal, else only of calls that failed)"
    )

    reload: bool = Field(
        default=False, description="watch the query files and swap them in when they are saved (`dev`)"
    )

    @property
    def development(self) -> bool:
        """Full messages in answers and logs."""
        return self.reload

    @model_validator(mode="after")
    def _check_pairs(self) -> Settings:
        for keys, message in _contradictions(self):
            raise PydanticCustomError("pair", "{message}", {"message": message, "keys": keys})
        return self


def _contradictions(settings: Settings) -> Iterable[tuple[tuple[str, ...], str]]:
    """Pairs that cannot both be so: the keys, and what to do."""
    if settings.page_rows > settings.page_rows_max:
        yield ("page_rows", "page_rows_max"), "a page would have more rows than a page may have"
    if settings.shutdown_delay_seconds > settings.drain_seconds / 2:
        yield ("shutdown_delay_seconds", "drain_seconds"), "it would leave less than half of the drain to finish calls"
    if settings.reload and settings.workers > 1:
        yield ("reload", "workers"), "files are watched by one process; take `serve` for many workers"
    addresses = []
    for key, url in [("database_url", settings.database_url), *(("read_urls", url) for url in settings.read_urls)]:
        if url:
            try:
                addresses.append(parse_address(url, check_path=False))
            except SettingsError as error:
                reason = str(error).removeprefix("DATABASE_URL: ")
                yield (key,), f"{reason} ({error.hint})" if error.hint else reason
    if settings.pooler != "none" and not all(address.dialect.has_poolers for address in addresses):
        yield ("pooler", "database_url"), "only PostgreSQL has poolers of that kind"
    if settings.read_urls and not settings.database_url:
        yield ("read_urls",), f"replicas need the database that they copy ({variable('database_url')})"
    if len({address.dialect.name for address in addresses}) > 1:
        yield ("database_url", "read_urls"), "they must be the same kind of database"
    if any(address.in_memory for address in addresses):
        if settings.workers > 1:
            yield ("database_url", "workers"), "each worker would have an in-memory database of its own; take a file"
        if settings.read_urls:
            yield ("database_url", "read_urls"), "an in-memory database has no replicas; take a file"


ENVIRONMENT = {"database_url": "DATABASE_URL"}
"""Keys whose variable is not SQLWRIGHT_<KEY>."""

SECRET = frozenset({"database_url", "read_urls"})
"""Keys whose values may hold a password and are never shown."""


def variable(key: str) -> str:
    return ENVIRONMENT.get(key, PREFIX + key.upper())


def flag(key: str) -> str:
    return "--" + key.replace("_", "-")


class _Source(NamedTuple):
    place: Callable[[str], str]
    """How a message names a key found here."""
    values: Mapping[str, Any]


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from all sources; `arguments` of a program's own call win over all of them.

    Raises `SettingsError` naming every wrong key and where it was found.
    """
    environment = os.environ if environment is None else environment
    return _merged([*_sources(flags or {}, environment, folder or Path.cwd()), _arguments(arguments or {})])


def override(settings: Settings, arguments: Mapping[str, Any]) -> Settings:
    """The same settings but for these. Raises `SettingsError`."""
    kept = {key: getattr(settings, key) for key in settings.model_fields_set}
    return _merged([_Source(str, kept), _arguments(arguments)])


def _arguments(given: Mapping[str, Any]) -> _Source:
    return _Source(lambda key: f"argument {key}", {key: value for key, value in given.items() if value is not None})


def _merged(sources: Iterable[_Source]) -> Settings:
    """The last one that has a key wins."""
    found: dict[str, Any] = {}
    places: dict[str, str] = {}
    for source in sources:
        for key, value in source.values.items():
            if key not in Settings.model_fields:
                raise SettingsError(f"{source.place(key)}: there is no such setting", hint=_near(key))
            found[key] = value
            places[key] = source.place(key)
    try:
        return Settings(**found)
    except ValidationError as error:
        faults = [f for f in error.errors(include_url=False) if f["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(_message(fault, found, places) for fault in faults)) from None


def _message(fault: ErrorDetails, found: Mapping[str, Any], places: Mapping[str, str]) -> str:
    if fault["type"] == "pair":
        keys = fault["ctx"]["keys"]
        values = [places[key] + _shown(key, found) if key in places else _default(key) for key in keys]
        return f"{' with '.join(values)}: {fault['msg']}"
    key = str(fault["loc"][0])
    expected = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{places.get(key, key)}{_shown(key, found)}: {expected}"


def _default(key: str) -> str:
    return f"{key} = {Settings.model_fields[key].default} (the default)"


def _shown(key: str, found: Mapping[str, Any]) -> str:
    if key in SECRET or key not in found:
        return ""
    value = found[key]
    return f" = {','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _sources(flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> list[_Source]:
    """Weakest first."""
    known = {variable(key): key for key in Settings.model_fields}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            hint = _near(name[len(PREFIX) :].lower())
            raise SettingsError(f"environment variable {name}: there is no such setting", hint=hint)
    variables = {key: environment[name] for name, key in known.items() if environment.get(name, "") != ""}
    given = {key: value for key, value in flags.items() if value is not None}
    return [
        *_file_sources(folder),
        _Source(lambda key: f"environment variable {variable(key)}", variables),
        _Source(lambda key: f"flag {flag(key)}", given),
    ]


def _file_sources(folder: Path) -> list[_Source]:
    sources = []
    for name, path_in_file in (("pyproject.toml", ("tool", "sqlwright")), ("sqlwright.toml", ())):
        path = folder / name
        if not path.is_file():
            continue
        try:
            table: Any = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from None
        for part in path_in_file:
            table = table.get(part, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{path}: {part!r} must be a table of settings")
        sources.append(_Source(lambda key, name=name: f"{name}, key {key}", table))  # type: ignore[misc]
    return sources


def _near(key: str) -> str:
    spelled = key.lower().replace("-", "_")
    near = difflib.get_close_matches(spelled, Settings.model_fields, n=1)
    return f"did you mean {near[0]!r} ({variable(near[0])})?" if near else "`sqlwright serve --help` lists the settings"
