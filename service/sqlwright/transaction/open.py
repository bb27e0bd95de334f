"""An open transaction: its statements, one after the other, and its savepoints."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from types import TracebackType
from typing import Any

from sqlwright.engines.base import Engine, Program
from sqlwright.errors import TransactionClosed, TransactionError, TransactionFailed
from sqlwright.query import ISOLATIONS, Access, Isolation
from sqlwright.transaction.deadline import deadline
from sqlwright.transaction.isolation import check_isolation, strongest
from sqlwright.transaction.level import Level, innermost, told

logger = logging.getLogger(__name__)


class OpenTransaction:
    """A transaction that is open, on one connection. What `async with database.transaction() as tx` gives."""

    batching: None = None
    reads_at_once: bool = False
    """Its calls run on its own connection, one after the other."""

    def __init__(
        self, engine: Engine, lease: Any, *, isolation: Isolation | None, read_only: bool, control_seconds: float
    ) -> None:
        self.engine = engine
        self.isolation = isolation
        """What was asked for; None is the database's default."""
        self.read_only = read_only
        self.control_seconds = control_seconds
        """How long BEGIN, COMMIT and their like may take."""
        self.lost: BaseException | None = None
        """Why nothing can be done any more, not even in the level around."""
        self.left = False
        self.commits = False
        """COMMIT was sent."""
        self.idle_since: float | None = None
        """When its last statement ended; None while one runs."""
        self._lease = lease
        self._root = Level(self, None, read_only=read_only)
        self._numbers = count(1)
        self._running: asyncio.Task[Any] | None = None
        """The task whose statement is on its way."""
        self._give_back: Callable[[], Awaitable[Any]] | None = None

    def lease(self, access: Access, program: Program | None = None) -> Turn:  # noqa: ARG002 - as `Database`
        """`async with tx.lease(access) as lease`: the connection, for one statement.

        Raises `TransactionClosed`, `TransactionFailed`, `ReadOnlyTransaction`; an exception inside is a failed
        statement.
        """
        return Turn(self, access)

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """What is done inside is undone alone when an exception leaves it; the transaction can go on after that."""
        return self._savepoint(read_only=False)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[OpenTransaction]:
        """A savepoint, for code that makes a transaction of its own wherever it runs."""
        self.require(isolation)
        seconds = math.inf if timeout_seconds is None else timeout_seconds
        async with deadline(seconds) as limit, self._savepoint(read_only=read_only):
            yield self
            limit.check()

    def require(self, isolation: Isolation | None) -> None:
        """Raises unless this transaction was begun with this isolation or a stronger one."""
        check_isolation(isolation)
        given = self.isolation or ISOLATIONS[0]
        if strongest((isolation, given)) != given:
            raise TransactionError(
                f"{isolation} is asked for inside of a transaction that is not begun with it",
                hint=f"begin the outer transaction with isolation={isolation!r}",
            )

    def level(self) -> Level:
        """The innermost savepoint of this transaction that the running task stands in."""
        level = innermost.get()
        while level is not None and not level.is_of(self):
            level = level.around
        return level or self._root

    @asynccontextmanager
    async def _savepoint(self, *, read_only: bool) -> AsyncIterator[None]:
        outer, before = self.level(), innermost.get()
        outer.admit(Access.READ)
        await outer.take()
        try:
            outer.admit(Access.READ)
            name = f"sqlwright{next(self._numbers)}"
            await self.control(self.engine.savepoint(self._lease, name, timeout_seconds=self.control_seconds))
            level = Level(self, before, read_only=read_only or outer.read_only)
            innermost.set(level)
            try:
                yield
                await self._keep(level, name)
            except BaseException as error:
                await self._undo(level, name, error)
                raise
            finally:
                level.ended, level.failure = True, None
                innermost.set(before)
        finally:
            outer.give()

    async def _keep(self, level: Level, name: str) -> None:
        await level.end()
        self._refuse_failed(level)
        await self.control(self.engine.release_savepoint(self._lease, name, timeout_seconds=self.control_seconds))

    async def _undo(self, level: Level, name: str, error: BaseException) -> None:
        if self.left or self.lost is not None:
            return
        if isinstance(error, GeneratorExit):
            self.lost = error  # whoever closes a coroutine lets it await nothing more
            return
        try:
            await level.end()
            undoing = self.engine.rollback_to_savepoint(self._lease, name, timeout_seconds=self.control_seconds)
            await self.control(undoing)
        except Exception as reason:
            # The transaction is lost then, and the error that led here says more.
            logger.debug("a savepoint could not be undone: %s", reason)
        except BaseException as interruption:
            self.lost = self.lost or interruption
            raise

    def _refuse_failed(self, level: Level) -> None:
        if self.left:
            raise TransactionClosed("the transaction has ended before")
        failure = self.lost or level.failure
        if failure is not None:
            raise TransactionFailed(f"a statement failed, so nothing of this was applied: {told(failure)}") from failure

    async def control(self, work: Awaitable[None]) -> None:
        """Run a BEGIN, a SAVEPOINT or the like of the engine. One that fails ends all."""
        self.runs()
        try:
            await work
        except BaseException as error:
            self.lost = self.lost or error
            raise
        finally:
            await self.ran()

    def runs(self) -> None:
        self._running = asyncio.current_task()
        self.idle_since = None

    async def ran(self) -> None:
        self._running = None
        self.idle_since = asyncio.get_running_loop().time()
        if self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            await give_back()

    def note(self, level: Level, error: BaseException) -> None:
        """A statement ended in this."""
        if isinstance(error, GeneratorExit):
            return  # a stream was left before its end
        if not isinstance(error, Exception) or self._lease.broken:
            self.lost = self.lost or error  # nobody knows how far the statement came
        level.failure = level.failure or error

    async def settle(self) -> None:
        """Wait for the last statement. Raises `TransactionFailed` when one failed."""
        await self._root.end()
        self._refuse_failed(self._root)

    async def abandon(self) -> None:
        """Let nothing more be done, and wait for the last statement."""
        self.left = True
        await self._root.end()

    async def commit(self) -> None:
        await self.settle()
        self.commits = True
        await self.control(self.engine.commit(self._lease, timeout_seconds=self.control_seconds))

    async def rollback(self, error: BaseException) -> None:
        """Undo all now rather than at release, so that whoever sees `error` finds no lock of ours in its way."""
        self._root.ended = self.left = True
        if not isinstance(error, Exception) or self.commits or self.lost is not None or self._is_busy():
            return  # release sees to it
        try:
            await self.control(self.engine.rollback(self._lease, timeout_seconds=self.control_seconds))
        except Exception as reason:
            logger.debug("left to the release of the connection: %s", reason)

    async def leave(self, give_back: Callable[[], Awaitable[Any]]) -> None:
        """Give the connection back; when a statement of another task still runs, as soon as that has ended."""
        self._root.ended = self.left = True
        self._root.failure = self.lost = None  # nobody asks any more, and their tracebacks lead back here
        if self._is_busy():
            self._give_back = give_back
        else:
            await give_back()

    def _is_busy(self) -> bool:
        return self._running is not None and self._running is not asyncio.current_task()


class Turn:
    """The use of a transaction's connection for one statement."""

    __slots__ = ("_access", "_level", "_transaction")

    def __init__(self, transaction: OpenTransaction, access: Access) -> None:
        self._transaction = transaction
        self._access = access

    async def __aenter__(self) -> Any:
        transaction = self._transaction
        self._level = level = transaction.level()
        level.admit(self._access)
        await level.take()
        try:
            level.admit(self._access)  # while this waited, another one may have failed
        except BaseException:
            level.give()
            raise
        transaction.runs()
        if self._access is Access.WRITE:
            try:
                await transaction.engine.allow_writes(transaction._lease, timeout_seconds=transaction.control_seconds)
            except BaseException as error:
                await self.__aexit__(type(error), error, None)
                raise
        return transaction._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if error is not None:
            transaction.note(self._level, error)
        self._level.give()
        await transaction.ran()
        if error is None and transaction.left:
            raise TransactionClosed("the transaction ended before this statement did: nothing was applied")
