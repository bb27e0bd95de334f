"""SQLAlchemy Core expressions, on a connection of ours and with our errors."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlwright.client.calls import Calls
from sqlwright.engines.raised import raise_ours
from sqlwright.errors import Outcome, StatementTimeout
from sqlwright.query import Access
from sqlwright.rows import Row


class Expressions(Calls):
    """`expression` is a `select`, `insert`, `update` or `delete`. A select without FOR UPDATE reads, the rest write.

    Values are those of the driver, converted by the expression's types. `timeout` is in seconds; None is the settings'
    for statements.
    """

    @abstractmethod
    def lease(self, *, write: bool = False) -> AbstractAsyncContextManager[Any]: ...

    async def fetch_all(self, expression: Any, *, timeout: float | None = None) -> list[Row]:
        rows = await self._run(expression, timeout, lambda lease: lease.fetch_all(expression))
        return [dict(row._mapping) for row in rows]

    async def fetch_one(self, expression: Any, *, timeout: float | None = None) -> Row | None:
        """The first row; the others are not looked at."""
        row = await self._run(expression, timeout, lambda lease: lease.fetch_one(expression))
        return None if row is None else dict(row._mapping)

    async def execute(self, expression: Any, *, timeout: float | None = None) -> None:
        """For its effect. What was written comes back with `.returning()` and the other two."""
        await self._run(expression, timeout, lambda lease: lease.execute(expression))

    async def _run(self, expression: Any, timeout: float | None, run: Callable[[Any], Awaitable[Any]]) -> Any:
        access = _access(expression)
        seconds = self._source.settings.statement_timeout_seconds if timeout is None else timeout
        async with self.lease(write=access is Access.WRITE) as lease:
            limit = asyncio.timeout(seconds)
            try:
                async with limit:
                    return await run(lease)
            except Exception as error:
                if isinstance(error, TimeoutError) and limit.expired():
                    lease.broken = True  # who knows what it is still doing
                    outcome: Outcome = "none" if access is Access.READ else "unknown"
                    raise StatementTimeout("the statement took too long", outcome=outcome) from error
                raise_ours(self._where.engine.translate(error, access), error)


def _access(expression: Any) -> Access:
    if isinstance(expression, str) or not hasattr(expression, "compile"):
        raise TypeError("a SQLAlchemy expression is expected; SQL text stands in query files")
    reads = getattr(expression, "is_select", False) and getattr(expression, "_for_update_arg", None) is None
    return Access.READ if reads else Access.WRITE
