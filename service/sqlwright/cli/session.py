"""One query for one command: the files, the database, and the values that the command line gives it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlwright.cli import options, output
from sqlwright.config import Settings
from sqlwright.contract import Contract, Contracts
from sqlwright.database import Database
from sqlwright.errors import MalformedRequest, SettingsError
from sqlwright.parameters import Call
from sqlwright.parameters.json_body import parse_json
from sqlwright.query import Cardinality, Kind, Parameter, Query
from sqlwright.registry import Registry, reload
from sqlwright.sql.dialect import Dialect

_NOTHING: Any = object()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NAME, its values, and where the database and the files are."""
    parser.add_argument("name", metavar="NAME", help="of the query, as `sqlwright list` prints it")
    parser.add_argument(
        "values", metavar="key=value", nargs="*", help="a parameter as text; written again for a list's next item"
    )
    parser.add_argument(
        "--params",
        metavar="FILE",
        help="parameters as a JSON object, - for standard input; a bulk query takes an array, or one object a line",
    )
    options.add_common(parser)


def find_query(settings: Settings, dialect: Dialect, name: str) -> Query:
    """The query, even when other files are wrong; of those only their number is told.

    Raises `UnknownQuery`; what is wrong is printed first if the name may hide behind it.
    """
    options.check_folder(settings)
    loaded = reload(Registry(()), settings.queries, dialect)
    errors = [diagnostic for diagnostic in loaded.diagnostics if diagnostic.severity == "error"]
    if name in loaded.registry:
        options.tell_of_errors(errors)
    else:
        output.diagnostics(errors, sys.stderr)
    return loaded.registry[name]


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[tuple[Database, Contracts]]:
    database = Database(settings)
    await database.open()
    try:
        yield database, Contracts(database, settings)
    finally:
        await database.close()


def type_name(parameter: Parameter) -> str | None:
    """As people write it; None where nothing tells the type."""
    if parameter.type is None or parameter.type.kind is Kind.ANY:
        return None
    return f"{parameter.type}[]" if parameter.is_list and not parameter.type.array else str(parameter.type)


@dataclass(frozen=True, slots=True)
class Given:
    """The values of a command line, not yet valid: `key=value` texts, or the JSON of --params."""

    pairs: list[tuple[str, str]]
    body: Any = _NOTHING

    @property
    def anything(self) -> bool:
        return bool(self.pairs) or self.body is not _NOTHING

    def call(self, contract: Contract) -> Call:
        """Raises `InvalidParameters` with every fault."""
        if self.body is not _NOTHING:
            return contract.validator.unpaged.from_json(self.body)
        return contract.validator.from_strings(self.pairs)

    def items(self, contract: Contract, items_max: int) -> list[tuple[Any, ...]]:
        """Raises `InvalidParameters` with the faults of all items."""
        body = self.body if self.body is not _NOTHING else [dict(self.pairs)]
        return contract.validator.bulk(body, items_max)


def read_given(arguments: argparse.Namespace, query: Query, settings: Settings) -> Given:
    """Raises `SettingsError` for what is no `key=value`, and `MalformedRequest` for what is no JSON."""
    pairs = []
    for text in arguments.values:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise SettingsError(f"{text!r} is not key=value", hint=f"for example {_example(query)}")
        pairs.append((name, value))
    if arguments.params is None:
        if query.cardinality is Cardinality.BULK and pairs:
            raise SettingsError(
                f"{query.name} is a bulk query: it takes --params FILE with an array of objects",
                hint=f"""echo '[{{"{pairs[0][0]}": …}}]' | sqlwright run {query.name} --params -""",
            )
        return Given(pairs)
    if pairs:
        raise SettingsError("key=value and --params cannot be mixed: take one of the two")
    content = _read(arguments.params)
    if query.cardinality is Cardinality.BULK and not content.lstrip().startswith(b"["):
        return Given([], _parse_lines(content, settings.json_depth_max))
    return Given([], parse_json(content, settings.json_depth_max))


def _example(query: Query) -> str:
    return f"{query.parameters[0].name if query.parameters else 'name'}=5"


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"--params {name}: {error.strerror or error}") from None


def _parse_lines(content: bytes, depth_max: int) -> list[object]:
    items = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                items.append(parse_json(line, depth_max))
            except MalformedRequest as error:
                raise MalformedRequest(f"line {number} of --params: {error}", hint=error.hint) from None
    return items
