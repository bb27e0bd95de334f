"""An operation on a table, decided, and how it runs: plans like any other, all in one transaction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from sqlwright.batching import Spent
from sqlwright.crud.conflict import Conflict
from sqlwright.crud.faults import faults_of
from sqlwright.crud.table import Kind, Table
from sqlwright.errors import (
    DatabaseError,
    InvalidValue,
    NoRow,
    SerializationFailure,
    StatementFailed,
    UniqueViolation,
)
from sqlwright.execute import ATTEMPTS_AFTER_COLLISION, Where, execute
from sqlwright.parameters.json_body import dump_json, parse_json_text
from sqlwright.plan import Plan
from sqlwright.query import Result
from sqlwright.transaction import OpenTransaction

_DEPTH_MAX = 1000
ReadBack = Callable[[bytes], Plan | None]
"""From the row that was written to what reads it as triggers have left it: the answer, unless it cannot be found."""


def _believe() -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Operation:
    table: Table
    kind: Kind
    plans: tuple[Plan, ...]
    """They run in one transaction; the last one's result is the answer."""
    sent: tuple[str, ...] = ()
    """Columns that the caller gave values for."""
    doubt: Callable[[], None] = field(default=_believe, compare=False, repr=False)
    """Called when the database refuses the statement: the table may have changed."""
    read_back: ReadBack | None = field(default=None, compare=False, repr=False)
    firsts: tuple[int, ...] = ()
    """Of many new rows: for each plan, the index of its first row."""
    conflict: Conflict | None = None
    another_key: str = ""
    """The database's code for a row that has another key than that of `conflict`."""
    affected: int | None = None
    """Where the database counts something else."""


async def perform(where: Where, operation: Operation, spent: Spent | None = None) -> tuple[Plan, Result]:
    """Run an operation on a database or in an open transaction: the plan whose result is the answer, and the result.

    Raises `NoRow` when the row with the key is absent (nothing was changed then), and every error of `execute`, a
    `DatabaseError` with the columns concerned in its `faults`.
    """
    try:
        result = await _run(where, operation, spent)
    except DatabaseError as error:
        if isinstance(error, StatementFailed):
            operation.doubt()
        error = _of_another_key(operation, error)
        faults = faults_of(operation.table, operation.kind, operation.sent, error)
        error.faults = tuple(replace(fault, index=error.index) for fault in faults)
        raise error from None if error.__cause__ is None else error.__cause__
    if operation.affected is not None:
        result.affected = operation.affected
    if operation.kind == "delete" and not result.affected:
        raise NoRow("no row matches")
    return operation.plans[-1], result


async def _run(where: Where, operation: Operation, spent: Spent | None) -> Result:
    if len(operation.plans) == 1 and operation.read_back is None:
        return await execute(where, operation.plans[0], spent)
    run = _many if operation.firsts else _in_order
    if isinstance(where, OpenTransaction):
        return await run(where, operation, spent)

    async def whole() -> Result:
        # Without a limit of its own: each plan has one.
        async with where.transaction(timeout_seconds=math.inf) as transaction:
            return await run(transaction, operation, spent)

    try:
        return await whole()
    except SerializationFailure:
        return await where.retry_collided(whole, attempts=ATTEMPTS_AFTER_COLLISION)


def _of_another_key(operation: Operation, error: DatabaseError) -> DatabaseError:
    """Where a statement cannot say which key's duplicate it merges with, it fails in a way of its own for another's."""
    if operation.another_key and isinstance(error, InvalidValue) and error.native_code == operation.another_key:
        detail = "another row already has a value where it must be unique"
        told = UniqueViolation(detail, native_code=error.native_code, native_message=error.native_message)
        told.index, told.__cause__ = error.index, error.__cause__
        return told
    return error


async def _many(transaction: OpenTransaction, operation: Operation, spent: Spent | None) -> Result:
    """Runs of new rows, one after the other."""
    total = Result()
    for plan, first in zip(operation.plans, operation.firsts, strict=True):
        try:
            result = await execute(transaction, plan, spent)
        except DatabaseError as error:
            if error.index is not None:
                error.index += first
            raise
        total.affected += result.affected
        total.waited_seconds += result.waited_seconds
        total.database_seconds += result.database_seconds
    return total


async def _in_order(transaction: OpenTransaction, operation: Operation, spent: Spent | None) -> Result:
    results: list[Result] = []
    plans = list(operation.plans)
    while len(results) < len(plans):
        try:
            results.append(await execute(transaction, plans[len(results)], spent))
        except NoRow:
            if not results or not results[-1].count:
                raise
            break  # it was there, and a trigger has taken it away: it is answered as it came
        if len(results) == len(operation.plans) and operation.read_back is not None:
            reading = operation.read_back(results[-1].json)
            plans += [reading] if reading is not None else []
    result = results[-1]
    result.waited_seconds = sum(one.waited_seconds for one in results)
    result.database_seconds = sum(one.database_seconds for one in results)
    return result


def key_of(table: Table, body: bytes) -> dict[str, object]:
    """The key of the row in `body`, as JSON values by column."""
    row = parse_json_text(body.decode("utf-8"), _DEPTH_MAX)
    assert isinstance(row, dict)
    return {name: row[name] for name in table.primary_key}


def location(operation: Operation, body: bytes) -> str:
    """The path segment of the row in `body`: its key, percent-encoded, in the key's order."""
    values = key_of(operation.table, body).values()
    segment = ",".join(quote(value if isinstance(value, str) else dump_json(value), safe="") for value in values)
    # Plain, a client resolves these two before it asks, as it does in a file's path.
    return segment.replace(".", "%2E") if segment in (".", "..") else segment
