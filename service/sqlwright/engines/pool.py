"""A bounded pool of open connections, the same for every engine.

Waiting has a limit in time and in number; a connection goes from hand to hand without passing through the free
list; `release` never awaits, so no cancellation can come between a caller and giving its connection back. What
must be awaited (undoing a transaction, resetting a session) is done by a task of the pool's own, which either
brings the connection back or throws it away.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlwright.errors import AcquireTimeout, DatabaseUnavailable, TooManyWaiting

C = TypeVar("C")

_CLOSED = "the connections are closed: the service is shutting down, or the `async with` of this database has ended"

logger = logging.getLogger(__name__)


class Connector(ABC, Generic[C]):
    """How one engine opens, checks, mends and ends a driver's connection."""

    @abstractmethod
    async def open(self) -> C:
        """A new session with its settings in place. Errors are ours already (`DatabaseUnavailable` …)."""

    @abstractmethod
    def is_alive(self, connection: C) -> bool:
        """False once the driver knows that the connection is lost. Costs no round trip."""

    @abstractmethod
    def is_clean(self, connection: C) -> bool:
        """True when the session can be handed on as it is."""

    @abstractmethod
    async def mend(self, connection: C) -> None:
        """Stop what still runs, roll back, reset the session. Raising throws the connection away."""

    @abstractmethod
    def terminate(self, connection: C) -> None:
        """End it now, without asking the server."""

    async def close(self, connection: C) -> None:
        """End it properly."""
        self.terminate(connection)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    size: int
    waiting_max: int = 1000
    acquire_timeout_seconds: float = 2.0
    mend_timeout_seconds: float = 1.5


@dataclass(frozen=True, slots=True)
class PoolStatus:
    size: int
    """Connections, in whatever state, those being opened among them."""
    idle: int
    waiting: int
    mending: int


