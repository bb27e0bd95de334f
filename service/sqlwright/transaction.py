"""Transactions: begun, committed and undone in one way for every engine, whatever happens in between.

One connection serves one statement at a time. A statement that fails makes its level (the transaction, or the
savepoint around it) failed, on every engine: nothing of a failed level is ever kept. Giving the connection back never
awaits; what is still open on it then is rolled back by the pool's own task.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

from sqlwright.engines.base import Engine
from sqlwright.errors import (
    DeadlineExceeded,
    Outcome,
    ReadOnlyTransaction,
    SerializationFailure,
    SqlwrightError,
    TransactionClosed,
    TransactionError,
    TransactionFailed,
)
from sqlwright.query import ISOLATIONS, Access, Isolation

T = TypeVar("T")

logger = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 0.01
"""Twice that is the most that is waited before a second attempt, four times before a third, and so on."""
RETRY_TURN_SECONDS = 1.0
"""How long one that collided waits for others that did, so that they do not collide again."""


class Level:
    """What is kept or undone together: a transaction, or a savepoint in it.

    Its statements run one after the other. While a savepoint is open, the statements of the level around it wait: they
    would be undone with it.
    """

    __slots__ = ("_drained", "_lock", "around", "ended", "failure", "holder", "read_only", "transaction")

    def __init__(self, transaction: OpenTransaction, around: Level | None, *, read_only: bool) -> None:
        self.transaction = transaction
        self.around = around
        """The level whose place this one takes in its task, possibly one of another transaction."""
        self.read_only = read_only
        self.failure: BaseException | None = None
        self.ended = False
        self.holder: asyncio.Task[Any] | None = None
        self._lock = asyncio.Lock()
        self._drained = False

    def admit(self, access: Access) -> None:
        """Raises when no statement of this kind may run here."""
        if self.ended or self.transaction.left:
            raise TransactionClosed("the transaction, or the savepoint, has ended")
        failure = self.transaction.lost or self.failure
        if failure is not None:
            raise TransactionFailed(f"an earlier statement of this transaction failed: {told(failure)}") from failure
        if access is Access.SCRIPT:
            raise TransactionError("a script cannot run in a transaction: it may begin and end its own")
        if access is Access.WRITE and self.read_only:
            raise ReadOnlyTransaction("this transaction only reads")

    async def take(self) -> None:
        """Wait for the connection."""
        task = asyncio.current_task()
        if self.is_held_by(task):
            raise TransactionError("this task still reads rows of this transaction: read them to their end first")
        await self._lock.acquire()
        self.holder = task

    def is_held_by(self, task: asyncio.Task[Any] | None) -> bool:
        return self._lock.locked() and self.holder is task

    def give(self) -> None:
        self.holder = None
        self._lock.release()

    async def end(self) -> None:
        """Refuse newcomers and wait for the statement that still runs, if it is another task's.

        One of this task can only be a stream that was left before its end: it ends with its level.
        """
        self.ended = True
        if not self._drained and not self.is_held_by(asyncio.current_task()):
            await self._lock.acquire()  # for good
        self._drained = True


_innermost: ContextVar[Level | None] = ContextVar("sqlwright_level", default=None)
"""Which open savepoint the running task, or the one that made it, stands in. Its transaction is always passed."""


class OpenTransaction:
    """A transaction that is open, on one connection. What `async with database.transaction() as tx` gives."""

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
        self._lease = lease
        self._root = Level(self, None, read_only=read_only)
        self._numbers = count(1)
        self._running: asyncio.Task[Any] | None = None
        """The task whose statement is on its way."""
        self._give_back: Callable[[], Awaitable[Any]] | None = None

    def lease(self, access: Access) -> Turn:
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
        level = _innermost.get()
        while level is not None and level.transaction is not self:
            level = level.around
        return level or self._root

    @asynccontextmanager
    async def _savepoint(self, *, read_only: bool) -> AsyncIterator[None]:
        outer, before = self.level(), _innermost.get()
        outer.admit(Access.READ)
        await outer.take()
        try:
            outer.admit(Access.READ)
            name = f"sqlwright{next(self._numbers)}"
            await self.control(self.engine.savepoint(self._lease, name, timeout_seconds=self.control_seconds))
            level = Level(self, before, read_only=read_only or outer.read_only)
            _innermost.set(level)
            try:
                yield
                await self._keep(level, name)
            except BaseException as error:
                await self._undo(level, name, error)
                raise
            finally:
                level.ended = True
                _innermost.set(before)
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
        self._running = asyncio.current_task()
        try:
            await work
        except BaseException as error:
            self.lost = self.lost or error
            raise
        finally:
            await self.ran()

    def runs(self) -> None:
        self._running = asyncio.current_task()

    async def ran(self) -> None:
        self._running = None
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


class Deadline:
    """The time that something has as a whole."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.timeout = asyncio.timeout(None if seconds == math.inf else seconds)
        self.outcome: Callable[[], Outcome] = lambda: "none"

    def check(self) -> None:
        """Raises when time is up, also where the cancellation that said so was swallowed."""
        if self.timeout.expired():
            raise TimeoutError


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[Deadline]:
    """Cancel what runs inside when time is up, and raise `DeadlineExceeded`."""
    limit = Deadline(seconds)
    try:
        async with limit.timeout:
            yield limit
    except TimeoutError as error:
        if not limit.timeout.expired():
            raise
        message = f"the transaction took longer than {seconds:g} s"
        raise DeadlineExceeded(message, outcome=limit.outcome()) from error


