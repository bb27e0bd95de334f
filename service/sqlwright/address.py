"""Where the data is: a database URL in any of its spellings, read once and normalised for the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from sqlwright.errors import SettingsError
from sqlwright.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect

VARIABLE = "DATABASE_URL"
KNOWN = "sqlite:///path, postgresql://user@host/name, mysql://user@host/name"

_DIALECTS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "postgres": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}
_DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "aiomysql"}
_MYSQL_OPTIONS = (
    "unix_socket",
    "charset",
    "ssl",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    "ssl_verify_cert",
    "ssl_verify_identity",
)
_MYSQL_SWITCHES = ("ssl", "ssl_verify_cert", "ssl_verify_identity")
_MYSQL_CHARSETS = ("utf8mb4", "utf8")
_MEMORY = ":memory:"
_SEPARATORS = str.maketrans("", "", "+-_")


@dataclass(frozen=True, slots=True)
class Address:
    """A database. `url` may hold a password: it is never printed."""

    dialect: Dialect
    url: str = field(repr=False)
    """`postgresql://…` as asyncpg takes it, `sqlite:///path`, or `mysql://…` as `engines/mysql` reads it. It may name
    several hosts; `each_host` takes it apart."""
    path: Path | None = None
    in_memory: bool = False


def parse_address(url: str, *, check_path: bool = True) -> Address:
    """Read a URL or a plain path of a SQLite file. `check_path` False looks at the text alone, not at the disk.

    Raises `SettingsError` with one line that says what is wrong and what to write, never with the password in it.
    """
    address = _read(url.strip())
    if check_path and address.path is not None:
        _check_path(address.path)
    return address


def each_host(url: str) -> list[str]:
    """A URL for each of the hosts that a server's URL names, in their order."""
    parts = urlsplit(url)
    user, at, places = parts.netloc.rpartition("@")
    if "," not in places:
        return [url]
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{place}")) for place in places.split(",")]


def _read(url: str) -> Address:
    if not url:
        raise SettingsError(f"{VARIABLE} is not set", hint=f"for example {KNOWN}, or the path of a SQLite file")
    scheme, separator, rest = url.partition("://")
    if not separator:
        if url.lower().startswith("sqlite:") and url != "sqlite:":
            raise SettingsError(
                f"{VARIABLE}: sqlite needs slashes", hint="write sqlite:///path or sqlite:////absolute/path"
            )
        return _sqlite(url)
    name, _, driver = scheme.lower().partition("+")
    dialect = _DIALECTS.get(name)
    if dialect is None:
        raise SettingsError(f"{VARIABLE}: unknown scheme {_shown(scheme)!r}", hint=f"known are {KNOWN}")
    expected = _DRIVERS[dialect.name]
    if driver and driver != expected:
        raise SettingsError(
            f"{VARIABLE}: sqlwright reaches {dialect.name} through {expected}, not {_shown(driver)}",
            hint=f"write {dialect.name}:// or {dialect.name}+{expected}://",
        )
    return _READERS[dialect.name](rest)


def _shown(text: str) -> str:
    """A scheme is letters; anything else may be the start of a password that lost its place."""
    return text if len(text) <= 32 and text.translate(_SEPARATORS).isalnum() else "…"


def _sqlite_url(rest: str) -> Address:
    location, _, options = rest.partition("?")
    if options:
        key = parse_qsl(options, keep_blank_values=True)
        named = f" ({key[0][0]})" if key else ""
        raise SettingsError(
            f"{VARIABLE}: a sqlite URL takes no options{named}", hint="options are settings of their own"
        )
    if location in ("", "/"):
        return _sqlite(_MEMORY)
    if not location.startswith("/"):
        raise SettingsError(
            f"{VARIABLE}: sqlite://{location} names a host", hint=f"a file is sqlite:///{location} (three slashes)"
        )
    return _sqlite(unquote(location[1:]))


