"""Leases of sessions: `databases` is the frame, the pool is ours."""

from __future__ import annotations

from typing import Any

from databases import DatabaseURL
from databases.backends.mysql import MySQLBackend as StockBackend
from databases.backends.mysql import MySQLConnection as StockConnection

from sqlwright.engines.base import Lease, Program, SessionOptions
from sqlwright.engines.mysql.connector import MySQLConnector
from sqlwright.engines.mysql.session import Session
from sqlwright.engines.pool import Pool
from sqlwright.time_limit import TimeLimits


class MySQLLease(StockConnection, Lease[Session]):
    """A session of the pool. Named queries run by its `session`, SQLAlchemy expressions by the inherited methods."""

    def __init__(self, backend: MySQLBackend, dialect: Any) -> None:
        super().__init__(backend, dialect)
        self._backend = backend
        self.time_limits = backend.time_limits
        self.read_only = backend.options.read_only
        self.broken = False
        """Throw the session away at release."""
        self.only_reads = self.read_only
        """The open transaction cannot write."""

    @property
    def session(self) -> Session:
        session: Session | None = self._connection
        assert session is not None, "the lease is not held"
        return session

    async def acquire(self, program: Program | None = None) -> None:  # noqa: ARG002 - any session will do
        assert self._connection is None, "the lease is already held"
        self._connection = await self._backend.running_pool.acquire()
        self.broken = False
        self.in_transaction = False

    def distrust(self) -> None:
        """The server is no longer the one to talk to."""
        self.broken = True
        self._backend.running_pool.distrust()

    async def stop(self) -> None:
        """End the statement that a cancelled caller has left."""
        if self.session.is_busy:
            await self._backend.connector.stop(self.session)

    async def release(self) -> None:
        """Never awaits, so that no cancellation comes between a caller and giving back."""
        session, self._connection = self._connection, None
        if session is not None:
            self._backend.running_pool.release(session, broken=self.broken)


class MySQLBackend(StockBackend):
    def __init__(self, database_url: DatabaseURL | str, *, options: SessionOptions) -> None:
        super().__init__(database_url)
        self.options = options
        self.time_limits = TimeLimits()
        self.pool: Pool[Session] | None = None
        self._connector: MySQLConnector | None = None

    @property
    def running_pool(self) -> Pool[Session]:
        assert self.pool is not None, "the database is not open"
        return self.pool

    @property
    def connector(self) -> MySQLConnector:
        assert self._connector is not None, "the database is not open"
        return self._connector

    async def connect(self) -> None:
        self._connector = MySQLConnector(str(self._database_url), self.options)
        self.pool = Pool(self._connector, self.options.limits)

    async def disconnect(self) -> None:
        await self.running_pool.close()
        if self._connector is not None:
            await self._connector.all_ended()

    def connection(self) -> MySQLLease:
        return MySQLLease(self, self._dialect)
