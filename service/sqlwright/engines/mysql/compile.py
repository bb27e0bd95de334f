"""From a query to the text that MariaDB gets: aiomysql puts values in on this side, as `%s` in text whose `%` are
doubled.

`sql` has `?` in their place: it is what `show` prints and what the server prepares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlwright.engines.base import Program
from sqlwright.engines.mysql.encode import Encoders
from sqlwright.query import Description, Query, Slot, Values, Window
from sqlwright.sql.statement import render

# No parser reads a NUL, so that nothing else in a statement is like it.
_MARK = "\0"
_NO_ITEMS = "IN (SELECT NULL FROM DUAL WHERE FALSE)"
"""A list of nothing: what is compared with it is not in it, NULL neither."""


@dataclass(frozen=True, slots=True)
class MySQLDescription(Description):
    windows: bool = False
    """LIMIT and OFFSET can follow the statement."""
    ties: int = 0
    """Ordinals of so many columns are appended to a page's ORDER BY, so that pages agree on the order of equals."""
    as_text: frozenset[int] = frozenset()
    """Uses of parameters, from 0, where a number goes as text: compared with a number, every text that does not begin
    with digits would be 0."""


@dataclass(frozen=True, slots=True)
class MySQLProgram(Program):
    """`order` names the parameter of each `?`. `positions` gives for each the index into the call's values."""

    positions: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()
    """What stands around the uses of parameters, `%` doubled: one more than `slots`."""
    slots: tuple[Slot, ...] = ()
    windowed: str = ""
    """What follows for a page, `%s` for rows + 1 and offset; empty where nothing can."""
    template: str = ""
    """All of it with `%s`, where no value changes it; empty where one does."""
    as_text: frozenset[int] = frozenset()
    encoder: Encoders = field(default_factory=Encoders)


def compile_query(query: Query, description: Description | None, *, big_numbers_as_text: bool) -> MySQLProgram:
    numbers = {parameter.name: number for number, parameter in enumerate(query.parameters)}
    slots = tuple(part for part in query.statement.parts if isinstance(part, Slot))
    marked = render(query.statement, lambda _: _MARK).text.replace("%", "%%")
    columns = description.columns if description is not None else ()
    own = description if isinstance(description, MySQLDescription) else MySQLDescription({})
    return MySQLProgram(
        query,
        prepared_text(query),
        tuple(slot.name for slot in slots),
        positions=tuple(numbers[slot.name] for slot in slots),
        pieces=tuple(marked.split(_MARK)),
        slots=slots,
        windowed=page_tail(own.ties, "%s") if own.windows else "",
        template="" if any(slot.is_list for slot in slots) else marked.replace(_MARK, "%s"),
        as_text=own.as_text,
        encoder=Encoders(columns, big_numbers_as_text=big_numbers_as_text),
    )


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
        arguments[use] = _as_text(arguments[use])
    if not text:
        text, arguments = _with_lists(program, arguments)
    if window is not None and program.windowed:
        text += program.windowed
        arguments += [window.rows + 1, window.offset]
    return text, arguments


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


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, int) else value
