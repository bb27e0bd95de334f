"""The only place where a statement runs: a plan and a database in, a result out."""

from __future__ import annotations

import time

from sqlwright.database import Database
from sqlwright.errors import NoRow
from sqlwright.plan import Plan
from sqlwright.query import Access, Cardinality, Result

_ROW_NEEDED = frozenset({Cardinality.ONE, Cardinality.RETURNING})


async def execute(database: Database, plan: Plan) -> Result:
    """Run a plan on a lease of the right kind and check that the result is what the query says.

    Raises `NoRow`, `MoreThanOneRow` (a write is rolled back then) and every `DatabaseError`.
    """
    asked = time.perf_counter()
    async with database.lease(plan.access) as lease:
        acquired = time.perf_counter()
        result = await _run(database, lease, plan)
    result.waited_seconds = acquired - asked
    result.database_seconds = time.perf_counter() - acquired
    if result.count == 0 and plan.contract.query.cardinality in _ROW_NEEDED:
        raise NoRow("no row matches")
    return result


async def _run(database: Database, lease: object, plan: Plan) -> Result:
    engine, program, timeout = database.engine, plan.contract.program, plan.timeout_seconds
    if plan.items is not None:
        return await engine.run_bulk(lease, program, plan.items, timeout_seconds=timeout)
    if plan.access is Access.SCRIPT:
        # A script may be a migration of minutes: only its own @timeout bounds it.
        return await engine.run_script(lease, program, timeout_seconds=plan.contract.query.timeout_seconds)
    return await engine.run(lease, program, plan.values, window=plan.window, timeout_seconds=timeout)
