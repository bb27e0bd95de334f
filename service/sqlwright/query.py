"""The records that travel between the stages: what a file says, what the database says, what a call asks, what it got.

All are immutable and pickle, so that one process can compile a folder and others load the result.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from typing import Literal as OneOf

from sqlwright.diagnostic import Diagnostic, Severity


class Cardinality(StrEnum):
    """What a query gives. The values are the words of the header, as `sqlwright list --json` prints them."""

    MANY = "many"
    ONE = "one"
    ONE_OR_NONE = "one?"
    VALUE = "value"
    EXEC = "exec"
    RETURNING = "returning"
    INSERT = "insert"
    """The key of the inserted row where the engine tells it without RETURNING (SQLite, MySQL)."""
    BULK = "bulk"
    SCRIPT = "script"


class Access(StrEnum):
    READ = "read"
    WRITE = "write"
    SCRIPT = "script"


Isolation = OneOf["read_committed", "repeatable_read", "serializable"]
"""What a transaction may ask for. An engine gives that or a stronger one, never a weaker."""
ISOLATIONS: tuple[Isolation, ...] = ("read_committed", "repeatable_read", "serializable")

PlanMode = OneOf["auto", "generic", "custom"]
PLAN_MODES: tuple[PlanMode, ...] = ("auto", "generic", "custom")


class Kind(StrEnum):
    """What a value is, across engines. It decides how JSON and query-string values are read and written."""

    INT2 = "int2"
    INT4 = "int4"
    INT8 = "int8"
    NUMERIC = "numeric"
    FLOAT4 = "float4"
    FLOAT8 = "float8"
    BOOL = "bool"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    TIMETZ = "timetz"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    INTERVAL = "interval"
    UUID = "uuid"
    JSON = "json"
    OTHER = "other"
    """A type of the database's own (enum, inet, range, composite …): goes in and comes out as text."""
    ANY = "any"
    """Nothing tells the type: text from a query string, its own scalar type from JSON."""


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type as written or as the database names it (`name`), its `kind`, and whether it is a list of that."""

    name: str
    kind: Kind
    array: bool = False
    scale: int | None = None
    """Digits after the point of a NUMERIC(p, s)."""
    bounds: tuple[int, int] | None = None
    """The least and the greatest integer, where they are not those of the kind (unsigned ones, a year); of a time that
    is a span, its seconds."""

    def __str__(self) -> str:
        return self.name + "[]" if self.array else self.name


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in a header: a number, 'string', true, false, null or a bareword."""

    text: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.text.lower() == "null"


