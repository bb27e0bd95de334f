"""From a query to the exact text that PostgreSQL gets: placeholders, and the frame in which it writes the JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlwright.engines.base import Program
from sqlwright.engines.postgres.arrays import Arrays, compile_arrays
from sqlwright.engines.postgres.proof import NOTHING, Proof
from sqlwright.engines.postgres.types import placeholder
from sqlwright.query import Access, Cardinality, Column, Description, Kind, Query, Slot, SqlType, Statement
from sqlwright.sql.statement import render

_CTE = "__sqlwright"
SEPARATOR = "\x01"
"""Between the rows of a page: no JSON has it, since its strings escape it."""
FIRST = " LIMIT 1"
_ONE_ROW = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
_ONE_VALUE = frozenset({Cardinality.VALUE, Cardinality.INSERT})
OBJECTS = _ONE_ROW | {Cardinality.MANY}
"""Cardinalities whose rows become JSON objects, which need a name of its own for every column."""
_NOT_IN_FROM = frozenset({"show", "explain", "call", "fetch", "execute"})
"""Statements that give rows and yet cannot stand inside another one."""


@dataclass(frozen=True, slots=True)
class PostgresDescription(Description):
    casts: frozenset[str] = frozenset()
    """Parameters that must be cast although they go natively: their declared type is not what the context tells."""
    ties: tuple[int, ...] = ()
    """Ordinals of columns that are appended to a page's ORDER BY, so that ties break the same way on every page."""
    proof: Proof = NOTHING
    orders_all: bool = False
    """The statement orders its rows to the last by itself."""
    many: bool = False
    """The statement for several items was tried."""


@dataclass(slots=True)
class Observed:
    """What is known of a query's answers."""

    row_bytes: int = 0
    """The mean size of the rows on the page where it was largest; 0 before there was one."""


@dataclass(frozen=True, slots=True)
class PostgresProgram(Program):
    """`sql` gives every row. A window's rows + 1 and offset are bound after the values."""

    gives: str = "rows"
    """`rows` (JSON objects), `one`, `value`, `count` (of rows), `nothing` (the status tag tells), `records`."""
    windowed: str = ""
    window_has_offset: bool = True
    bounded: str = ""
    """`windowed`, with null for the rows from where they have more bytes than the last value says."""
    page: str = ""
    """`windowed` as one row (`as_one_row`)."""
    page_bounded: str = ""
    observed: Observed = field(default_factory=Observed, compare=False)
    refuses_second_row: bool = False
    """A second row makes the statement fail with 21000 and so undoes the write."""
    many_bounded: str = ""
    """`many` with `bounded` in it."""
    many_lists: frozenset[int] = frozenset()
    """Indexes of the values that are one for all items, because they are lists."""
    many_whole: bool = False
    """`many` serves calls that want all rows, too: it orders them no further than the statement does."""
    in_order: bool = False
    """The order of rows on a page is told by the statement, to the last tie."""
    arrays: Arrays | None = None
    """Of a bulk query: many items in one statement."""
    plain: str = ""
    """The statement as the file has it, without what makes JSON of its rows: what people want the plan of."""


def slots(query: Query, write: Callable[[str, int], str]) -> Callable[[Slot], str]:
    """The callback of `render`: `write(name, number)` gives the placeholder of a parameter."""
    numbers = {parameter.name: number for number, parameter in enumerate(query.parameters, 1)}

    def slot(slot: Slot) -> str:
        text = write(slot.name, numbers[slot.name])
        if slot.negated is None:
            return text
        return f"<> ALL ({text})" if slot.negated else f"= ANY ({text})"

    return slot


def compile_query(query: Query, description: Description | None, *, big_numbers_as_text: bool) -> PostgresProgram:
    types = description.types if description is not None else {}
    casts = description.casts if isinstance(description, PostgresDescription) else frozenset(types)
    slot = slots(query, lambda name, number: placeholder(f"${number}", types.get(name), cast=name in casts))
    plain = render(query.statement, slot).text
    return replace(_framed(query, description, plain, slot, big_numbers_as_text), plain=plain)


