"""From an INSERT of one row to the pieces of one of many rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlwright.engines.inference.insert import of_parts, plain_insert
from sqlwright.query import Query, Slot
from sqlwright.sql.dialect import MYSQL
from sqlwright.sql.statement import render

_MARK = "\0"
_FUNCTIONS = frozenset({"if", "ifnull", "json_object", "unix_timestamp", "utc_timestamp", "uuid", "value", "values"})


@dataclass(frozen=True, slots=True)
class ManyRows:
    """An INSERT of many rows: `before`, rows made of `row`, `after`. In `row`, `%s` are the uses of parameters."""

    before: str
    row: str
    after: str
    positions: tuple[int, ...]
    """For each use, the index into an item's values."""
    as_text: frozenset[int]
    """Uses where a number goes as text."""
    schema: str | None
    table: str
    columns: tuple[str, ...]
    """In lower case."""
    alone: tuple[int | None, ...]
    """For each column, the index into an item's values, where its value is that and nothing more."""


def many_rows(query: Query, as_text: frozenset[int]) -> ManyRows | None:
    """The form of a bulk query for many rows; None where it is not plain."""
    insert = plain_insert(query, MYSQL, _FUNCTIONS)
    if insert is None or not insert.columns or len(insert.name) > 2 or any(p.is_list for p in query.parameters):
        return None
    slots = [part for value in insert.values for part in value if isinstance(part, Slot)]
    numbers = {parameter.name: number for number, parameter in enumerate(query.parameters)}
    row = ", ".join(_marked(query, value) for value in insert.values)
    alone = tuple(_alone(value, numbers) for value in insert.values)
    return ManyRows(
        before=f"{render(of_parts(query, insert.before).statement, str).text} VALUES ",
        row=f"({row.replace('%', '%%').replace(_MARK, '%s')})",
        after=f"\n{render(of_parts(query, insert.after).statement, str).text}",
        positions=tuple(numbers[slot.name] for slot in slots),
        as_text=as_text,
        schema=insert.name[0] if len(insert.name) == 2 else None,
        table=insert.name[-1],
        columns=tuple(name.strip("`").lower() for name in insert.columns),
        alone=alone,
    )


def _marked(query: Query, value: Sequence[Any]) -> str:
    return render(of_parts(query, value).statement, lambda _: _MARK).text


def _alone(value: Sequence[Any], numbers: dict[str, int]) -> int | None:
    matter = [part for part in value if isinstance(part, Slot) or part.text.strip()]
    return numbers[matter[0].name] if len(matter) == 1 and isinstance(matter[0], Slot) else None
