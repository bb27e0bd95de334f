"""The pools of a service: one for writing, one or more for reading, each a `databases.Database` with our backends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from sqlwright.address import Address, parse_address
from sqlwright.batching import Batching
from sqlwright.config import Settings
from sqlwright.engines.base import Engine, Program
from sqlwright.engines.connector import PoolStatus
from sqlwright.engines.pool import Pool
from sqlwright.errors import (
    AcquireTimeout,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseUnavailable,
    LockTimeout,
    SqlwrightError,
    TooManyWaiting,
)
from sqlwright.pooled import Pooled, session_options
from sqlwright.query import Access, Isolation, Result, Values, Window
from sqlwright.thread_reader import ThreadReader
from sqlwright.transaction import OpenTransaction, begin, check_isolation, retry, retry_collided

if TYPE_CHECKING:
    from sqlwright.pinned import PinnedDatabase

T = TypeVar("T")

ENGINES = {
    "mysql": "sqlwright.engines.mysql.engine:MySQLEngine",
    "postgresql": "sqlwright.engines.postgres.engine:PostgresEngine",
    "sqlite": "sqlwright.engines.sqlite.engine:SQLiteEngine",
}
"""An engine by the name of its dialect, imported when it is used."""

REFUSAL_SECONDS = 1.0
"""How long the last refusal of a write is believed before it is tried whether writes are taken again."""

GAP_SECONDS = 0.0001
"""A read that begins so soon after the last one is not the only caller's."""


def load_engine(address: Address, settings: Settings) -> Engine:
    module, _, name = ENGINES[address.dialect.name].partition(":")
    engine: Engine = getattr(import_module(module), name)(settings)
    return engine


@dataclass(frozen=True, slots=True)
class Limits:
    """How long waiting for a connection, a statement that begins or ends a transaction, and a transaction may take, and
    how long one may do nothing."""

    acquire_seconds: float
    control_seconds: float
    transaction_seconds: float
    idle_seconds: float