def compile_read(
    query: Query, description: PostgresDescription, plain: str, big_numbers_as_text: bool
) -> PostgresProgram:
    """The program of a read with `plain` as its statement, whose columns may be called otherwise there."""
    single = query.cardinality in _ONE_VALUE
    frame = _Frame(description.columns, big_numbers_as_text, single=single, named=True)
    return _read(query, plain, tuple(parameter.name for parameter in query.parameters), frame, description.ties)


def _framed(
    query: Query, description: Description | None, plain: str, slot: Callable[[Slot], str], big_numbers_as_text: bool
) -> PostgresProgram:
    order = tuple(parameter.name for parameter in query.parameters)
    if description is None or query.cardinality is Cardinality.SCRIPT:
        return PostgresProgram(query, plain, order, gives="nothing")
    if query.cardinality is Cardinality.BULK:
        casts = description.casts if isinstance(description, PostgresDescription) else frozenset()
        arrays = compile_arrays(query, description.types, casts)
        return PostgresProgram(query, _counting(query.statement, plain), order, gives="count", arrays=arrays)
    if not description.columns:
        return PostgresProgram(query, plain, order, gives="nothing")
    if query.statement.verb in _NOT_IN_FROM:
        gives = "nothing" if query.cardinality is Cardinality.EXEC else "records"
        return PostgresProgram(query, plain, order, gives=gives)
    single = query.cardinality in _ONE_VALUE
    frame = _Frame(description.columns, big_numbers_as_text, single=single)
    if query.access is Access.READ:
        ties = description.ties if isinstance(description, PostgresDescription) else ()
        return _read(query, plain, order, frame, ties)
    return _write(query, slot, order, frame)


def _read(query: Query, plain: str, order: tuple[str, ...], frame: _Frame, ties: tuple[int, ...]) -> PostgresProgram:
    source = f"(\n{plain}\n) AS t{frame.alias}"
    if query.cardinality is Cardinality.EXEC:
        return PostgresProgram(query, select("count(*)", source), order, gives="count")
    if query.cardinality in _ONE_VALUE:
        return PostgresProgram(query, f"{select(frame.value, source)}{FIRST}", order, gives="value")
    if query.cardinality in _ONE_ROW:
        return PostgresProgram(query, frame.rows(source) + " LIMIT 2", order, gives="one")
    number = len(order) + 1
    if query.statement.has_limit:
        windowed = f"{frame.rows(source)} LIMIT ${number}"
    else:
        windowed = _page(plain, frame, ties, f" LIMIT ${number} OFFSET ${number + 1}")
    paged = not query.statement.has_limit
    bounded = _bounded(windowed, number + 1 + paged)
    return PostgresProgram(
        query,
        frame.rows(source),
        order,
        windowed=windowed,
        bounded=bounded,
        page=as_one_row(windowed),
        page_bounded=as_one_row(bounded),
        window_has_offset=paged,
        in_order=len(ties) == frame.width,
    )


def as_one_row(rows: str) -> str:
    """How many rows of JSON there are, how many are not null, and those joined by `SEPARATOR`: the driver takes as long
    for each row as the server does to write its JSON."""
    what = f"count(*) AS n, count(t.j) AS fitting, string_agg(t.j, E'\\x{ord(SEPARATOR):02x}') AS j"
    return select(what, f"(\n{rows}\n) AS t(j)")


def _bounded(windowed: str, number: int) -> str:
    # For small rows the sum costs the database half as much again, so this is for the others.
    total = "sum(octet_length(j) + 1) OVER (ROWS UNBOUNDED PRECEDING)"
    return select(f"CASE WHEN {total} <= ${number}::int8 + 1 THEN j END", f"(\n{windowed}\n) AS t(j)")


