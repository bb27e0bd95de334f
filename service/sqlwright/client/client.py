"""The client of a database, and a transaction on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlwright.client.expressions import Expressions
from sqlwright.client.source import Memory, Source
from sqlwright.contract import Contracts
from sqlwright.database import Database
from sqlwright.execute import Where
from sqlwright.query import Access, Isolation
from sqlwright.transaction import OpenTransaction

if TYPE_CHECKING:
    from sqlwright.crud import Tables

T = TypeVar("T")


class Client(Expressions):
    """What `async with connect(…) as db` gives. May be used by many tasks at once; each call has a connection of its
    own for as long as it runs, and never joins a transaction: a transaction's calls go through its `tx`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, Memory(source))

    @property
    def _where(self) -> Where:
        return self._source.database

    @property
    def database(self) -> Database:
        return self._source.database

    @property
    def contracts(self) -> Contracts:
        return self._source.contracts

    @property
    def tables(self) -> Tables:
        """What is known of the tables; `table(name)` is for calls."""
        return self._memory.tables

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout: float | None = None
    ) -> AsyncIterator[Transaction]:
        """`async with db.transaction() as tx`: all that is called on `tx`, or nothing of it.

        Committed at the end, rolled back by any exception. `isolation` is "read_committed", "repeatable_read" or
        "serializable", and at least that is given. `timeout` is for the whole, in seconds.

        Raises what refused the COMMIT, `TransactionFailed` when a statement of it had failed and its exception was
        caught, and `DeadlineExceeded`.
        """
        database = self._source.database
        async with database.transaction(isolation=isolation, read_only=read_only, timeout_seconds=timeout) as opened:
            yield Transaction(self._source, self._memory, opened)

    async def retry(
        self,
        function: Callable[[Transaction], Awaitable[T]],
        *,
        attempts: int = 3,
        isolation: Isolation | None = None,
        read_only: bool = False,
        timeout: float | None = None,
    ) -> T:
        """`await db.retry(function)`: `function(tx)` in a transaction, and all of it again when the database gave it up
        because of a concurrent one (a serialization failure, a deadlock), at most `attempts` times in all."""

        async def work() -> T:
            async with self.transaction(isolation=isolation, read_only=read_only, timeout=timeout) as tx:
                return await function(tx)

        return await self._source.database.retry(work, attempts=attempts)

    def lease(self, *, write: bool = False) -> AbstractAsyncContextManager[Any]:
        """`async with db.lease() as lease`: a connection of the readers (or the writers), with the methods of a
        connection of `databases` for SQLAlchemy expressions; errors are the driver's."""
        return self._source.database.lease(Access.WRITE if write else Access.READ)


class Transaction(Expressions):
    """What `async with db.transaction() as tx` gives. Its calls run one after the other on one connection.

    A call that fails makes the transaction fail, on every database: later ones raise `TransactionFailed`. To go on
    after an expected failure, put the call in a savepoint.
    """

    def __init__(self, source: Source, memory: Memory, opened: OpenTransaction) -> None:
        super().__init__(source, memory)
        self._opened = opened

    @property
    def _where(self) -> Where:
        return self._opened

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """`async with tx.savepoint()`: an exception that leaves it undoes what was done inside, and only that."""
        return self._opened.savepoint()

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout: float | None = None
    ) -> AsyncIterator[Transaction]:
        """For code that makes a transaction of its own wherever it runs: here it is a savepoint."""
        inner = self._opened.transaction(isolation=isolation, read_only=read_only, timeout_seconds=timeout)
        async with inner as opened:
            yield Transaction(self._source, self._memory, opened)

    def lease(self, *, write: bool = False) -> AbstractAsyncContextManager[Any]:
        """The transaction's connection; its other calls wait until it is given back."""
        return self._opened.lease(Access.WRITE if write else Access.READ)