def _sqlite(location: str) -> Address:
    if location in (_MEMORY, "/" + _MEMORY):
        return Address(SQLITE, f"sqlite:///{_MEMORY}", None, in_memory=True)
    if "\0" in location:
        raise SettingsError(f"{VARIABLE}: the path holds a NUL character")
    path = Path(location).expanduser()
    return Address(SQLITE, f"sqlite:///{path}", path)


def _check_path(path: Path) -> None:
    if not path.parent.is_dir():
        raise SettingsError(f"{VARIABLE}: there is no folder {path.parent}", hint=f"create it: mkdir -p {path.parent}")
    if path.is_dir():
        raise SettingsError(f"{VARIABLE}: {path} is a folder, not a SQLite file")


def _postgresql_url(rest: str) -> Address:
    parts, options = _split(rest, "postgresql")
    _check_ports(parts.netloc.rpartition("@")[2], options.get("port", ""))
    # SQLAlchemy writes asyncpg's own name of it.
    query = parts.query.replace("ssl=", "sslmode=", 1) if "ssl" in options and "sslmode" not in options else parts.query
    return Address(POSTGRESQL, f"postgresql://{parts.netloc}{parts.path}" + (f"?{query}" if query else ""))


def _mysql_url(rest: str) -> Address:
    parts, options = _split(rest, "mysql")
    _check_ports(parts.netloc.rpartition("@")[2])
    if not parts.path.strip("/"):
        raise SettingsError(f"{VARIABLE}: the mysql URL names no database", hint="write mysql://user@host/name")
    for name, value in options.items():
        if name not in _MYSQL_OPTIONS:
            raise SettingsError(
                f"{VARIABLE}: a mysql URL has no option {_shown(name)!r}", hint=f"known are {', '.join(_MYSQL_OPTIONS)}"
            )
        if name in _MYSQL_SWITCHES and value.lower() not in ("true", "false"):
            raise SettingsError(f"{VARIABLE}: {name} of the mysql URL is neither true nor false")
    if options.get("charset", "utf8mb4").lower() not in _MYSQL_CHARSETS:
        raise SettingsError(f"{VARIABLE}: sqlwright speaks utf8mb4 with mysql", hint="leave charset out")
    query = urlencode(
        {name: v.lower() if name in _MYSQL_SWITCHES else v for name, v in options.items() if name != "charset"}
    )
    return Address(MYSQL, f"mysql://{parts.netloc}{parts.path}" + (f"?{query}" if query else ""))


def _split(rest: str, dialect: str) -> tuple[SplitResult, dict[str, str]]:
    """The parts and the options of a server's URL."""
    if "#" in rest or any(c.isspace() for c in rest):
        raise SettingsError(
            f"{VARIABLE}: a {dialect} URL has a blank or a # in it",
            hint="write special characters of a user or password as %20, %23, %40 …",
        )
    try:
        parts = urlsplit(f"{dialect}://{rest}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise SettingsError(f"{VARIABLE}: the {dialect} URL cannot be read", hint=f"for example {KNOWN}") from None
    if parts.netloc.count("@") > 1:
        # Some split at the first @, others at the last: refuse what would reach different hosts.
        raise SettingsError(
            f"{VARIABLE}: the {dialect} URL has more than one @", hint="an @ in a password is written %40"
        )
    return parts, options


def _check_ports(hosts: str, ports: str = "") -> None:
    if "," in hosts and not all(hosts.split(",")):
        raise SettingsError(f"{VARIABLE}: one of the hosts is empty", hint="write host1:port1,host2:port2")
    found = [host.rpartition("]")[2].partition(":")[2] for host in hosts.split(",")]
    for port in filter(None, [*found, *ports.split(",")]):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise SettingsError(
                f"{VARIABLE}: the port is not a number from 1 to 65535",
                hint="special characters of a password are written %3A, %40, %2F …",
            )


_READERS = {"sqlite": _sqlite_url, "postgresql": _postgresql_url, "mysql": _mysql_url}
