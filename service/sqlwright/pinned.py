"""One connection in one transaction that is never committed, in the place of a database: for tests.

What the code under test commits becomes a savepoint that is kept: later calls see it, and the end of the test undoes
it. Unlike a database, it serves one call or transaction at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from itertools import count
from types import TracebackType
from typing import Any

from sqlwright.database import Database
from sqlwright.engines.base import Program
from sqlwright.engines.connector import PoolStatus
from sqlwright.errors import AcquireTimeout, TransactionError, TransactionFailed
from sqlwright.query import Access, Isolation
from sqlwright.transaction import OpenTransaction, check_isolation, deadline

logger = logging.getLogger(__name__)


class PinnedDatabase(Database):
    """What `Database.pinned` gives. Every call that fails undoes itself alone; queries that read cannot write."""

    def __init__(self, database: Database, lease: Any) -> None:
        self.engine = database.engine
        self.batching = None
        self.reads_at_once = self.starts_reads = False
        self.limits = database.limits
        self._database = database
        self._pinned = lease
        self._only_lease = lease if database.has_one_pool else None
        self._turn = asyncio.Lock()
        self._gate = asyncio.Lock()
        self._inside: asyncio.Task[Any] | None = None
        self._lost: BaseException | None = None
        self._numbers = count(1)

    async def open(self) -> None:
        """It is open as long as it is pinned."""

    async def close(self) -> None:
        """The database belongs to whoever pinned it."""

    def refuse_when_full(self, access: Access) -> None:
        """There is no line."""

    def status(self) -> dict[str, list[PoolStatus]]:
        return self._database.status()

    async def let_write_beside(self) -> None:
        """There is nobody else."""

    @property
    def opened(self) -> int:
        return self._database.opened

    def on_return(self, callback: Callable[[], None]) -> None:
        """Never: what is pinned is one connection, and does not come back."""

    def lease(self, access: Access, program: Program | None = None) -> PinnedCall:  # noqa: ARG002 - as `Database`
        return PinnedCall(self, access)

    def describing(self) -> AbstractAsyncContextManager[Any]:
        # What is only asked about must not end the transaction: PostgreSQL's answer to a wrong statement would.
        return self._database.describing() if self._only_lease is None else nullcontext(self._only_lease)

    def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout_seconds: float | None = None
    ) -> AbstractAsyncContextManager[OpenTransaction]:
        check_isolation(isolation)
        seconds = self.limits.transaction_seconds if timeout_seconds is None else timeout_seconds
        return self._begin(isolation, read_only, seconds)

    @asynccontextmanager
    async def _begin(
        self, isolation: Isolation | None, read_only: bool, seconds: float
    ) -> AsyncIterator[OpenTransaction]:
        async with deadline(seconds) as limit:
            name = await self.enter()
            try:
                tx = OpenTransaction(
                    self.engine,
                    self._pinned,
                    isolation=isolation,
                    read_only=read_only,
                    control_seconds=self.limits.control_seconds,
                )
                try:
                    yield tx
                    limit.check()
                    await tx.settle()
                except BaseException:
                    await self.undo(name, tx)
                    raise
                tx.left = True
                await self.keep(name)
            finally:
                self.exit()

    async def enter(self) -> str:
        """Wait for the connection and make a savepoint, whose name it gives."""
        task = asyncio.current_task()
        if self._gate.locked() and self._inside is task:
            raise TransactionError(
                "the pinned database has one connection, and this task's own transaction holds it",
                hint="run this call on the transaction",
            )
        try:
            async with asyncio.timeout(self.limits.acquire_seconds):
                await self._gate.acquire()
        except TimeoutError:
            message = "the pinned database has one connection, and a transaction held it for too long"
            raise AcquireTimeout(message) from None
        self._inside = task
        if self._lost is not None:
            self.exit()
            raise TransactionFailed("the pinned transaction has ended") from self._lost
        try:
            name = f"pinned{next(self._numbers)}"
            await self.engine.savepoint(self._pinned, name, timeout_seconds=self.limits.control_seconds)
        except BaseException as error:
            self._lost = self._lost or error  # the savepoint may be there or not
            self.exit()
            raise
        return name

    def exit(self) -> None:
        self._inside = None
        self._gate.release()

    async def keep(self, name: str) -> None:
        try:
            await self.engine.release_savepoint(self._pinned, name, timeout_seconds=self.limits.control_seconds)
        except BaseException as error:
            self._lost = self._lost or error
            raise

    async def undo(self, name: str, tx: OpenTransaction | None = None) -> None:
        """Also for who is cancelled: the others go on with this connection."""
        try:
            if tx is not None:
                await tx.abandon()
            await self.engine.stop(self._pinned, timeout_seconds=self.limits.control_seconds)
            await self.engine.rollback_to_savepoint(self._pinned, name, timeout_seconds=self.limits.control_seconds)
        except Exception as error:
            logger.debug("the pinned transaction is lost: %s", error)
            self._lost = self._lost or error
        except BaseException as error:
            self._lost = self._lost or error
            raise


class PinnedCall:
    """The use of a pinned connection for one call."""

    __slots__ = ("_access", "_name", "_pinned")

    def __init__(self, pinned: PinnedDatabase, access: Access) -> None:
        self._pinned = pinned
        self._access = access

    async def __aenter__(self) -> Any:
        if self._access is Access.SCRIPT:
            raise TransactionError(
                "a script cannot run on a pinned database: it may begin and end transactions of its own",
                hint="run it before the database is pinned",
            )
        pinned = self._pinned
        self._name = await pinned.enter()
        return pinned._pinned

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pinned = self._pinned
        try:
            if error is None:
                await pinned.keep(self._name)
            else:
                await pinned.undo(self._name)
        finally:
            pinned.exit()
