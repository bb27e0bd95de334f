"""The rows of a plan in pieces, from a cursor of the database, while a connection is held."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from sqlwright.batching import Spent
from sqlwright.engines.encode import row_too_large
from sqlwright.errors import DatabaseUnavailable, ResultTooLarge
from sqlwright.execute import Where
from sqlwright.plan import Plan
from sqlwright.query import UNBOUNDED, Access, Result
from sqlwright.transaction import OpenTransaction


class RowStream:
    """Its connection is taken at the first `fetch` and given back by `end`, which whoever fetches has to call.

    `chunk_rows` and `chunk_bytes` bound a piece, whose rows are joined by `separator`. `held_bytes_max` bounds what is
    read at once where there is one connection for everything (a database in memory, or pinned by a test): it is given
    back before the first piece is passed on. Times that the caller of `spent` sees grow with each piece.
    """

    def __init__(
        self,
        where: Where,
        plan: Plan,
        *,
        chunk_rows: int,
        chunk_bytes: int = UNBOUNDED,
        held_bytes_max: int = UNBOUNDED,
        separator: str = ",",
        spent: Spent | None = None,
    ) -> None:
        self._where = where
        self._plan = plan
        self._chunk_rows = chunk_rows
        self._chunk_bytes = chunk_bytes
        self._held_bytes_max = held_bytes_max
        self._separator = separator
        self._spent = spent
        self._pieces: AsyncIterator[Result] | None = None
        self._holding: AsyncExitStack | None = None

    @property
    def holds(self) -> bool:
        """Whether it has a connection."""
        return self._holding is not None

    async def fetch(self) -> Result | None:
        """The next rows, or None after the last."""
        if self._pieces is None:
            return await self._first()
        await asyncio.sleep(0)  # rows that have arrived already are read without a pause, and others want their turn
        return await self._next(self._pieces)

    async def end(self, error: BaseException | None = None) -> None:
        """Give the connection back, because of this error. It never awaits outside of a transaction."""
        holding, self._holding = self._holding, None
        if holding is not None:
            await holding.__aexit__(type(error) if error is not None else None, error, None)

    async def _first(self) -> Result | None:
        try:
            self._pieces = await self._start()
            return await self._next(self._pieces)
        except DatabaseUnavailable as error:
            if not error.was_lost or isinstance(self._where, OpenTransaction):
                raise
            # The connection had died unnoticed while it was idle: another one will do.
            await self.end(error)
        self._pieces = await self._start()
        return await self._next(self._pieces)

    async def _next(self, pieces: AsyncIterator[Result]) -> Result | None:
        begun = time.perf_counter()
        try:
            piece = await anext(pieces, None)
        finally:
            if self._spent is not None:
                self._spent.database_seconds += time.perf_counter() - begun
        if piece is not None and len(piece.json) > self._plan.bytes_max:
            self._refuse_large_row(piece)
        return piece

    def _refuse_large_row(self, piece: Result) -> None:
        """Only line breaks separate rows for certain."""
        rows = piece.json.split(b"\n") if self._separator == "\n" else [piece.json]
        if max(map(len, rows)) > self._plan.bytes_max:
            raise row_too_large(self._plan.bytes_max)

    async def _start(self) -> AsyncIterator[Result]:
        asked = time.perf_counter()
        self._holding = AsyncExitStack()
        try:
            if not isinstance(self._where, OpenTransaction):
                await self._where.let_write_beside()
            lease = await self._lease(self._holding)
        finally:
            if self._spent is not None:
                self._spent.waited_seconds += time.perf_counter() - asked
        pieces = self._where.engine.stream(
            lease,
            self._plan.contract.program,
            self._plan.values,
            chunk_rows=self._chunk_rows,
            chunk_bytes=self._chunk_bytes,
            separator=self._separator,
            timeout_seconds=self._plan.timeout_seconds,
        )
        if lease.read_only or isinstance(self._where, OpenTransaction):
            return pieces
        read = await self._read_all(pieces)
        await self.end()
        return _again(read)

    async def _lease(self, holding: AsyncExitStack) -> Any:
        where, isolation = self._where, self._plan.contract.query.isolation
        if isinstance(where, OpenTransaction) or isolation is None:
            return await holding.enter_async_context(where.lease(Access.READ))
        # Without a limit of its own, in time or in idleness: its reader has some.
        begun = where.transaction(isolation=isolation, read_only=True, timeout_seconds=math.inf)
        transaction = await holding.enter_async_context(begun)
        lease = await holding.enter_async_context(transaction.lease(Access.READ))
        await where.engine.stay_idle(lease, timeout_seconds=where.limits.control_seconds)
        return lease

    async def _read_all(self, pieces: AsyncIterator[Result]) -> list[Result]:
        read: list[Result] = []
        size = 0
        async for piece in pieces:
            read.append(piece)
            size += len(piece.json)
            if size > self._held_bytes_max:
                hint = "a database with one connection for everything gives that many at once; take pages of it"
                raise ResultTooLarge(f"the rows have more than {self._held_bytes_max:,} bytes of JSON", hint=hint)
        return read


async def _again(pieces: list[Result]) -> AsyncIterator[Result]:
    for piece in pieces:
        yield piece
