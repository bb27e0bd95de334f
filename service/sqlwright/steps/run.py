"""Steps, run: one connection, one transaction, all or nothing; again as a whole when the database asks for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from sqlwright.batching import Spent
from sqlwright.body import render_body
from sqlwright.crud import Operation, perform
from sqlwright.database import Database
from sqlwright.errors import DatabaseError, SqlwrightError
from sqlwright.execute import execute
from sqlwright.plan import Plan
from sqlwright.query import Result, Values
from sqlwright.steps.plan import Step, Steps
from sqlwright.steps.references import Bodies
from sqlwright.transaction import OpenTransaction


class _DryRun(Exception):
    """Leaves the transaction so that it is rolled back."""


async def run_steps(database: Database, steps: Steps, *, timeout_seconds: float, spent: Spent | None = None) -> Result:
    """Run a transaction; `Result.json` is the whole body `{"results":[…]}`, `count` the rows of all steps.

    Raises what a step raised, with `step`; what COMMIT raised, without; `DeadlineExceeded` after `timeout_seconds`,
    which all attempts share. Nothing is applied then, unless the error's outcome is unknown.
    """
    end = asyncio.get_running_loop().time() + timeout_seconds

    async def attempt() -> Result:
        return await _attempt(database, steps, end - asyncio.get_running_loop().time(), spent)

    return await database.retry(attempt)


async def _attempt(database: Database, steps: Steps, timeout_seconds: float, spent: Spent | None) -> Result:
    bodies, total = Bodies(), Result()
    asked = time.perf_counter()
    try:
        async with database.transaction(
            isolation=steps.isolation, read_only=steps.read_only, timeout_seconds=timeout_seconds
        ) as transaction:
            total.waited_seconds = time.perf_counter() - asked
            if spent is not None:
                spent.waited_seconds += total.waited_seconds
            for index, step in enumerate(steps.steps):
                try:
                    bodies.written.append(await _run(transaction, step, bodies, total, spent))
                except SqlwrightError as error:
                    error.step = index
                    raise
            if steps.dry_run:
                raise _DryRun  # noqa: TRY301 - only an exception that leaves the block rolls it back
    except _DryRun:
        pass
    tail = b'],"dry_run":true}' if steps.dry_run else b"]}"
    total.json = b'{"results":[' + b",".join(bodies.written) + tail
    return total


async def _run(transaction: OpenTransaction, step: Step, bodies: Bodies, total: Result, spent: Spent | None) -> bytes:
    """One step's body: what the call alone would give, but that no page follows."""
    work = _filled(step, bodies) if step.waits else step.work
    try:
        if isinstance(work, Operation):
            plan, result = await perform(transaction, work, spent)
        else:
            plan, result = work, await execute(transaction, work, spent)
    except DatabaseError as error:
        item = "" if error.index is None else f"[{error.index}]"
        error.faults = tuple(
            replace(fault, place="body", parameter=f"{step.place}{item}.{fault.parameter}", index=None)
            for fault in error.faults
        )
        raise
    total.count += result.count or result.affected
    total.affected += result.affected
    total.database_seconds += result.database_seconds
    # Without its window a plan has no token, so what was left out is told as `truncated`.
    body, _ = render_body(replace(plan, window=None), result)
    return body


def _filled(step: Step, bodies: Bodies) -> Plan | Operation:
    """Raises `InvalidParameters` when what an earlier step gave is not what this one takes."""
    if isinstance(step.work, Plan):
        return _filled_plan(step.work, bodies)
    return replace(step.work, plans=tuple(_filled_plan(plan, bodies) for plan in step.work.plans))


def _filled_plan(plan: Plan, bodies: Bodies) -> Plan:
    def fill(values: Values) -> Values:
        return plan.contract.validator.fill(values, bodies.resolve)

    if plan.items is None:
        return replace(plan, values=fill(plan.values))
    return replace(plan, items=[fill(item) for item in plan.items])
