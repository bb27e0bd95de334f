"""From a query to the text that MariaDB gets: aiomysql puts values in on this side, as `%s` in text whose `%` are
doubled.

`sql` has `?` in their place: it is what `show` prints and what the server prepares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlwright.engines.base import Program
from sqlwright.engines.mysql.encode import Encoders
from sqlwright.engines.mysql.keys import KeyColumn
from sqlwright.engines.mysql.many import ManyRows, many_rows
from sqlwright.engines.mysql.returning import condition, gives_rows, is_ours, split_update, without_returning
from sqlwright.engines.mysql.singles import Edit, as_double, edited, is_single, quoted
from sqlwright.query import Cardinality, Description, Query, Slot, Statement, Values, Window
from sqlwright.sql.statement import render

# No parser reads a NUL, so that nothing else in a statement is like it.
_MARK = "\0"
_ALL_ROWS = 2**64 - 1
_NO_ITEMS = "IN (SELECT NULL FROM DUAL WHERE FALSE)"
"""A list of nothing: what is compared with it is not in it, NULL neither."""


@dataclass(frozen=True, slots=True)
class MySQLDescription(Description):
    windows: bool = False
    """LIMIT and OFFSET can follow the statement."""
    ties: int = 0
    """Ordinals of so many columns are appended to a page's ORDER BY, so that pages agree on the order of equals."""
    in_frame: bool = False
    """The statement stands in the FROM of another, see `_Frame`."""
    as_text: frozenset[int] = frozenset()
    """Uses of parameters, from 0, where a number goes as text: compared with a number, every text that does not begin
    with digits would be 0."""
    key: tuple[KeyColumn, ...] = ()
    """By what the rows of an UPDATE with RETURNING are found again."""
    doubling: tuple[Edit, ...] = ()
    """What is sent in place of items of the RETURNING, see `singles.py`."""
    leaves_nothing: bool = False
    """The session need not be reset after it, see `traces.py`."""


@dataclass(frozen=True, slots=True)
class MySQLProgram(Program):
    """`order` names the parameter of each `?`. `positions` gives for each the index into the call's values."""

    positions: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()
    """What stands around the uses of parameters, `%` doubled: one more than `slots`."""
    slots: tuple[Slot, ...] = ()
    windowed: str = ""
    """What follows for a page, `%s` for rows + 1 and offset; empty where nothing can."""
    whole: str = ""
    """What follows where every row is wanted."""
    template: str = ""
    """All before that with `%s`, where no value changes it; empty where one does."""
    as_text: frozenset[int] = frozenset()
    leaves_nothing: bool = False
    encoder: Encoders = field(default_factory=Encoders)
    read_back: ReadBack | None = None
    many_rows: ManyRows | None = None
    """Of a bulk query: many rows in one statement."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The statements of an UPDATE with RETURNING, see `returning.py`."""

    lock: MySQLProgram
    change: tuple[MySQLProgram, MySQLProgram]
    read: tuple[MySQLProgram, MySQLProgram]
    at_once: bool
    key: tuple[KeyColumn, ...]
    condition: str
    """Stands before `IN (…)`, `%` doubled."""
    shown: tuple[str, str, str]


def compile_query(query: Query, description: Description | None, *, big_numbers_as_text: bool) -> MySQLProgram:
    own = description if isinstance(description, MySQLDescription) else MySQLDescription({})
    encoder = Encoders(own.columns, big_numbers_as_text=big_numbers_as_text)
    if query.cardinality is Cardinality.BULK and not is_ours(query):
        return replace(_compile(query, own, encoder), many_rows=many_rows(query, own.as_text))
    if not is_ours(query):
        return _part(query, doubled(query, own), own, encoder) if own.doubling else _compile(query, own, encoder)
    if not gives_rows(query):
        return _part(query, without_returning(query), own, encoder)
    return _read_back(query, own, encoder) if own.key else _compile(query, own, encoder)


def doubled(query: Query, description: MySQLDescription) -> Statement:
    return replace(query.statement, parts=edited(query.statement.parts, description.doubling))


def _read_back(query: Query, own: MySQLDescription, encoder: Encoders) -> MySQLProgram:
    made = split_update(query, own.key, own.doubling)
    programs = [_part(query, part, own, encoder) for part in (made.lock, *made.change, *made.read)]
    lock, before, after, reading, read = programs
    compared = condition(query, own.key)
    keys = f"{compared} IN (…)"
    shown = (lock.sql, f"{before.sql}{keys}{after.sql}", f"{reading.sql}{keys}{read.sql}")
    escaped = compared.replace("%", "%%")
    steps = ReadBack(lock, (before, after), (reading, read), made.at_once, own.key, escaped, shown)
    order = tuple(name for program in programs for name in program.order)
    return replace(lock, sql=";\n".join(shown), order=order, read_back=steps)


