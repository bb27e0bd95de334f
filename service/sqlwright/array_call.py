"""An array call: a query that reads, once for each object of parameters, in one request instead of many.

All items see the database at one moment. Where it is proven that they may, they run as one statement, else one after
the other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlwright.batching import Spent
from sqlwright.body import render_body
from sqlwright.contract import Contract
from sqlwright.database import Database
from sqlwright.engines.encode import row_too_large
from sqlwright.errors import (
    AcquireTimeout,
    DatabaseUnavailable,
    InvalidPageToken,
    LockTimeout,
    NoRow,
    ResultTooLarge,
    SerializationFailure,
    SqlwrightError,
    StatementTimeout,
    TooManyWaiting,
)
from sqlwright.execute import ATTEMPTS_AFTER_COLLISION
from sqlwright.parameters.array import calls_of_array
from sqlwright.plan import Plan, make_plan
from sqlwright.query import Access, Cardinality, Result
from sqlwright.transaction import OpenTransaction
from sqlwright.transaction.isolation import strongest

FIRST_ITEMS = 10
"""Items that run before one knows how large their answers are."""
ITEMS_AT_ONCE = 100
_OF_NO_ITEM = (
    AcquireTimeout, DatabaseUnavailable, LockTimeout, SerializationFailure, StatementTimeout, TooManyWaiting
)  # fmt: skip


def make_array_plans(contract: Contract, items: Sequence[object], items_max: int) -> list[Plan]:
    """A plan for each item. Raises `InvalidParameters` with the faults of all, `InvalidPageToken` with an index."""
    plans = []
    for index, call in enumerate(calls_of_array(contract.validator, items, items_max)):
        try:
            plans.append(make_plan(contract, call))
        except InvalidPageToken as error:
            error.index = index
            raise
    return plans


async def execute_array(database: Database, plans: Sequence[Plan], spent: Spent | None = None) -> Result:
    """`json` is the whole body `{"results":[…]}`, each result what the call alone would give; `count` is its rows.

    Raises what a call alone raises, with the index of the item, and `ResultTooLarge` where all answers together are.
    """
    if not plans:
        return Result(json=b'{"results":[]}')
    try:
        return await _attempt(database, plans, spent)
    except DatabaseUnavailable as error:
        if not error.was_lost:
            raise
        return await _attempt(database, plans, spent)
    except SerializationFailure:
        return await database.retry_collided(
            lambda: _attempt(database, plans, spent), attempts=ATTEMPTS_AFTER_COLLISION
        )
    except SqlwrightError as error:
        if error.index is not None or isinstance(error, _OF_NO_ITEM):
            raise
    return await _attempt(database, plans, spent, together=False)  # which says whose error it is


async def _attempt(database: Database, plans: Sequence[Plan], spent: Spent | None, *, together: bool = True) -> Result:
    asked = time.perf_counter()
    begun = 0.0
    isolation = strongest(("repeatable_read", plans[0].contract.query.isolation))
    try:
        # Without a limit of its own: each statement has one.
        async with database.transaction(isolation=isolation, read_only=True, timeout_seconds=math.inf) as transaction:
            begun = time.perf_counter()
            items = _Items(transaction, plans)
            for positions in items.portions():
                await items.run(positions, together=together)
    finally:
        now = time.perf_counter()
        waited = (begun or now) - asked
        if spent is not None:
            spent.waited_seconds += waited
            spent.database_seconds += now - asked - waited
    bodies = [render_body(plan, result)[0] for plan, result in zip(plans, items.results, strict=True)]
    return Result(
        json=b'{"results":[' + b",".join(bodies) + b"]}",
        count=sum(result.count for result in items.results),
        waited_seconds=waited,
        database_seconds=now - asked - waited,
    )


class _Items:
    """The items of one call, and what they have given so far."""

    def __init__(self, transaction: OpenTransaction, plans: Sequence[Plan]) -> None:
        self._transaction = transaction
        self._plans = plans
        self._contract = plans[0].contract
        self._done = self._bytes = 0
        self.results: list[Any] = [None] * len(plans)

    def portions(self) -> Iterator[Sequence[int]]:
        """Positions of items that may run as one statement, not more than may have room."""
        engine, program = self._transaction.engine, self._contract.program
        groups: dict[Any, list[int]] = {}
        for position, plan in enumerate(self._plans):
            groups.setdefault((plan.window, engine.batch_key(program, plan.values, plan.window)), []).append(position)
        for positions in groups.values():
            start = 0
            while start < len(positions):
                size = self._portion()
                yield positions[start : start + size]
                start += size

    def _portion(self) -> int:
        if not self._done:
            return FIRST_ITEMS
        mean = max(1, self._bytes // self._done)
        return max(1, min(ITEMS_AT_ONCE, (self._contract.page_bytes_max - self._bytes) // mean + 1))

    async def run(self, positions: Sequence[int], *, together: bool) -> None:
        for some in [positions] if together else [[position] for position in positions]:
            try:
                for position, result in zip(some, await self._results(some), strict=True):
                    self._take(position, result)
            except SqlwrightError as error:
                if len(some) == 1 and not isinstance(error, _OF_NO_ITEM):
                    error.index = some[0]
                raise

    async def _results(self, positions: Sequence[int]) -> list[Result]:
        first = self._plans[positions[0]]
        async with self._transaction.lease(Access.READ) as lease:
            return await self._transaction.engine.run_many(
                lease,
                self._contract.program,
                [self._plans[position].values for position in positions],
                window=first.window,
                timeout_seconds=first.timeout_seconds,
            )

    def _take(self, position: int, result: Result) -> None:
        contract = self._contract
        self.results[position] = result
        self._done += 1
        self._bytes += len(result.json)
        error: SqlwrightError | None = None
        if result.count == 0 and contract.query.cardinality is Cardinality.ONE:
            error = NoRow("no row matches")
        elif len(result.json) > self._plans[position].bytes_max:
            error = row_too_large(self._plans[position].bytes_max)
        elif self._bytes > contract.page_bytes_max:
            error = ResultTooLarge(
                f"the answers have more than {contract.page_bytes_max:,} bytes of JSON from this item on",
                hint="send fewer items at once, or smaller pages; page_bytes_max is the most that all may have",
            )
        if error is not None:
            error.index = position
            raise error