@dataclass(frozen=True, slots=True)
class Rules:
    """The RULEs of `-- @param`. `allowed` empty means anything; lengths are in characters."""

    allowed: tuple[Literal, ...] = ()
    minimum: str | None = None
    maximum: str | None = None
    length_min: int | None = None
    length_max: int | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A `:name` of a statement with what its `-- @param` line says; `type` is None while nothing tells it."""

    name: str
    type: SqlType | None = None
    nullable: bool = False
    default: Literal | None = None
    rules: Rules = Rules()
    doc: str = ""
    is_list: bool = False
    """Used as `IN (:name)`: takes a list, whatever tells the type of its items."""
    offset: int = 0
    """Where to point when this parameter is wrong: its `@param` line, else its first use."""

    @property
    def required(self) -> bool:
        return self.default is None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The text of a query file, shared by its queries; turns offsets (characters from 0) into lines and columns."""

    path: str
    text: str
    line_starts: tuple[int, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]
        object.__setattr__(self, "line_starts", tuple(starts))

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        start = self.line_starts[line - 1]
        end = self.line_starts[line] if line < len(self.line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def diagnostic(
        self, code: str, offset: int, message: str, hint: str = "", *, length: int = 1, severity: Severity = "error"
    ) -> Diagnostic:
        line, column = self.locate(min(offset, len(self.text)))
        return Diagnostic(severity, self.path, line, column, code, message, hint, self.line_text(line), length)


@dataclass(frozen=True, slots=True)
class Text:
    """SQL that is sent as it is. Comments are already cut; `offset` is where it stands in the file."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Slot:
    """One use of `:name`. With `negated` not None it stands for a whole `[NOT] IN (:name)` list."""

    name: str
    offset: int
    negated: bool | None = None

    @property
    def is_list(self) -> bool:
        return self.negated is not None


Part = Text | Slot


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as parts, with what the lexer learned about it. The trailing `;` is cut.

    `parts[main:]` is the statement without its leading WITH list (`main` is 0 where there is none).
    """

    parts: tuple[Part, ...]
    verb: str
    """First word of the main statement, lower case: select, insert, update, delete, values, …"""
    main: int = 0
    has_returning: bool = False
    writes_in_cte: bool = False
    has_order_by: bool = False
    """The main statement ends in ORDER BY, with or without a LIMIT after it."""
    has_limit: bool = False
    """The main statement ends in a LIMIT, OFFSET or FETCH of its own, or in a locking clause."""
    is_compound: bool = False
    """UNION, INTERSECT or EXCEPT at the outermost level."""


@dataclass(frozen=True, slots=True)
class Query:
    """One named query as its file says it."""

    name: str
    cardinality: Cardinality
    access: Access
    statement: Statement
    parameters: tuple[Parameter, ...]
    source: SourceFile
    offset: int
    """Where the header (or the statement of a headerless file) starts."""
    doc: str = ""
    timeout_seconds: float | None = None
    page_rows: int | None = None
    page_rows_max: int | None = None
    isolation: Isolation | None = None
    """The query runs in a transaction of its own with this isolation level."""
    batch: bool = True
    """Calls of it may run together where they wait for each other, if that is proven to be the same."""
    plan_mode: PlanMode | None = None
    """How PostgreSQL plans it: for any values (generic), for each call's (custom), or as it thinks best."""

    @property
    def line(self) -> int:
        return self.source.locate(self.offset)[0]

    @property
    def file(self) -> str:
        return self.source.path

    @property
    def is_paged(self) -> bool:
        """Many-row reads are paged over HTTP."""
        return self.cardinality is Cardinality.MANY and self.access is Access.READ


@dataclass(frozen=True, slots=True)
class Column:
    """A result column. `nullable` is False only where that is certain."""

    name: str
    type: SqlType | None = None
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Description:
    """What the database says about a query without running it."""

    types: Mapping[str, SqlType]
    """Parameter name → type, for those the database (or a column they meet) tells."""
    columns: tuple[Column, ...] = ()


UNBOUNDED = 2**62
"""Bytes, where there is no bound."""


class Window(NamedTuple):  # part of the key of each call's line: its hash is to cost nothing
    """Which rows of a many-row read to give: `rows` of them after the first `offset`."""

    rows: int
    offset: int = 0
    bytes_max: int = UNBOUNDED
    """Fewer rows where their JSON would have more bytes."""


@dataclass(slots=True)
class Result:
    """What a statement gave. `json` is UTF-8: the rows as JSON objects joined by commas, without brackets;
    for one row the object; for a value the value."""

    json: bytes = b""
    count: int = 0
    """Rows in `json`."""
    more: bool = False
    """There are rows after these."""
    affected: int = 0
    waited_seconds: float = 0.0
    """Waiting for a connection."""
    database_seconds: float = 0.0
    """From the first byte to the database to the last row encoded."""
    together: int = 1
    """How many calls ran in the statement, this one among them."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a database would run (or, analyzed, ran) a statement."""

    text: str
    """For people, several lines."""
    plan: Any
    """For programs: what JSON can hold."""
    analyzed: bool = False


Values = Sequence[Any]
"""Bound values in the order of `Query.parameters`, as the engine's driver takes them."""
