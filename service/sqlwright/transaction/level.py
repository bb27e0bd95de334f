"""Levels: what is kept or undone together, and which one a task stands in."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlwright.errors import (
    ReadOnlyTransaction,
    SqlwrightError,
    TransactionClosed,
    TransactionError,
    TransactionFailed,
)
from sqlwright.query import Access

if TYPE_CHECKING:
    from sqlwright.transaction.open import OpenTransaction


class Level:
    """What is kept or undone together: a transaction, or a savepoint in it.

    Its statements run one after the other. While a savepoint is open, the statements of the level around it wait: they
    would be undone with it.
    """

    __slots__ = ("_drained", "_lock", "_transaction", "around", "ended", "failure", "holder", "read_only")

    def __init__(self, transaction: OpenTransaction, around: Level | None, *, read_only: bool) -> None:
        self._transaction = weakref.ref(transaction)  # which has its levels: a cycle would keep both
        self.around = around
        """The level whose place this one takes in its task, possibly one of another transaction."""
        self.read_only = read_only
        self.failure: BaseException | None = None
        self.ended = False
        self.holder: asyncio.Task[Any] | None = None
        self._lock = asyncio.Lock()
        self._drained = False

    def is_of(self, transaction: OpenTransaction) -> bool:
        return self._transaction() is transaction

    def admit(self, access: Access) -> None:
        """Raises when no statement of this kind may run here."""
        transaction = self._transaction()
        if self.ended or transaction is None or transaction.left:
            raise TransactionClosed("the transaction, or the savepoint, has ended")
        failure = transaction.lost or self.failure
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


innermost: ContextVar[Level | None] = ContextVar("sqlwright_level", default=None)
"""Which open savepoint the running task, or the one that made it, stands in. Its transaction is always passed."""


def told(error: BaseException) -> str:
    """What may be said about it to a caller."""
    return str(error) if isinstance(error, SqlwrightError) else type(error).__name__
