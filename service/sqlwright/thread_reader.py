"""Short reads on another thread than the event loop's, with a reading session that is kept for it.

A server may take requests on a thread of its own. To have the loop woken for a read of some microseconds, and that
thread for the answer, costs more than the read. So the thread that has the request runs it, and no other.

Everything about the session but that one read is the loop's: it is lent by the pool as to any call, and given back at
once when somebody waits for a session, else every second, so that the pool sees to its age and health as ever.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlwright.engines.base import Engine, Program
from sqlwright.engines.pool import Pool
from sqlwright.query import Result, Values, Window

KEPT_SECONDS = 1.0
"""How long a session is kept before its pool has it again."""
_PAUSE_SECONDS = 0.02
"""Before a session is asked for again that was needed by others."""


class ThreadReader:
    """One session of `pool`, lent to whichever thread calls `read`. All else is called on the loop that made it."""

    def __init__(self, engine: Engine, pool: Pool[Any]) -> None:
        self._engine = engine
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        """Held while the session is read from, or comes and goes."""
        self._reader = 0
        """The thread that has the lock for several reads."""
        self._session: Any = None
        self._asked = False
        """A session has been asked for, and has not come yet."""
        self._wanted = False
        """The loop wants the session back, and found it in use."""
        self._opening: asyncio.Task[None] | None = None
        self._turn: asyncio.TimerHandle | None = None
        self._closed = False
        pool.on_shortage = self._let_others

    # --- any thread -------------------------------------------------------------------------------------------

    def read(self, program: Program, values: Values, window: Window | None) -> Result | None:
        """The whole of a read that is known to be short. None where it has to run in the usual way."""
        if self._reader == threading.get_ident():  # in `together`
            return self._read(program, values, window)
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._read(program, values, window)
        finally:
            self._lock.release()
            self._follow()

    def _read(self, program: Program, values: Values, window: Window | None) -> Result | None:
        session = self._session
        if session is None:
            if not self._asked and not self._closed:
                self._asked = True
                self._loop.call_soon_threadsafe(self._ask)
            return None
        if not self._pool.is_alive(session):
            self._wanted = True
            return None
        return self._engine.read_at_once(session, program, values, window)

    def _follow(self) -> None:
        if self._wanted:
            self._loop.call_soon_threadsafe(self._let_others)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around several `read`s of this thread: they see one state of the database, of now or later, which is asked
        for once."""
        with self._lock:
            session = self._session
            begun = session is not None and self._engine.begin_reads(session)
            self._reader = threading.get_ident()
            try:
                yield
            finally:
                self._reader = 0
                if begun:
                    self._engine.end_reads(session)
        self._follow()

    # --- the loop ---------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if not self._closed and self._opening is None:
            self._opening = self._loop.create_task(self._take())

    async def _take(self) -> None:
        """Wait in line as everybody."""
        session = None
        try:
            session = await self._pool.acquire()
            await self._engine.look_at(session)
        except BaseException as error:
            if session is not None:
                self._pool.release(session)
            if not isinstance(error, Exception):
                raise
            # It is for those who ask for themselves to say what is wrong.
            self._turn = self._loop.call_later(KEPT_SECONDS, self._may_ask)
            return
        finally:
            self._opening = None
        with self._lock:
            self._session = session
            self._wanted = False
        self._turn = self._loop.call_later(KEPT_SECONDS, self._give_back, 0.0)
        if self._pool.waiting:
            self._let_others()

    def _may_ask(self) -> None:
        self._asked = False

    def _let_others(self) -> None:
        self._give_back(_PAUSE_SECONDS)

    def _give_back(self, pause_seconds: float) -> None:
        """The session to its pool. Where it is being read from, that follows as soon as it no longer is."""
        if not self._lock.acquire(blocking=False):
            self._wanted = True
            if not self._lock.acquire(blocking=False):
                return  # the reader sees what is wanted when it has let go of the lock
        session, self._session = self._session, None
        self._wanted = False
        self._lock.release()
        if session is None:
            return
        if self._turn is not None:
            self._turn.cancel()
        self._pool.release(session)
        self._turn = self._loop.call_later(pause_seconds, self._may_ask)

    def close(self) -> None:
        """Before the pool is closed."""
        self._closed = True
        self._pool.on_shortage = lambda: None
        if self._opening is not None:
            self._opening.cancel()
        with self._lock:  # a short read, at the longest
            session, self._session = self._session, None
        if session is not None:
            self._pool.release(session)
        if self._turn is not None:
            self._turn.cancel()