@asynccontextmanager
async def begin(
    holding: AbstractAsyncContextManager[Any],
    engine: Engine,
    *,
    isolation: Isolation | None,
    read_only: bool,
    timeout_seconds: float,
    control_seconds: float,
) -> AsyncIterator[OpenTransaction]:
    """A transaction on a lease of its own, from BEGIN to COMMIT, or to ROLLBACK after any exception.

    Raises what refused the COMMIT; `TransactionFailed` when a statement failed and nobody let that be known;
    `DeadlineExceeded`, with an unknown outcome when COMMIT had been sent.
    """
    async with deadline(timeout_seconds) as limit:
        lease = await holding.__aenter__()
        left_by: BaseException | None = None
        tx = OpenTransaction(engine, lease, isolation=isolation, read_only=read_only, control_seconds=control_seconds)
        limit.outcome = lambda: "unknown" if tx.commits and not read_only else "none"
        try:
            await engine.begin(lease, isolation=isolation, read_only=read_only, timeout_seconds=control_seconds)
            yield tx
            limit.check()
            await tx.commit()
        except BaseException as error:
            left_by = error
            await tx.rollback(error)
            raise
        finally:
            await tx.leave(lambda: holding.__aexit__(type(left_by) if left_by else None, left_by, None))


def told(error: BaseException) -> str:
    """What may be said about it to a caller."""
    return str(error) if isinstance(error, SqlwrightError) else type(error).__name__


def check_isolation(isolation: str | None) -> None:
    if isolation is not None and isolation not in ISOLATIONS:
        raise ValueError(f"{isolation!r} is not an isolation level: one of {', '.join(ISOLATIONS)}")


def strongest(isolations: Iterable[Isolation | None]) -> Isolation | None:
    """The one that satisfies all; None when none is asked for."""
    asked = [isolation for isolation in isolations if isolation is not None]
    return max(asked, key=ISOLATIONS.index, default=None)


async def retry(work: Callable[[], Awaitable[T]], *, attempts: int = 3, turn: asyncio.Lock | None = None) -> T:
    """Do `work`, a whole transaction, and do it again after a `SerializationFailure`: at most `attempts` times in all.

    With `turn`, those that collided go one after the other, so that they do not collide again.
    """
    try:
        return await work()
    except (SerializationFailure, TransactionFailed) as error:
        if attempts <= 1 or not _has_collided(error):
            raise
    return await retry_collided(work, attempts=attempts - 1, turn=turn)


async def retry_collided(work: Callable[[], Awaitable[T]], *, attempts: int, turn: asyncio.Lock | None = None) -> T:
    """As `retry`, for work that has collided once."""
    async with _own(turn):
        attempt = 1
        while True:
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret
            try:
                return await work()
            except (SerializationFailure, TransactionFailed) as error:
                if attempt >= attempts or not _has_collided(error):
                    raise
            attempt += 1


@asynccontextmanager
async def _own(turn: asyncio.Lock | None) -> AsyncIterator[None]:
    """Hold `turn`, if it comes in time: work that retries inside of work that is retried must not wait for itself."""
    held = False
    if turn is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_TURN_SECONDS):
                held = await turn.acquire()
    try:
        yield
    finally:
        if turn is not None and held:
            turn.release()


def _has_collided(error: BaseException) -> bool:
    return isinstance(error, SerializationFailure) or isinstance(error.__cause__, SerializationFailure)