class Pool(Generic[C]):
    """Free connections in a stack (the warmest first), waiters in a line.

    Every connection that exists, is being opened or is kept for a waiter to open fills one of the pool's places; a
    place goes from hand to hand like a connection does, so that no newcomer can take what a waiter was woken for.
    """

    def __init__(self, connector: Connector[C], limits: PoolLimits) -> None:
        self._connector = connector
        self._limits = limits
        self._free: list[C] = []
        self._lent: set[C] = set()
        self._waiters: dict[asyncio.Future[C | None], None] = {}
        self._mending: set[asyncio.Task[None]] = set()
        self._size = 0
        self._closed = False
        self._emptied = asyncio.Event()
        self.opened = 0
        """Connections opened so far: a rise tells that the pool reconnected."""

    @property
    def status(self) -> PoolStatus:
        return PoolStatus(self._size, len(self._free), len(self._waiters), len(self._mending))

    @property
    def is_full(self) -> bool:
        """Whether no more calls may wait."""
        return len(self._waiters) >= self._limits.waiting_max

    @property
    def in_use(self) -> int:
        return self._size - len(self._free)

    async def acquire(self) -> C:
        """An open connection, lent until `release`.

        Raises `AcquireTimeout`, `TooManyWaiting`, or what the connector's `open` raises.
        """
        self._refuse_when_closed()
        while self._free:
            connection = self._free.pop()
            if self._is(self._connector.is_alive, connection):
                self._lent.add(connection)
                return connection
            self._terminate(connection)
            self._vacate()
        deadline = asyncio.get_running_loop().time() + self._limits.acquire_timeout_seconds
        if self._size < self._limits.size:
            self._size += 1  # before the await, so that no other caller opens beyond the bound
            return await self._open(deadline)
        if self.is_full:
            raise TooManyWaiting(f"{len(self._waiters)} calls already wait for a connection")
        handed = await self._wait(deadline)
        if handed is None:
            return await self._open(deadline)
        if not self._is(self._connector.is_alive, handed):
            self._lent.discard(handed)
            self._terminate(handed)
            return await self._open(deadline)
        return handed

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise DatabaseUnavailable(_CLOSED)

    async def _open(self, deadline: float) -> C:
        """Fill a place that is ours already."""
        connection: C | None = None
        try:
            self._refuse_when_closed()
            async with asyncio.timeout_at(deadline):
                connection = await self._connector.open()
            self._refuse_when_closed()
        except BaseException as error:
            if connection is not None:
                self._terminate(connection)
            self._vacate()
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable("connecting to the database took too long") from error
            raise
        self.opened += 1
        self._lent.add(connection)
        return connection

    async def _wait(self, deadline: float) -> C | None:
        """A connection handed over (already lent to us), or None for a place to open one."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[C | None] = loop.create_future()
        self._waiters[turn] = None
        timer = loop.call_at(deadline, self._expire, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiters.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # Our turn came in the same moment: pass it on instead of losing it.
                connection = turn.result()
                if connection is None:
                    self._vacate()
                else:
                    self.release(connection)
            raise
        finally:
            timer.cancel()

    def _expire(self, turn: asyncio.Future[C | None]) -> None:
        if turn in self._waiters:
            del self._waiters[turn]
            if not turn.done():
                seconds = self._limits.acquire_timeout_seconds
                turn.set_exception(AcquireTimeout(f"no connection became free within {seconds:g} s"))

    def release(self, connection: C, *, broken: bool = False) -> None:
        """Give a lent connection back. Never awaits and never raises; of one that is not lent it knows nothing."""
        if connection not in self._lent:
            return
        if broken or self._closed or not self._is(self._connector.is_alive, connection):
            self._drop(connection)
        elif self._is(self._connector.is_clean, connection):
            self._give(connection)
        else:
            task = asyncio.get_running_loop().create_task(self._mend(connection))
            self._mending.add(task)
            task.add_done_callback(lambda done: self._mended(done, connection))

    @staticmethod
    def _is(ask: Callable[[C], bool], connection: C) -> bool:
        try:
            return ask(connection)
        except Exception:
            logger.exception("a connection's state could not be asked")
            return False

    async def _mend(self, connection: C) -> None:
        try:
            async with asyncio.timeout(self._limits.mend_timeout_seconds):
                await self._connector.mend(connection)
        except BaseException as error:
            self._drop(connection)
            if not isinstance(error, Exception):
                raise
        else:
            if self._closed or not self._is(self._connector.is_alive, connection):
                self._drop(connection)
            else:
                self._give(connection)

    def _mended(self, task: asyncio.Task[None], connection: C) -> None:
        self._mending.discard(task)
        if task.cancelled():
            self._drop(connection)  # a task that is cancelled before it begins never reaches its own `except`

    def _give(self, connection: C) -> None:
        if not self._hand_on(connection):
            self._lent.discard(connection)
            self._free.append(connection)

    def _drop(self, connection: C) -> None:
        if connection in self._lent:  # else `close` was faster
            self._lent.discard(connection)
            self._terminate(connection)
            self._vacate()

    def _terminate(self, connection: C) -> None:
        try:
            self._connector.terminate(connection)
        except Exception:
            logger.exception("a connection could not be ended")

    def _vacate(self) -> None:
        """Give up a place: to the first waiter, who opens a connection of its own, else to whoever comes."""
        if not self._hand_on(None):
            self._size -= 1
            if self._size == 0:
                self._emptied.set()

    def _hand_on(self, connection: C | None) -> bool:
        """Wake the first waiter that still waits, with a connection or with a place for one."""
        while self._waiters:
            turn = next(iter(self._waiters))
            del self._waiters[turn]
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    async def close(self, drain_seconds: float = 1.0) -> None:
        """Refuse newcomers, end what is free, give what is lent a moment, then end that too."""
        if self._closed:
            return
        self._closed = True
        for turn in list(self._waiters):
            if not turn.done():
                turn.set_exception(DatabaseUnavailable(_CLOSED))
        self._waiters.clear()
        try:
            async with asyncio.timeout(drain_seconds):
                await self._close_free()
                while self._size:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            pass  # who is not through by now is cut off
        finally:
            for connection in [*self._free, *self._lent]:
                self._terminate(connection)
            self._size -= len(self._free) + len(self._lent)
            self._free.clear()
            self._lent.clear()
            for task in list(self._mending):
                task.cancel()
        await asyncio.gather(*self._mending, return_exceptions=True)

    async def _close_free(self) -> None:
        while self._free:
            connection = self._free[-1]
            try:
                await self._connector.close(connection)
            except Exception:
                logger.exception("a connection could not be closed")
                self._terminate(connection)
            self._free.remove(connection)
            self._vacate()