def _part(query: Query, statement: Statement, own: MySQLDescription, encoder: Encoders) -> MySQLProgram:
    """A statement made of parts of the query's: a use of a parameter keeps its place in the file."""
    uses = [part.offset for part in query.statement.parts if isinstance(part, Slot)]
    as_text = {uses[number] for number in own.as_text}
    slots = [part for part in statement.parts if isinstance(part, Slot)]
    numbers = frozenset(number for number, slot in enumerate(slots) if slot.offset in as_text)
    program = _compile(replace(query, statement=statement), replace(own, as_text=numbers), encoder)
    return replace(program, query=query)


def _compile(query: Query, own: MySQLDescription, encoder: Encoders) -> MySQLProgram:
    numbers = {parameter.name: number for number, parameter in enumerate(query.parameters)}
    slots = tuple(part for part in query.statement.parts if isinstance(part, Slot))
    frame = _Frame(query, own)
    marked = (frame.before + render(query.statement, lambda _: _MARK).text).replace("%", "%%")
    return MySQLProgram(
        query,
        frame.text(prepared_text(query)),
        tuple(slot.name for slot in slots),
        positions=tuple(numbers[slot.name] for slot in slots),
        pieces=tuple(marked.split(_MARK)),
        slots=slots,
        windowed=page_tail(own.ties, "%s") + frame.after if own.windows else "",
        whole=frame.whole,
        template="" if any(slot.is_list for slot in slots) else marked.replace(_MARK, "%s"),
        as_text=own.as_text,
        leaves_nothing=own.leaves_nothing,
        encoder=encoder,
    )


class _Frame:
    """A statement around one that gives single floats, of which the server's text keeps six digits: as doubles it
    keeps all.

    Without a LIMIT inside, MariaDB would drop the order.
    """

    def __init__(self, query: Query, description: MySQLDescription) -> None:
        self.before = self.after = self.whole = ""
        if description.in_frame:
            names = [(f"q.{quoted(c.name)}", c) for c in description.columns]
            items = [as_double(name, c.name) if is_single(c) else name for name, c in names]
            self.before = f"SELECT {', '.join(items)}\nFROM (\n"
            self.after = "\n) AS q"
            self.whole = self.after if query.statement.has_limit else f"\nLIMIT {_ALL_ROWS}{self.after}"

    def text(self, sql: str) -> str:
        return f"{self.before}{sql}{self.whole}"


def prepared_text(query: Query) -> str:
    return render(query.statement, placeholder).text


def placeholder(slot: Slot) -> str:
    if slot.negated is None:
        return "?"
    return f"{'NOT ' if slot.negated else ''}IN (?)"


def page_tail(ties: int, value: str) -> str:
    """What follows a statement to give a page of it. Its own line, because a statement may end in a comment."""
    return "".join(f", {n}" for n in range(1, ties + 1)) + f"\nLIMIT {value} OFFSET {value}"


def expand(program: MySQLProgram, values: Values, window: Window | None) -> tuple[str, list[Any]]:
    """The text and the arguments of one call. A list becomes as many `%s` as it has items."""
    text, arguments = program.template, [values[position] for position in program.positions]
    for use in program.as_text:
        arguments[use] = as_text(arguments[use])
    if not text:
        text, arguments = _with_lists(program, arguments)
    if window is None or not program.windowed:
        return text + program.whole, arguments
    return text + program.windowed, [*arguments, window.rows + 1, window.offset]


def _with_lists(program: MySQLProgram, values: Sequence[Any]) -> tuple[str, list[Any]]:
    pieces = [program.pieces[0]]
    arguments: list[Any] = []
    for slot, value, after in zip(program.slots, values, program.pieces[1:], strict=True):
        if slot.negated is None:
            pieces.append("%s")
            arguments.append(value)
        else:
            listed = f"IN ({', '.join(['%s'] * len(value))})" if value else _NO_ITEMS
            pieces.append(f"NOT {listed}" if slot.negated else listed)
            arguments += value
        pieces.append(after)
    return "".join(pieces), arguments


def as_text(value: Any) -> Any:
    """A number as its text, where a use of a parameter needs that."""
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, int) else value
