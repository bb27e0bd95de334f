"""From an INSERT of one row to the same over arrays, one for each of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlwright.engines.inference.insert import PlainInsert, of_parts, plain_insert
from sqlwright.engines.postgres.types import is_native, item_type, placeholder
from sqlwright.query import Query, Slot, SqlType
from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.sql.statement import render

_ROWS = "__sqlwright"
_FUNCTIONS = frozenset(
    {"btrim", "clock_timestamp", "date_trunc", "decode", "encode", "gen_random_uuid", "jsonb_build_object", "make_date",
     "nextval", "random", "to_date", "to_json", "to_jsonb", "to_timestamp"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrays:
    """An INSERT over arrays: `sql` takes one for each parameter."""

    sql: str
    table: str
    functions: tuple[str, ...]
    as_text: tuple[bool, ...]
    """Parameters that are arrays themselves, which `unnest` would take apart: each goes as text."""


def compile_arrays(query: Query, types: Mapping[str, SqlType], casts: frozenset[str]) -> Arrays | None:
    """The same query over arrays; None where it is not plain."""
    insert = plain_insert(query, POSTGRESQL, _FUNCTIONS)
    if insert is None or any(p.is_list or p.name not in types for p in query.parameters):
        return None
    kept = [n for n, value in enumerate(insert.values) if not _is_default(query, value)]
    if len(kept) < len(insert.values) and not insert.columns:
        return None
    numbers = {parameter.name: number for number, parameter in enumerate(query.parameters, 1)}
    as_text = tuple(types[p.name].array and is_native(types[p.name]) for p in query.parameters)

    def slot(slot: Slot) -> str:
        name = slot.name
        reference = f"{_ROWS}.c{numbers[name]}"
        if as_text[numbers[name] - 1]:
            return f"({reference}::{types[name]})"
        return placeholder(reference, types[name], cast=name in casts)

    names = [f"c{number}" for number in numbers.values()]
    given = [
        f"${number}::{'text' if text else item_type(types[name])}[]"
        for (name, number), text in zip(numbers.items(), as_text, strict=True)
    ]
    values = ", ".join(render(of_parts(query, insert.values[n]).statement, slot).text.strip() for n in kept)
    rows = f"unnest({', '.join(given)}) WITH ORDINALITY AS {_ROWS}({', '.join(names)}, n)"
    before = _into(query, insert, kept)
    after = render(of_parts(query, insert.after).statement, slot).text
    sql = f"{before}\nSELECT {values}\nFROM {rows}\nORDER BY {_ROWS}.n\n{after}"
    return Arrays(sql, insert.table, tuple(sorted(insert.functions)), as_text)


def _into(query: Query, insert: PlainInsert, kept: Sequence[int]) -> str:
    if len(kept) == len(insert.values):
        return render(of_parts(query, insert.before).statement, lambda _: "").text
    return f"INSERT INTO {insert.table} ({', '.join(insert.columns[n] for n in kept)})"


def _is_default(query: Query, value: Sequence[Any]) -> bool:
    text = render(of_parts(query, value).statement, lambda _: ":").text
    return text.strip().lower() == "default"
