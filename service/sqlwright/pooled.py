"""One pool of a database: `databases` is its frame, the pool inside is ours."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import databases

from sqlwright.address import Address
from sqlwright.config import Settings
from sqlwright.engines.base import Engine, Program, SessionOptions
from sqlwright.engines.connector import PoolLimits
from sqlwright.engines.pool import Pool

SKIP_SECONDS = 1.0
"""How long a reader that failed is passed over while another is left."""


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
        if self.pool is None:
            return 0
        status = self.pool.status
        return status.size - status.idle + status.waiting

    def failed(self) -> None:
        """Pass it over for a moment; then one call at a time tries it, until one gets through."""
        self.skip_until = asyncio.get_running_loop().time() + SKIP_SECONDS

    def lend_free(self, program: Program) -> tuple[Pool[Any], Any] | None:
        """Its pool and a session that is free and suits the program best, lent until the pool has it back. None where
        there is none. For an engine that starts reads."""
        pool = self._backend.pool
        session = None if pool is None else pool.take(self._backend.chooser(program.query.plan_mode))
        return None if session is None else (pool, session)

    def lease(self) -> Any:
        """A lease that is not yet acquired."""
        return self._backend.connection()


def session_options(settings: Settings, size: int, *, read_only: bool) -> SessionOptions:
    return SessionOptions(
        read_only=read_only,
        limits=PoolLimits(
            size=size,
            waiting_max=settings.waiting_max,
            acquire_timeout_seconds=settings.acquire_timeout_seconds,
            lifetime_seconds=settings.connection_lifetime_seconds or math.inf,
            idle_seconds=settings.connection_idle_seconds or math.inf,
        ),
        statement_timeout_seconds=settings.statement_timeout_seconds,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        big_numbers_as_text=settings.big_numbers == "string",
        idle_in_transaction_timeout_seconds=settings.idle_in_transaction_timeout_seconds,
        pooled=settings.pooler == "transaction",
    )
