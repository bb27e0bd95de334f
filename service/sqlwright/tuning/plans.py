"""How the database would run a call, or did: its plan."""

from __future__ import annotations

from sqlwright.database import Database
from sqlwright.errors import SqlwrightError
from sqlwright.plan import Plan
from sqlwright.query import Access, Explanation


async def explain(database: Database, plan: Plan, *, analyze: bool = False) -> Explanation:
    """The plan of the statement as its file has it, for the values of this call (of a bulk call, its first item).

    `analyze` runs it, in a transaction that is rolled back whatever happens; only what no database undoes stays, such
    as the numbers that a sequence has given. Reads are on a reading session. All rows are planned for, not a page.

    Raises `SqlwrightError` for a script, and what the call itself could raise.
    """
    query = plan.contract.query
    if plan.access is Access.SCRIPT:
        raise SqlwrightError(
            f"{query.name} is a script, which has a plan for each of its statements and not one",
            hint="make a query of the statement in question",
        )
    values = plan.values if plan.items is None else plan.items[0]
    async with database.lease(plan.access) as lease:
        return await database.engine.explain(
            lease, plan.contract.program, values, analyze=analyze, timeout_seconds=plan.timeout_seconds
        )
