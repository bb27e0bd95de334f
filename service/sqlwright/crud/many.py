"""Many new rows in one call: read, put into runs of rows with the same columns, validated and planned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sqlwright.crud.body import in_our_words, read_columns
from sqlwright.crud.conflict import Conflict
from sqlwright.crud.operation import Operation
from sqlwright.crud.prepared import Prepared
from sqlwright.crud.statements import Shape
from sqlwright.crud.table import Table
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import FAULTS_MAX, Cells
from sqlwright.parameters.values import type_fault
from sqlwright.plan import make_bulk_plan
from sqlwright.query import Values

ROWS_ON_LOOP_MAX = 2_000
"""Rows up to here are made ready on the event loop, in some milliseconds; more in a thread."""

SHAPES_MAX = 64
"""Different sets of columns in one call: each is a statement of its own."""

Rows = list[object] | Cells
"""Objects of column → JSON value, or the cells of a table."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows one after the other that give values for the same columns."""

    columns: tuple[str, ...]
    first: int
    rows: Rows


Prepare = Callable[[Table, str, Shape], Awaitable[Prepared]]


async def create_many(
    table: Table,
    prepare: Prepare,
    rows: Rows,
    conflict: Conflict | None,
    rows_max: int,
) -> Operation:
    """Raises `InvalidParameters` with all faults and the index of each row that has one."""
    _check(rows, rows_max)
    large = len(rows) > ROWS_ON_LOOP_MAX
    runs = await asyncio.to_thread(_runs, table, rows, conflict) if large else _runs(table, rows, conflict)
    prepared = [await prepare(table, "create_many", Shape(run.columns, conflict=conflict)) for run in runs]

    def read() -> list[list[Values]]:
        return _read(runs, prepared)

    items = await asyncio.to_thread(read) if large else read()
    plans = tuple(make_bulk_plan(one.contract, each) for one, each in zip(prepared, items, strict=True))
    sent = tuple(dict.fromkeys(name for run in runs for name in run.columns))
    return Operation(table, "create", plans, sent, firsts=tuple(run.first for run in runs), conflict=conflict)


def _check(rows: Rows, rows_max: int) -> None:
    if len(rows) > rows_max:
        detail = f"at most {rows_max} rows are taken in one call, not {len(rows)}"
        raise InvalidParameters([ParameterFault("body", "", "length", detail)])


def _runs(table: Table, rows: Rows, conflict: Conflict | None) -> list[_Run]:
    if isinstance(rows, Cells):
        return [_Run(_columns(table, dict.fromkeys(rows.header)), 0, rows)]
    faults: list[ParameterFault] = []
    known: dict[tuple[str, ...], tuple[str, ...] | None] = {}
    shapes: list[tuple[str, ...]] = []
    for index, row in enumerate(rows):
        if type(row) is not dict:
            refused = type_fault("an object of columns with their values", row)
            faults.append(ParameterFault("body", "", refused.code, refused.detail, index))
        else:
            names = tuple(row)
            columns = known.get(names)
            if columns is None:
                try:
                    columns = known[names] = _columns(table, row)
                except InvalidParameters as error:
                    faults += [replace(fault, index=index) for fault in error.faults]
                    columns = ()
            shapes.append(columns)
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        raise InvalidParameters(faults[:FAULTS_MAX])
    if len(set(shapes)) > 1 and (conflict is None or conflict.resolution == "ignore"):
        shapes, rows = _filled(table, shapes, rows)
    if len(set(shapes)) > SHAPES_MAX:
        detail = f"rows with at most {SHAPES_MAX} different sets of columns are taken in one call"
        raise InvalidParameters([ParameterFault("body", "", "length", detail)])
    runs = []
    first = 0
    for columns, group in groupby(shapes):
        count = len(list(group))
        runs.append(_Run(columns, first, rows[first : first + count]))
        first += count
    return runs or [_Run((), 0, [])]


def _columns(table: Table, row: Mapping[str, object]) -> tuple[str, ...]:
    """The columns that a row gives values for, in the table's order."""
    _, faults = read_columns(table, row)
    if faults:
        raise InvalidParameters(faults)
    return tuple(name for name in table.by_name if name in row)


def _filled(
    table: Table, shapes: Sequence[tuple[str, ...]], rows: Sequence[Any]
) -> tuple[list[tuple[str, ...]], list[object]]:
    """Rows that differ only in columns without a default get NULL there, as they would: so they become one run."""
    some = {name for shape in set(shapes) for name in shape}
    empty = [name for name in some if table.by_name[name].nullable and not table.by_name[name].is_filled]
    nothing = dict.fromkeys(empty)
    shape_of = {
        shape: tuple(name for name in table.by_name if name in nothing or name in shape) for shape in set(shapes)
    }
    return [shape_of[shape] for shape in shapes], [{**nothing, **row} for row in rows]


def _read(runs: Sequence[_Run], prepared: Sequence[Prepared]) -> list[list[Values]]:
    faults: list[ParameterFault] = []
    found: list[list[Values]] = []
    for run, one in zip(runs, prepared, strict=True):
        try:
            found.append(list(one.body.bulk(run.rows, len(run.rows))))
        except InvalidParameters as error:
            for fault in error.faults:
                index = None if fault.index is None else fault.index + run.first
                faults.append(replace(in_our_words(fault), index=index))
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        raise InvalidParameters(faults[:FAULTS_MAX])
    return found