class Database:
    """All pools of one service. A lease is passed on, never looked up."""

    def __init__(self, settings: Settings) -> None:
        address = parse_address(settings.database_url)
        replicas = [parse_address(url) for url in settings.read_urls]
        self.engine = load_engine(address, settings)
        self.limits = Limits(
            settings.acquire_timeout_seconds,
            settings.statement_timeout_seconds,
            settings.transaction_timeout_seconds,
            settings.idle_in_transaction_timeout_seconds,
        )
        self.has_one_pool = self.engine.has_one_pool(address)
        self.batching: Batching | None = None
        """Where calls of one query run together; None where each runs on its own."""
        if settings.batching == "on" and not self.has_one_pool:
            self.batching = Batching(self, waiting_max=settings.waiting_max)
        self._read_at = 0.0
        """When the last short read ended."""
        self.reads_at_once = self.engine.reads_at_once and not self.has_one_pool
        self.starts_reads = self.engine.starts_reads and not replicas
        """`free_reader` gives sessions. With replicas, one would have to be chosen first."""
        self._thread_reader: ThreadReader | None = None
        self._only_lease: Any = None
        self._turn = asyncio.Lock()
        self._refusal: tuple[float, DatabaseError] | None = None
        """When a write was last refused because of the database's own state, and why."""
        sizes = self.engine.pool_sizes
        writing = min(settings.writer_pool_size or sizes.writer, sizes.writer_max)
        reading = settings.reader_pool_size or sizes.reader
        self.connections = (writing, 0 if self.has_one_pool else reading)
        """Connections to the main server, at most: for writing, for reading."""
        self._writer = Pooled(address, self.engine, session_options(settings, writing, read_only=False))
        if self.has_one_pool:
            self._readers = [self._writer]
        else:
            # On a tie the first is taken: the main server comes last.
            options = session_options(settings, reading, read_only=True)
            self._readers = [Pooled(each, self.engine, options) for each in [*replicas, address]]

    async def open(self) -> None:
        """Make the pools. They connect when they are first used, so this works while the database is down."""
        for pooled in self._all():
            await pooled.connect()

    def thread_reader(self) -> ThreadReader | None:
        """For short reads on another thread; None where there is no such thing."""
        if not self.reads_at_once:
            return None
        pool = self._readers[0].pool
        if self._thread_reader is None and pool is not None:
            self._thread_reader = ThreadReader(self.engine, pool)
        return self._thread_reader

    async def close(self) -> None:
        if self._thread_reader is not None:
            self._thread_reader.close()
            self._thread_reader = None
        # In reverse, all of them whatever happens to one. The writer last: on SQLite it is the one that can fold the
        # write-ahead log back into the file.
        async with AsyncExitStack() as pools:
            for pooled in self._all():
                pools.push_async_callback(pooled.disconnect)

    def _all(self) -> list[Pooled]:
        return list(dict.fromkeys([self._writer, *self._readers]))

    def lease(self, access: Access, program: Program | None = None) -> AbstractAsyncContextManager[Any]:
        """`async with database.lease(access) as lease`: a reading session for READ, else a writing one; the one that
        suits the `program` best."""
        return Holding(self, access, program)

    def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout_seconds: float | None = None
    ) -> AbstractAsyncContextManager[OpenTransaction]:
        """`async with database.transaction() as tx`: a connection of its own, committed at the end, all or nothing.

        A read-only one is on a reading session, perhaps of a replica. At `timeout_seconds` (None is the settings') the
        body is cancelled. Raises ValueError for an unknown isolation, and what `transaction.begin` raises.
        """
        check_isolation(isolation)
        return begin(
            self._hold(Access.READ if read_only else Access.WRITE, isolation),
            self.engine,
            isolation=isolation,
            read_only=read_only,
            timeout_seconds=self.limits.transaction_seconds if timeout_seconds is None else timeout_seconds,
            control_seconds=self.limits.control_seconds,
            idle_seconds=self.limits.idle_seconds,
        )

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[PinnedDatabase]:
        """For tests: one writing connection in the place of this database, in one transaction that is rolled back."""
        from sqlwright.pinned import PinnedDatabase  # noqa: PLC0415 - it is a Database itself

        seconds = self.limits.control_seconds
        async with self._hold(Access.WRITE) as lease:
            await self.engine.begin(lease, isolation=None, read_only=False, timeout_seconds=seconds)
            await self.engine.stay_idle(lease, timeout_seconds=seconds)
            try:
                yield PinnedDatabase(self, lease)
            finally:
                with suppress(SqlwrightError):  # the release of the lease would do it, too
                    await self.engine.stop(lease, timeout_seconds=seconds)
                    await self.engine.rollback(lease, timeout_seconds=seconds)

    def _hold(self, access: Access, isolation: Isolation | None = None) -> Holding:
        """A lease for longer than a call."""
        if self.has_one_pool:
            return OnlyHolding(self, access)
        if isolation == "serializable" and access is Access.READ:
            return MainHolding(self, access)
        return Holding(self, access)

    def describing(self) -> AbstractAsyncContextManager[Any]:
        """A lease to ask about statements with, also while a transaction holds the only connection there is."""
        return self.lease(Access.READ) if self._only_lease is None else nullcontext(self._only_lease)

    async def retry(self, work: Callable[[], Awaitable[T]], *, attempts: int = 3) -> T:
        """`transaction.retry`, where those of this process that collided go one after the other."""
        return await retry(work, attempts=attempts, turn=self._turn)

    async def retry_collided(self, work: Callable[[], Awaitable[T]], *, attempts: int) -> T:
        return await retry_collided(work, attempts=attempts, turn=self._turn)

    def main(self, access: Access) -> list[Pooled]:
        """Only the main server."""
        return [self._writer if access is not Access.READ else self._readers[-1]]

    def refused(self, access: Access, error: BaseException | None) -> None:
        """Keep in mind why writes fail: no server, no room, a damaged file."""
        if isinstance(error, DatabaseCorrupt) or (isinstance(error, DatabaseUnavailable) and access is not Access.READ):
            self._refusal = asyncio.get_running_loop().time(), error

    async def ask_writes(self) -> DatabaseError | None:
        """Why writes are refused at present; None where no refusal is known. What is known is tried again here."""
        if self._refusal is None:
            return None
        seen, refusal = self._refusal
        if asyncio.get_running_loop().time() - seen < REFUSAL_SECONDS:
            return refusal
        try:
            async with self.lease(Access.WRITE) as lease:
                await self.engine.try_write(lease, timeout_seconds=self.limits.control_seconds)
        except (AcquireTimeout, TooManyWaiting, LockTimeout):
            pass  # busy is no answer
        except DatabaseError as error:
            if self._refusal[0] == seen:  # another refusal is in mind already
                self._refusal = seen, error
        else:
            self._refusal = None
        return None if self._refusal is None else self._refusal[1]

    def candidates(self, access: Access) -> list[Pooled]:
        """Where to try, best first. What failed a moment ago is left out while another is left."""
        if access is not Access.READ:
            return [self._writer]
        if len(self._readers) == 1:
            return self._readers
        now = asyncio.get_running_loop().time()
        ready = [reader for reader in self._readers if reader.skip_until <= now]
        return sorted(ready or self._readers, key=lambda reader: reader.load)

    def read_at_once(self, program: Program, values: Values, window: Window | None) -> Result | None:
        """The whole of a short read, where that can be; None where it has to run in the usual way.

        In a crowd it has to: several calls in one hop cost less than each on the loop.
        """
        crowded = self.batching is not None and not self.batching.is_idle
        if crowded or time.perf_counter() - self._read_at < GAP_SECONDS or not self.engine.is_short(program):
            return None
        pool = self._readers[0].pool
        session = None if pool is None else pool.lend_now()
        result = None if session is None else self.engine.read_at_once(session, program, values, window)
        self._read_at = time.perf_counter()
        return result

    def free_reader(self, program: Program) -> tuple[Pool[Any], Any] | None:
        """A reading session that is free, lent until its pool has it back; None where there is none at once."""
        reader = self._readers[0]
        return None if reader.skip_until or not self.starts_reads else reader.lend_free(program)

    def refuse_when_full(self, access: Access) -> None:
        """Before a call costs anything. Raises `TooManyWaiting` when it could not even wait for a connection."""
        reads = access is Access.READ
        if not (reads and self.batching is not None and self.batching.is_full):
            for pooled in self._readers if reads else (self._writer,):
                if pooled.pool is None or not pooled.pool.is_full:
                    return
        raise TooManyWaiting("too many calls already wait for a connection")

    def is_waited_for(self, access: Access) -> bool:
        """Whether somebody waits for a connection of this kind."""
        return any(
            p.pool is not None and p.pool.waiting for p in (self._readers if access is Access.READ else [self._writer])
        )

    def status(self) -> dict[str, list[PoolStatus]]:
        groups = {"writer": [self._writer], "reader": self._readers}
        found = {name: [p.pool.status for p in group if p.pool is not None] for name, group in groups.items()}
        if self.batching is not None and found["reader"]:
            reader = found["reader"][0]
            found["reader"][0] = replace(reader, waiting=reader.waiting + self.batching.waiting_beside)
        return found

    async def let_write_beside(self) -> None:
        """Before somebody reads for long: see to it that others can write meanwhile."""
        pool = self._writer.pool
        if self.engine.readers_keep_writers_out and pool is not None and not pool.opened:
            with suppress(SqlwrightError):  # then there is nobody who could
                async with self.lease(Access.WRITE):
                    pass

    def on_return(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the database is there again after all connections of a pool were lost: what was
        known about it may no longer hold."""
        for pooled in self._all():
            assert pooled.pool is not None, "the database is not open"
            pooled.pool.on_return = callback

    @property
    def opened(self) -> int:
        """Connections opened so far, over all pools."""
        return sum(pooled.pool.opened for pooled in self._all() if pooled.pool is not None)


class Holding:
    """One use of a lease. A small class, because every call makes one: a generator costs several times as much."""

    __slots__ = ("_access", "_database", "_lease", "_pooled", "_program")

    def __init__(self, database: Database, access: Access, program: Program | None = None) -> None:
        self._database = database
        self._access = access
        self._program = program

    async def __aenter__(self) -> Any:
        candidates = self._candidates()
        for pooled in candidates:
            lease = pooled.lease()
            if pooled.skip_until:
                pooled.failed()  # while this call tries whether it is back, the others need not wait for the answer
            try:
                await lease.acquire(self._program)
            except (DatabaseUnavailable, DatabaseCorrupt) as error:
                pooled.failed()
                if pooled is candidates[-1]:
                    self._database.refused(self._access, error)
                    raise
                continue
            self._pooled, self._lease = pooled, lease
            return lease
        raise AssertionError("there is always a candidate")

    def _candidates(self) -> list[Pooled]:
        return self._database.candidates(self._access)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A lease cannot leak while it is given back, even when that is cancelled: every engine sees to it.
        broken = self._lease.broken  # a server that did not answer, for one
        await self._lease.release()
        if error is not None:
            self._database.refused(self._access, error)
        if broken or isinstance(error, DatabaseUnavailable):
            self._pooled.failed()
        elif not isinstance(error, asyncio.CancelledError):  # who left in between has seen nothing
            self._pooled.skip_until = 0.0


class MainHolding(Holding):
    """Of the main server: replicas refuse to be serializable."""

    __slots__ = ()

    def _candidates(self) -> list[Pooled]:
        return self._database.main(self._access)


class OnlyHolding(Holding):
    """Of the only connection there is, which can still be asked about statements between those of its holder."""

    __slots__ = ()

    async def __aenter__(self) -> Any:
        self._database._only_lease = lease = await super().__aenter__()
        return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database._only_lease = None
        await super().__aexit__(kind, error, trace)


__all__ = ["ENGINES", "Access", "Database", "Holding", "Pooled", "load_engine"]
