"""One record per SQL dialect: how its text is lexed and what its type names mean.

A database is one record here and one file in `engines/`; nothing else asks which dialect it is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlwright.query import Kind


@dataclass(frozen=True, slots=True)
class Dialect:
    """Lexical facts. Sources: PostgreSQL's scan.l, SQLite's tokenize.c, MySQL's and MariaDB's reference manuals."""

    name: str
    """As in `search.postgresql.sql`."""
    nested_comments: bool = False
    open_comment_at_end: bool = False
    """A block comment may be left open at the end of the text."""
    hash_comments: bool = False
    dash_comment_needs_blank: bool = False
    """`--` starts a comment only before a blank or the end of the line."""
    backslash_in_strings: bool = False
    escape_string_prefixes: frozenset[str] = frozenset()
    """Letters before a quote that switch backslash escapes on: PostgreSQL's E."""
    dollar_quotes: bool = False
    string_quotes: str = "'"
    identifier_quotes: str = '"'
    bracket_identifiers: bool = False
    name_quote: str = '"'
    """What stands around the names of statements that we write. SQLite takes "a" for a string where no column has that
    name."""
    native_parameters: frozenset[str] = frozenset()
    """Characters that begin the dialect's own placeholders, refused with a hint: `?`, `$`, `@`."""
    last_insert_id: bool = False
    """The key of an inserted row is known without RETURNING."""
    returning: frozenset[str] = frozenset({"insert", "update", "delete"})
    """Statements that can end in RETURNING."""
    on_conflict: bool = True
    """`ON CONFLICT (key) DO …` is known; else `ON DUPLICATE KEY UPDATE`, for whatever key."""
    another_key: str = ""
    """What the database says of the division by zero that stands for a duplicate of another key: its own code."""
    default_row: str = "DEFAULT VALUES"
    """How an INSERT INTO a table goes on that gives no column a value."""
    default_in_update: bool = True
    """`SET column = DEFAULT` is known."""
    nulls_first: bool = False
    """An ascending order begins with NULL, not with the least value."""
    like_escape: str = ""
    """What follows a LIKE so that a backslash escapes in its pattern, where it does not by itself."""
    outside_transaction: frozenset[str] = frozenset()
    """First words of statements that refuse a transaction, or do nothing inside one."""
    undoable: frozenset[str] | None = None
    """First words of the statements that a rollback undoes; None for all. Any other commits what is open."""
    types: Mapping[str, Kind] = field(default_factory=dict)
    """Lower-case type name without length → kind; names that are missing are Kind.OTHER or follow `affinity`."""
    other_types: frozenset[str] | None = None
    """Types of Kind.OTHER that there are besides `types`; None where people can make types of their own."""
    has_poolers: bool = False
    """There are programs before the server that give each transaction another session."""
    has_plan_modes: bool = False
    """A statement can be planned for any values or for those of a call."""
    affinity: bool = False
    """Unknown type names follow SQLite's affinity rules (datatype3.html §3.1)."""
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Names of integer types whose range is not that of their kind, and of a time that is a span, in seconds."""

    def kind(self, type_name: str) -> Kind:
        """Kind of a type name as people write it: `NUMERIC(10, 2)`, `timestamp  with time zone`, `int`."""
        name = bare_type(type_name)
        found = self.types.get(name)
        if found is not None:
            return found
        return _affinity(name) if self.affinity else Kind.OTHER


def bare_type(type_name: str) -> str:
    """A type name in lower case, without a length: `timestamp(3) with time zone` → `timestamp with time zone`."""
    head, _, rest = type_name.lower().partition("(")
    return " ".join([*head.split(), *rest.partition(")")[2].split()])


def _affinity(name: str) -> Kind:
    if "int" in name:
        return Kind.INT8
    if any(word in name for word in ("char", "clob", "text")):
        return Kind.TEXT
    if "blob" in name:
        return Kind.BYTES
    if any(word in name for word in ("real", "floa", "doub")):
        return Kind.FLOAT8
    return Kind.NUMERIC if name else Kind.ANY


_COMMON: dict[str, Kind] = {
    "smallint": Kind.INT2, "int2": Kind.INT2,
    "integer": Kind.INT4, "int": Kind.INT4, "int4": Kind.INT4,
    "bigint": Kind.INT8, "int8": Kind.INT8,
    "numeric": Kind.NUMERIC, "decimal": Kind.NUMERIC, "dec": Kind.NUMERIC,
    "real": Kind.FLOAT4, "float4": Kind.FLOAT4,
    "double precision": Kind.FLOAT8, "double": Kind.FLOAT8, "float": Kind.FLOAT8, "float8": Kind.FLOAT8,
    "boolean": Kind.BOOL, "bool": Kind.BOOL,
    "text": Kind.TEXT, "string": Kind.TEXT, "str": Kind.TEXT, "varchar": Kind.TEXT, "char": Kind.TEXT,
    "character": Kind.TEXT, "character varying": Kind.TEXT,
    "date": Kind.DATE, "time": Kind.TIME, "time without time zone": Kind.TIME,
    "timestamp": Kind.TIMESTAMP, "timestamp without time zone": Kind.TIMESTAMP, "datetime": Kind.TIMESTAMP,
    "timestamptz": Kind.TIMESTAMPTZ, "timestamp with time zone": Kind.TIMESTAMPTZ,
    "uuid": Kind.UUID, "json": Kind.JSON,
}  # fmt: skip

POSTGRESQL = Dialect(
    name="postgresql",
    has_poolers=True,
    has_plan_modes=True,
    nested_comments=True,
    escape_string_prefixes=frozenset("eE"),
    dollar_quotes=True,
    native_parameters=frozenset("$"),
    outside_transaction=frozenset({"vacuum"}),
    types={
        **{k: v for k, v in _COMMON.items() if k not in ("string", "str", "datetime", "double")},
        "serial": Kind.INT4, "bigserial": Kind.INT8, "smallserial": Kind.INT2,
        "bpchar": Kind.TEXT, "name": Kind.TEXT, "citext": Kind.TEXT,
        "bytea": Kind.BYTES, "timetz": Kind.TIMETZ, "time with time zone": Kind.TIMETZ,
        "interval": Kind.INTERVAL, "jsonb": Kind.JSON,
    },
)  # fmt: skip

SQLITE = Dialect(
    name="sqlite",
    open_comment_at_end=True,
    identifier_quotes='"`',
    bracket_identifiers=True,
    name_quote="`",
    native_parameters=frozenset("?$@"),
    last_insert_id=True,
    default_in_update=False,
    nulls_first=True,
    like_escape=" ESCAPE '\\'",
    affinity=True,
    outside_transaction=frozenset({"pragma", "vacuum", "attach", "detach"}),
    types={
        **_COMMON,
        # Every integer of SQLite has 64 bits and every real is a double, whatever the declaration says.
        "smallint": Kind.INT8, "int2": Kind.INT8, "integer": Kind.INT8, "int": Kind.INT8, "int4": Kind.INT8,
        "real": Kind.FLOAT8, "float4": Kind.FLOAT8,
        "blob": Kind.BYTES, "bytea": Kind.BYTES, "jsonb": Kind.JSON, "any": Kind.ANY,
    },
)  # fmt: skip

_MYSQL_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}

_MYSQL_TIME_SECONDS = 838 * 3600 + 59 * 60 + 59
MYSQL = Dialect(
    name="mysql",
    hash_comments=True,
    dash_comment_needs_blank=True,
    backslash_in_strings=True,
    string_quotes="'\"",
    identifier_quotes="`",
    name_quote="`",
    native_parameters=frozenset("?"),
    last_insert_id=True,
    returning=frozenset({"insert", "delete"}),
    on_conflict=False,
    another_key="1365",
    default_row="() VALUES ()",
    nulls_first=True,
    other_types=frozenset({"enum", "set", "inet4", "inet6", "vector"}),
    undoable=frozenset(
        {"select", "values", "table", "with", "insert", "update", "delete", "replace", "load", "do", "set", "show",
         "explain", "describe", "desc"}
    ),
    types={
        **_COMMON,
        "tinyint": Kind.INT2, "mediumint": Kind.INT4, "year": Kind.INT2, "bit": Kind.INT8, "serial": Kind.INT8,
        **{f"{name} unsigned": Kind.INT8 if bits == 64 else Kind.INT4 for name, bits in _MYSQL_BITS.items()},
        "signed": Kind.INT8, "unsigned": Kind.INT8, "signed integer": Kind.INT8, "unsigned integer": Kind.INT8,
        "fixed": Kind.NUMERIC, "decimal unsigned": Kind.NUMERIC, "numeric unsigned": Kind.NUMERIC,
        # A column that says `float` has single precision (`types.py` of the engine); a header means the common word.
        "real": Kind.FLOAT8, "float unsigned": Kind.FLOAT8, "double unsigned": Kind.FLOAT8,
        "nchar": Kind.TEXT, "nvarchar": Kind.TEXT, "tinytext": Kind.TEXT, "mediumtext": Kind.TEXT,
        "longtext": Kind.TEXT,
        "blob": Kind.BYTES, "binary": Kind.BYTES, "varbinary": Kind.BYTES, "tinyblob": Kind.BYTES,
        "mediumblob": Kind.BYTES, "longblob": Kind.BYTES,
        # The internal form of a geometry: its SRID and WKB.
        **dict.fromkeys(
            ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
             "geometrycollection"), Kind.BYTES,
        ),
    },
    bounds={
        "tinyint": (-(2**7), 2**7 - 1), "mediumint": (-(2**23), 2**23 - 1), "year": (0, 2155), "bit": (0, 2**64 - 1),
        "time": (-_MYSQL_TIME_SECONDS, _MYSQL_TIME_SECONDS),
        **{f"{name} unsigned": (0, 2**bits - 1) for name, bits in _MYSQL_BITS.items()},
        "unsigned": (0, 2**64 - 1), "unsigned integer": (0, 2**64 - 1), "serial": (0, 2**64 - 1),
    },
)  # fmt: skip

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (POSTGRESQL, SQLITE, MYSQL)}
