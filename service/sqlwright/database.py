"""The pools of a service: one for writing, one or more for reading, each a `databases.Database` with our backends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType
from typing import Any

import databases

from sqlwright.address import Address, parse_address
from sqlwright.config import Settings
from sqlwright.engines.base import Engine, SessionOptions
from sqlwright.engines.pool import Pool, PoolLimits, PoolStatus
from sqlwright.errors import DatabaseUnavailable
from sqlwright.query import Access

ENGINES = {
    "postgresql": "sqlwright.engines.postgres.engine:PostgresEngine",
    "sqlite": "sqlwright.engines.sqlite.engine:SQLiteEngine",
}
"""An engine by the name of its dialect, imported when it is used."""

SKIP_SECONDS = 1.0
"""How long a reader that failed is passed over while another is left."""


def load_engine(address: Address, settings: Settings) -> Engine:
    module, _, name = ENGINES[address.dialect.name].partition(":")
    engine: Engine = getattr(import_module(module), name)(settings)
    return engine


class Pooled(databases.Database):
    """`databases` as the frame of a pool: its URL, its life, its SUPPORTED_BACKENDS, which are ours."""

    def __init__(self, address: Address, engine: Engine, options: SessionOptions) -> None:
        self.SUPPORTED_BACKENDS = {address.dialect.name: engine.backend}
        super().__init__(address.url, options=options)
        self.skip_until = 0.0

    async def connect(self) -> None:
        # Not the stock one, which logs the URL; and at DEBUG its logger would print every value.
        logger = logging.getLogger("databases")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        if not self.is_connected:
            await self._backend.connect()
            self.is_connected = True

    async def disconnect(self) -> None:
        if self.is_connected:
            self.is_connected = False
            await self._backend.disconnect()

    @property
    def pool(self) -> Pool[Any] | None:
        pool: Pool[Any] | None = self._backend.pool
        return pool

    @property
    def load(self) -> int:
        """Connections in use, and calls that wait for one."""
        return 0 if self.pool is None else self.pool.in_use + self.pool.status.waiting

    def failed(self) -> None:
        """Pass it over for a moment; then one call at a time tries it, until one gets through."""
        self.skip_until = asyncio.get_running_loop().time() + SKIP_SECONDS

    def lease(self) -> Any:
        """A lease that is not yet acquired."""
        return self._backend.connection()


class Database:
    """All pools of one service. A lease is passed on, never looked up."""

    def __init__(self, settings: Settings) -> None:
        address = parse_address(settings.database_url)
        replicas = [parse_address(url) for url in settings.read_urls]
        self.engine = load_engine(address, settings)
        sizes = self.engine.pool_sizes
        writing = min(settings.writer_pool_size or sizes.writer, sizes.writer_max)
        reading = settings.reader_pool_size or sizes.reader
        self._writer = Pooled(address, self.engine, _options(settings, writing, read_only=False))
        if self.engine.has_one_pool(address):
            self._readers = [self._writer]
        else:
            # On a tie the first is taken: the main server comes last.
            options = _options(settings, reading, read_only=True)
            self._readers = [Pooled(each, self.engine, options) for each in [*replicas, address]]

    async def open(self) -> None:
        """Make the pools. They connect when they are first used, so this works while the database is down."""
        for pooled in self._all():
            await pooled.connect()

    async def close(self) -> None:
        # In reverse, all of them whatever happens to one. The writer last: on SQLite it is the one that can fold the
        # write-ahead log back into the file.
        async with AsyncExitStack() as pools:
            for pooled in self._all():
                pools.push_async_callback(pooled.disconnect)

    def _all(self) -> list[Pooled]:
        return list(dict.fromkeys([self._writer, *self._readers]))

    def lease(self, access: Access) -> Holding:
        """`async with database.lease(access) as lease`: a reading session for READ, else a writing one."""
        return Holding(self, access)

    def candidates(self, access: Access) -> list[Pooled]:
        """Where to try, best first. What failed a moment ago is left out while another is left."""
        if access is not Access.READ:
            return [self._writer]
        if len(self._readers) == 1:
            return self._readers
        now = asyncio.get_running_loop().time()
        ready = [reader for reader in self._readers if reader.skip_until <= now]
        return sorted(ready or self._readers, key=lambda reader: reader.load)

    def status(self) -> dict[str, list[PoolStatus]]:
        groups = {"writer": [self._writer], "reader": self._readers}
        return {name: [p.pool.status for p in group if p.pool is not None] for name, group in groups.items()}

    @property
    def opened(self) -> int:
        """Connections opened so far, over all pools."""
        return sum(pooled.pool.opened for pooled in self._all() if pooled.pool is not None)


class Holding:
    """One use of a lease. A small class, because every call makes one: a generator costs several times as much."""

    __slots__ = ("_access", "_database", "_lease", "_pooled")

    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access

    async def __aenter__(self) -> Any:
        candidates = self._database.candidates(self._access)
        for pooled in candidates:
            lease = pooled.lease()
            if pooled.skip_until:
                pooled.failed()  # while this call tries whether it is back, the others need not wait for the answer
            try:
                await lease.acquire()
            except DatabaseUnavailable:
                pooled.failed()
                if pooled is candidates[-1]:
                    raise
                continue
            self._pooled, self._lease = pooled, lease
            return lease
        raise AssertionError("there is always a candidate")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A lease cannot leak while it is given back, even when that is cancelled: every engine sees to it.
        broken = self._lease.broken  # a server that did not answer, for one
        await self._lease.release()
        if broken or isinstance(error, DatabaseUnavailable):
            self._pooled.failed()
        elif not isinstance(error, asyncio.CancelledError):  # who left in between has seen nothing
            self._pooled.skip_until = 0.0


def _options(settings: Settings, size: int, *, read_only: bool) -> SessionOptions:
    return SessionOptions(
        read_only=read_only,
        limits=PoolLimits(
            size=size,
            waiting_max=settings.waiting_max,
            acquire_timeout_seconds=settings.acquire_timeout_seconds,
        ),
        statement_timeout_seconds=settings.statement_timeout_seconds,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        big_numbers_as_text=settings.big_numbers == "string",
    )


__all__ = ["ENGINES", "Access", "Database", "Holding", "Pooled", "load_engine"]
