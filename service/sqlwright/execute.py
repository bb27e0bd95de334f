"""The only place where a statement runs: a plan and a database or an open transaction in, a result out."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sqlwright.batching import Spent, tell_spent
from sqlwright.database import Database
from sqlwright.engines.encode import row_too_large
from sqlwright.errors import DatabaseUnavailable, NoRow, SerializationFailure
from sqlwright.plan import Plan
from sqlwright.query import Access, Cardinality, Result
from sqlwright.transaction import OpenTransaction

_ROW_NEEDED = frozenset({Cardinality.ONE, Cardinality.RETURNING})
ATTEMPTS_AFTER_COLLISION = 2
"""How often a lone call is tried again when a concurrent change was in its way."""


Where = Database | OpenTransaction
"""A call on a database stands alone; one on an open transaction joins it."""


async def execute(where: Where, plan: Plan, spent: Spent | None = None) -> Result:
    """Run a plan on a lease of the right kind and check that the result is what the query says.

    Raises `NoRow` (which does not make a transaction fail), `MoreThanOneRow` (a write is rolled back then), every
    `DatabaseError`, and in a transaction every `TransactionError`.
    """
    query = plan.contract.query
    if where.reads_at_once and plan.access is Access.READ and query.isolation is None:
        assert isinstance(where, Database)
        at_once = where.read_at_once(plan.contract.program, plan.values, plan.window)
        if at_once is not None:
            return check_result(plan, at_once)
    run = _way(where, plan)
    try:
        result = await run(where, plan, spent)
    except DatabaseUnavailable as error:
        if not error.was_lost or isinstance(where, OpenTransaction) or plan.access is Access.SCRIPT:
            raise
        # The connection had died unnoticed while it was idle, and nothing was applied: another one will do.
        result = await run(where, plan, spent)
    except SerializationFailure:
        if isinstance(where, OpenTransaction) or plan.access is Access.SCRIPT:
            raise  # what began a transaction repeats it as a whole; of a script, a part may be committed
        result = await _again(where, plan, spent)
    return check_result(plan, result)


def check_result(plan: Plan, result: Result) -> Result:
    """Whether it is what the query says. Raises `NoRow` and `ResultTooLarge`."""
    if result.count == 0 and plan.contract.query.cardinality in _ROW_NEEDED:
        raise NoRow("no row matches")
    if len(result.json) > plan.bytes_max:
        raise row_too_large(plan.bytes_max)
    return result


def _way(where: Where, plan: Plan) -> Callable[[Any, Plan, Spent | None], Awaitable[Result]]:
    if plan.contract.query.isolation is not None:
        return _isolated
    joins = plan.contract.together and plan.items is None and not plan.alone
    return _together if joins and where.batching is not None else _once


def _together(database: Database, plan: Plan, spent: Spent | None) -> Awaitable[Result]:
    """A call that may run in one statement with others."""
    assert database.batching is not None
    return database.batching.run(plan.contract.program, plan.values, plan.window, plan.timeout_seconds, spent)


async def _once(where: Where, plan: Plan, spent: Spent | None) -> Result:
    asked = time.perf_counter()
    acquired = ended = None
    try:
        async with where.lease(plan.access, plan.contract.program) as lease:
            acquired = time.perf_counter()
            result = await _run(where, lease, plan)
        ended = time.perf_counter()
    finally:
        tell_spent(spent, asked, acquired, ended)
    result.waited_seconds = acquired - asked
    result.database_seconds = ended - acquired
    return result


async def _run(where: Where, lease: Any, plan: Plan) -> Result:
    engine, program = where.engine, plan.contract.program
    if plan.items is not None:
        return await engine.run_bulk(lease, program, plan.items, timeout_seconds=plan.timeout_seconds)
    if plan.access is Access.SCRIPT:
        # A script may be a migration of minutes: only its own @timeout bounds it.
        return await engine.run_script(lease, program, timeout_seconds=plan.contract.query.timeout_seconds)
    return await engine.run(lease, program, plan.values, window=plan.window, timeout_seconds=plan.timeout_seconds)


async def _isolated(where: Where, plan: Plan, spent: Spent | None) -> Result:
    """Run a query with `@isolation`: in a transaction of its own, or in one that is isolated enough."""
    isolation = plan.contract.query.isolation
    if isinstance(where, OpenTransaction):
        where.require(isolation)
        return await _once(where, plan, spent)
    asked = time.perf_counter()
    reads = plan.access is Access.READ
    # Without a limit of its own: each step has one.
    async with where.transaction(isolation=isolation, read_only=reads, timeout_seconds=math.inf) as tx:
        begun = time.perf_counter()
        if spent is not None:
            spent.waited_seconds += begun - asked
        result = await _once(tx, plan, spent)
    result.waited_seconds = begun - asked
    result.database_seconds = time.perf_counter() - begun
    return result


async def _again(database: Database, plan: Plan, spent: Spent | None) -> Result:
    """A lone call is ours as a whole, so it may be repeated when a concurrent change was in its way."""
    run = _way(database, plan)
    asked = time.perf_counter()
    result = await database.retry_collided(lambda: run(database, plan, spent), attempts=ATTEMPTS_AFTER_COLLISION)
    result.waited_seconds = time.perf_counter() - asked - result.database_seconds
    return result
