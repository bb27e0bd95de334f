"""Several calls of one query that reads, as one statement over arrays of their values.

Every item's rows come from the same text as a lone call's, with a column of `unnest` in the place of each `$n`. What
that could change besides (the name of an output column) is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from sqlwright.engines.postgres.compile import (
    FIRST,
    PostgresDescription,
    PostgresProgram,
    as_one_row,
    compile_query,
    compile_read,
    select,
    slots,
)
from sqlwright.engines.postgres.order import orders_all
from sqlwright.engines.postgres.page import as_json, page, windowed
from sqlwright.engines.postgres.proof import is_momentary, prove
from sqlwright.engines.postgres.session import Session
from sqlwright.engines.postgres.substitution import minds_columns
from sqlwright.engines.postgres.types import is_native, item_type, placeholder
from sqlwright.query import Access, Cardinality, Description, Query, Result, SqlType, Values, Window
from sqlwright.sql.statement import render
from sqlwright.sql.structure import READING_VERBS

_ITEM = "__sqlwright_item"
_WHOLE = Window(1000)
"""Of a call that wants all rows, who has more is asked again."""
_CARDINALITIES = frozenset({Cardinality.MANY, Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.VALUE})


async def proven(
    session: Session, query: Query, description: PostgresDescription, big_numbers_as_text: bool
) -> PostgresDescription:
    """The description with what can be proven of a query that reads, its statement for several items tried."""
    if query.access is not Access.READ or query.statement.verb not in READING_VERBS:
        return description
    alone = compile_query(query, description, big_numbers_as_text=big_numbers_as_text)
    description = replace(description, proof=await prove(session, alone.plain))
    if not description.proof.independent:
        return description
    if query.statement.has_order_by:
        description = replace(description, orders_all=await orders_all(session, alone.plain))
    program = compile_many(alone, description, big_numbers_as_text)
    try:
        for text in filter(None, (program.many, program.many_bounded)):
            await session.prepare(text)
    except asyncpg.PostgresError as error:
        if is_momentary(error):
            raise
        return description
    return replace(description, many=bool(program.many))


def compile_proven(query: Query, description: Description | None, *, big_numbers_as_text: bool) -> PostgresProgram:
    program = compile_query(query, description, big_numbers_as_text=big_numbers_as_text)
    if not isinstance(description, PostgresDescription):
        return program
    program = replace(program, keeps_session=description.proof.keeps_session)
    return compile_many(program, description, big_numbers_as_text) if description.many else program


def compile_many(
    program: PostgresProgram, description: PostgresDescription, big_numbers_as_text: bool
) -> PostgresProgram:
    """`program` with the statements for several items, where the statement can be written so.

    Whether PostgreSQL takes it is still to be seen: it refuses an aggregate of nothing but a column from outside.
    """
    query = program.query
    if query.cardinality not in _CARDINALITIES or query.isolation or program.gives not in ("rows", "one", "value"):
        return program
    if query.statement.verb not in READING_VERBS or _ITEM in program.plain or minds_columns(query):
        return program
    if query.statement.has_limit and not description.orders_all:
        return program  # which rows come may be the plan's choice
    types = description.types
    columns = [number for number, p in enumerate(query.parameters, 1) if not _is_key(types[p.name])]
    lists = frozenset(range(len(query.parameters))) - {n - 1 for n in columns}
    if not columns:
        return replace(program, many=program.sql, many_lists=lists)

    def write(name: str, number: int) -> str:
        type = types[name]
        if _is_key(type):
            return placeholder(f"${number}", type, cast=name in description.casts)
        # An output column that is nothing but a parameter has no name, or that of a cast: a column's would win.
        column = f"CASE WHEN true THEN {_ITEM}.c{number} END"
        cast = f"::{type}" if not is_native(type) or name in description.casts else ""
        return f"({column}{cast})"

    alone = compile_read(query, description, render(query.statement, slots(query, write)).text, big_numbers_as_text)
    arrays = ", ".join(f"${n}::{item_type(types[query.parameters[n - 1].name])}[]" for n in columns)
    names = ", ".join(f"c{n}" for n in columns)
    source = f"unnest({arrays}) WITH ORDINALITY AS {_ITEM}({names}, n)"
    if program.gives == "rows":
        many, bounded = _rows(source, alone.windowed), _rows(source, alone.bounded)
        return replace(
            program,
            many=many,
            many_bounded=bounded,
            many_lists=lists,
            many_whole=description.orders_all or not query.statement.has_order_by,
            in_order=program.in_order or description.orders_all,
        )
    # Without an order, the first of several values is the plan's choice: then that is an error, and no item's answer.
    one = alone.sql if description.orders_all else alone.sql.removesuffix(FIRST)
    return replace(program, many=select(f"{_ITEM}.n, (\n{one}\n)", source), many_lists=lists)


def batch_key(program: PostgresProgram, values: Values) -> Hashable:
    """The lists, which `unnest` would flatten; and which values are null.

    PostgreSQL 17 and 18 fail ("invalid pointer") where an incremental sort under a LIMIT runs again and only one of the
    two limits is null.
    """
    if not program.many_lists and None not in values:  # as most are
        return ()
    lists = tuple(repr(values[n]) for n in sorted(program.many_lists))
    return (lists, *(value is None for value in values)) if None in values else lists


async def run_many(
    program: PostgresProgram,
    items: Sequence[Values],
    window: Window | None,
    *,
    alone: Callable[[Values], Awaitable[Result]],
    together: Callable[[str, Values], Awaitable[list[Any]]],
) -> list[Result]:
    """`alone` runs one item, `together` a statement. Raises for all what one of them raises."""
    if len(items) < 2 or not can_be_one(program, window):
        return [await alone(item) for item in items]
    if len(program.many_lists) == len(program.query.parameters):
        only = await alone(items[0])
        return [replace(only) for _ in items]
    whole = window is None and program.gives == "rows"
    results = await _at_once(program, items, _WHOLE if whole else window, together)
    for n, item in enumerate(items):
        if results[n].more and (whole or (program.window_has_offset and not program.in_order)):
            # The next page will come by the plan of a lone call, whose order another plan may not keep: rows would come
            # twice, or never.
            results[n] = await alone(item)
    return results


def can_be_one(program: PostgresProgram, window: Window | None) -> bool:
    """Rows whose order is told in part only come as the plan has them."""
    if not program.many or program.gives != "rows":
        return bool(program.many)
    if window is None:
        return program.many_whole
    return program.in_order or not (program.window_has_offset and window.offset)


async def _at_once(
    program: PostgresProgram,
    items: Sequence[Values],
    window: Window | None,
    together: Callable[[str, Values], Awaitable[list[Any]]],
) -> list[Result]:
    lists = program.many_lists
    arguments = [column[0] if n in lists else column for n, column in enumerate(map(list, zip(*items, strict=True)))]
    sql, asked = program.many, 0
    if window is not None:
        chosen, more = windowed(program, (), window)
        sql = program.many_bounded if chosen is program.page_bounded else program.many
        arguments, asked = [*arguments, *more], more[0]
    results: list[Any] = [None] * len(items)
    for row in await together(sql, arguments):
        if window is None:
            number, json = row
            nothing = Result(json=b"null" if program.gives == "value" else b"")
            results[number - 1] = nothing if json is None else Result(json=as_json(json), count=1)
        else:
            results[row[0] - 1] = page(program, row[1:], window, asked)
    return results


def _is_key(type: SqlType) -> bool:
    return type.array and is_native(type)


def _rows(source: str, alone: str) -> str:
    return select(f"{_ITEM}.n, r.n, r.fitting, r.j", f"{source} CROSS JOIN LATERAL ({as_one_row(alone)}) AS r")
