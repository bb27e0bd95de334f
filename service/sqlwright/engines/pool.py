"""A bounded pool of open connections, the same for every engine.

Waiting has a limit in time and in number; a connection goes from hand to hand without passing through the free
list; `release` never awaits, so no cancellation can come between a caller and giving its connection back. What
must be awaited (undoing a transaction, resetting a session) is done by a task of the pool's own, which either
brings the connection back or throws it away.

Connections are opened by tasks of the pool's own, too, for those who wait. When the database is away, one of them
goes on alone and tries again, so an outage costs the database's machine a few attempts a second, whatever the load.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Generic

from sqlwright.engines.connector import C, Connector, PoolLimits, PoolStatus
from sqlwright.errors import AcquireTimeout, DatabaseUnavailable, TooManyWaiting

OPENINGS_MAX = 2
"""Connections that a pool opens at the same time: a server that has just come back is not run over."""
PAUSE_SECONDS = (0.05, 0.4)
"""First and longest pause before the prober tries again, each a fifth more or less: workers drift apart."""

_CLOSED = "the connections are closed: the service is shutting down, or the `async with` of this database has ended"

logger = logging.getLogger(__name__)


class Pool(Generic[C]):
    """Free connections in a stack (the warmest first), waiters in a line.

    Whoever finds no free connection waits, and one is opened as long as there is room. The opening that finds the
    database away becomes the prober, the only one while it tries again. Without a connection left the pool then is
    down: who waits or comes is refused at once, with the reason, until the prober has one.
    """

    def __init__(self, connector: Connector[C], limits: PoolLimits) -> None:
        self._connector = connector
        self._limits = limits
        self._free: dict[C, float] = {}  # with the time since when; the longest first
        self._ends: dict[C, float] = {}  # when the life of each is over
        self._next_look: asyncio.TimerHandle | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._lent: set[C] = set()
        self._distrusted: set[C] = set()  # of those that are lent
        self._waiters: dict[asyncio.Future[C], None] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._mending: set[asyncio.Task[None]] = set()
        self._prober: asyncio.Task[None] | None = None
        self._refusal: DatabaseUnavailable | None = None
        """What everybody is told who comes while the pool is down or closed."""
        self._closed = False
        self._hurry = asyncio.Event()  # the prober shall try now
        self._emptied = asyncio.Event()
        self.opened = 0
        """Connections opened so far: a rise tells that the pool reconnected."""
        self.on_return: Callable[[], None] | None = None
        """Called when there is a connection again after all were lost: the database may be another one now."""
        self.on_shortage: Callable[[], None] = lambda: None
        """Called when more are needed than there may be, for who has one to spare."""

    @property
    def status(self) -> PoolStatus:
        return PoolStatus(self._size, len(self._free), len(self._waiters), len(self._mending))

    def lend_now(self) -> C | None:
        """One that is free and stays so: for what is over before anybody else has a turn."""
        connection = next(reversed(self._free), None)
        return connection if connection is not None and self.is_alive(connection) else None

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @property
    def is_full(self) -> bool:
        """Whether no more calls may wait."""
        return len(self._waiters) >= self._limits.waiting_max + self._limits.size - self._size

    @property
    def _size(self) -> int:
        return len(self._free) + len(self._lent)

    async def acquire(self, fits: Callable[[C], bool] | None = None) -> C:
        """An open connection, lent until `release`; one of those that are free and fit, if there is one.

        Raises `AcquireTimeout`, `TooManyWaiting`, `DatabaseUnavailable`, or what else the connector's `open` raises.
        """
        if self._refusal is not None:
            raise copy(self._refusal)
        if not self._free and self._size >= self._limits.size:
            self.on_shortage()
        if (free := self.take(fits)) is not None:
            return free
        if self.is_full:
            raise TooManyWaiting(f"{len(self._waiters)} calls already wait for a connection")
        deadline = asyncio.get_running_loop().time() + self._limits.acquire_timeout_seconds
        for _ in range(2):
            connection = await self._wait(deadline)
            if self.is_alive(connection):
                return connection
            self._drop(connection)  # it died in the hand-over
        raise DatabaseUnavailable("the database ends connections as soon as they are open")

    def take(self, fits: Callable[[C], bool] | None = None) -> C | None:
        """One of those that are free, lent until `release`; None where there is none."""
        while self._free and self._refusal is None:
            connection, _ = self._free.popitem()
            if fits is not None and not fits(connection):
                connection = self._swap(connection, fits)
            if self._is(self._connector.is_alive, connection):
                self._lent.add(connection)
                return connection
            self._terminate(connection)
            self._shrunk()
        return None

    def _swap(self, connection: C, fits: Callable[[C], bool]) -> C:
        """Another free one that fits in the place of this one, where there is one."""
        for other in reversed(self._free):
            if fits(other):
                self._free[connection] = self._free.pop(other)
                return other
        return connection

    async def _wait(self, deadline: float) -> C:
        """A connection handed over, already lent to us."""
        if self._refusal is not None:
            raise copy(self._refusal)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[C] = loop.create_future()
        self._waiters[turn] = None
        self._grow()
        if len(self._waiters) > self._limits.size - self._size:
            self.on_shortage()
        timer = loop.call_at(deadline, self._expire, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiters.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(turn.result())  # our turn came in the same moment: pass it on instead of losing it
            raise
        finally:
            timer.cancel()
            del turn  # its error leads back here

    def _expire(self, turn: asyncio.Future[C]) -> None:
        if turn in self._waiters:
            del self._waiters[turn]
            if not turn.done():
                seconds = self._limits.acquire_timeout_seconds
                turn.set_exception(
                    AcquireTimeout(f"no connection became free within {seconds:g} s")
                    if self._size
                    else DatabaseUnavailable("connecting to the database took too long")
                )

    # --- opening ----------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Open connections for those who wait, a few at a time, and none beside the prober."""
        while (
            self._prober is None
            and self._refusal is None
            and len(self._opening) < min(OPENINGS_MAX, len(self._waiters), self._limits.size - self._size)
        ):
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open(self) -> None:
        """Open one connection for who waits first; as the prober, try until there is one or nobody needs it."""
        me = asyncio.current_task()
        pause, longest = PAUSE_SECONDS
        while self._waiters or self._refusal is not None:
            try:
                connection = await self._connector.open()
            except DatabaseUnavailable as error:
                if self._prober is not None and self._prober is not me:
                    return
                self._prober = me
                self._failed(error)
            except Exception as error:
                self._tell_waiters(error)  # not a matter of waiting: the next caller shall try again
                return
            else:
                self._came(connection)
                return
            await self._pause(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, no secret
            pause = min(pause * 2, longest)

    async def _pause(self, seconds: float) -> None:
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _failed(self, error: DatabaseUnavailable) -> None:
        if not self._size and not self._closed:
            self._refusal = error
            self._tell_waiters(error)

    def _came(self, connection: C) -> None:
        if self._closed:
            self._terminate(connection)
            return
        returns = self.opened > 0 and not self._size
        self.opened += 1
        self._prober = self._refusal = None
        self._lent.add(connection)
        # A little apart, so that connections which were opened together are not closed together.
        self._ends[connection] = time.monotonic() + self._limits.lifetime_seconds * random.uniform(0.9, 1.0)  # noqa: S311
        self._give(connection)
        if returns and self.on_return is not None:
            self.on_return()

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self._prober is task:  # nobody needs it any more, or it was ended from outside
            self._prober = None
            self._refusal = self._refusal if self._closed else None
        self._grow()

    def _tell_waiters(self, error: Exception) -> None:
        waiters, self._waiters = self._waiters, {}
        for turn in waiters:
            if not turn.done():
                turn.set_exception(copy(error) if isinstance(error, DatabaseUnavailable) else error)

    # --- giving back ------------------------------------------------------------------------------------------

    def release(self, connection: C, *, broken: bool = False) -> None:
        """Give a lent connection back. Never awaits and never raises; of one that is not lent it knows nothing."""
        if connection not in self._lent:
            return
        if not broken and not self._closed and self._is(self._connector.is_clean, connection):
            self._give(connection)
        elif broken or self._closed or not self.is_alive(connection):
            self._drop(connection)
        else:
            task = asyncio.get_running_loop().create_task(self._mend(connection))
            self._mending.add(task)
            task.add_done_callback(lambda done: self._mended(done, connection))

    def is_alive(self, connection: C) -> bool:
        return self._is(self._connector.is_alive, connection)

    def _is(self, so: Callable[[C], bool], connection: C) -> bool:
        try:
            return so(connection)
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
            if self._closed or not self.is_alive(connection):
                self._drop(connection)
            else:
                self._give(connection)

    def _mended(self, task: asyncio.Task[None], connection: C) -> None:
        self._mending.discard(task)
        if task.cancelled():
            self._drop(connection)  # a task that is cancelled before it begins never reaches its own `except`

    def _give(self, connection: C) -> None:
        now = time.monotonic()
        if self._distrusted and connection in self._distrusted:
            self._drop(connection)
        elif self._ends[connection] <= now:
            self._lent.discard(connection)
            self._retire(connection)
        elif not (self._waiters and self._hand_on(connection)):
            self._lent.discard(connection)
            self._free[connection] = now
            if self._next_look is None and self._limits.look_seconds < math.inf:
                self._next_look = asyncio.get_running_loop().call_later(self._limits.look_seconds, self._look)

    def _look(self) -> None:
        """Close what was not needed for long, or is old."""
        self._next_look = None
        now = time.monotonic()
        for connection, since in list(self._free.items()):
            unneeded = since + self._limits.idle_seconds <= now and len(self._free) > 1
            if unneeded or self._ends[connection] <= now:
                del self._free[connection]
                self._retire(connection)
        if self._free:
            self._next_look = asyncio.get_running_loop().call_later(self._limits.look_seconds, self._look)

    def _retire(self, connection: C) -> None:
        """Close what nobody has any more."""
        self._ends.pop(connection, None)
        task = asyncio.get_running_loop().create_task(self._close(connection))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        self._shrunk()

    async def _close(self, connection: C) -> None:
        try:
            await self._connector.close(connection)
        except Exception:
            logger.exception("a connection could not be closed")
            self._terminate(connection)

    def _drop(self, connection: C) -> None:
        if connection in self._lent:  # else `close` was faster
            self._lent.discard(connection)
            self._distrusted.discard(connection)
            self._terminate(connection)
            self._shrunk()

    def _shrunk(self) -> None:
        """A connection is gone: there is room for another, or none is left at all."""
        if self._size == 0:
            self._emptied.set()
            self._hurry.set()  # what the prober was told while others lived need not hold any more
        self._grow()

    def distrust(self) -> None:
        """Throw all connections away, what is lent when it comes back: their server is of no use any more."""
        self._distrusted = set(self._lent)
        free, self._free = self._free, {}
        for connection in free:
            self._terminate(connection)
        self._shrunk()

    def _terminate(self, connection: C) -> None:
        self._ends.pop(connection, None)
        try:
            self._connector.terminate(connection)
        except Exception:
            logger.exception("a connection could not be ended")

    def _hand_on(self, connection: C) -> bool:
        """Wake the first waiter that still waits."""
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
        if self._next_look is not None:
            self._next_look.cancel()
        self._refusal = DatabaseUnavailable(_CLOSED)
        self._tell_waiters(self._refusal)
        for task in self._opening:
            task.cancel()
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
            self._free.clear()
            self._lent.clear()
            self._distrusted.clear()
            for task in self._mending:
                task.cancel()
        await asyncio.gather(*self._opening, *self._mending, *self._retiring, return_exceptions=True)

    async def _close_free(self) -> None:
        while self._free:
            connection = next(iter(self._free))
            await self._close(connection)
            self._free.pop(connection, None)
            self._ends.pop(connection, None)
            self._shrunk()