def _page(plain: str, frame: _Frame, ties: tuple[int, ...], window: str) -> str:
    ordered = f"{plain}\n{''.join(f', {ordinal}' for ordinal in ties)}"
    if len(ties) == frame.width:
        return frame.rows(f"(\n{ordered}{window}\n) AS t{frame.alias}")
    # Rows that the order does not tell apart come as the plan has them, and PostgreSQL plans and sorts another way for
    # another window. Behind this fence it does not see the window; it still stops when the page is full.
    with_list = f"WITH {_CTE}{frame.alias} AS MATERIALIZED (\n{ordered}\n)\n"
    return with_list + frame.rows(f"{_CTE} AS t") + window


def _write(query: Query, slot: Callable[[Slot], str], order: tuple[str, ...], frame: _Frame) -> PostgresProgram:
    """The statement becomes the last entry of its own WITH list: data may be changed only at the top level there."""
    statement = query.statement
    before = render(replace(statement, parts=statement.parts[: statement.main]), slot).text.rstrip()
    main = render(replace(statement, parts=statement.parts[statement.main :], main=0), slot).text
    head = f"{before}, " if before else "WITH "
    with_list = f"{head}{_CTE}{frame.alias} AS (\n{main}\n)\n"
    source = f"{_CTE} AS t"
    if query.cardinality is Cardinality.EXEC:
        return PostgresProgram(query, with_list + select("count(*)", source), order, gives="count")
    if query.cardinality is Cardinality.MANY:
        return PostgresProgram(query, with_list + frame.rows(source), order)
    single = query.cardinality in _ONE_VALUE
    inner = select(frame.value, source) if single else frame.rows(source)
    return PostgresProgram(
        query,
        f"{with_list}SELECT ({inner})",
        order,
        gives="value" if single else "one",
        refuses_second_row=True,
    )


def _counting(statement: Statement, plain: str) -> str:
    """Rows come back only where RETURNING asks for them; that they do is how a bulk call counts."""
    if statement.verb in ("insert", "update", "delete") and not statement.has_returning:
        return f"{plain}\nRETURNING 1"
    return plain


class _Frame:
    """How the columns of a statement become JSON, in a FROM that calls them `t` and adds `alias` to it.

    Where a column needs another form, all are renamed and get their names back outside: names are data, and quoted.
    """

    def __init__(
        self, columns: Sequence[Column], big_numbers_as_text: bool, *, single: bool, named: bool = False
    ) -> None:
        names = [f"t.c{number}" for number in range(1, len(columns) + 1)]
        forms = [_form(name, column.type, big_numbers_as_text) for name, column in zip(names, columns, strict=True)]
        self._list = ", ".join(f"{form} AS {_quoted(column.name)}" for form, column in zip(forms, columns, strict=True))
        self._plain = forms == names
        self.width = len(names)
        self.value = f"to_json({forms[0]})::text"
        self.alias = "" if self._plain and not single else f"({', '.join(name[2:] for name in names)})"
        if named and not self.alias:
            self.alias = f"({', '.join(_quoted(column.name) for column in columns)})"

    def rows(self, source: str) -> str:
        """One text of JSON per row."""
        if self._plain:
            return select("row_to_json(t.*)::text", source)
        return select("row_to_json(r.*)::text", f"({select(self._list, source)}) AS r")


def select(what: str, source: str) -> str:
    return " ".join(("SELECT", what, "FROM", source))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _form(column: str, type: SqlType | None, big_numbers_as_text: bool) -> str:
    """What JSON is made of where row_to_json would write another form than the documented one."""
    if type is None:
        return column
    if type.kind is Kind.BYTES:
        if not type.array:
            return _base64(column)
        items = select(_base64("i.b"), f"unnest({column}) WITH ORDINALITY AS i(b, n) ORDER BY i.n")
        return f"CASE WHEN {column} IS NOT NULL THEN ARRAY({items}) END"
    if big_numbers_as_text and type.kind in (Kind.INT8, Kind.NUMERIC):
        return f"{column}::text[]" if type.array else f"{column}::text"
    return column


def _base64(column: str) -> str:
    # PostgreSQL breaks lines at 76 characters.
    return f"translate(encode({column}, 'base64'), E'\\n', '')"
