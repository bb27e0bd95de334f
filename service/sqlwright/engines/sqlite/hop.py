"""How one call runs on a SQLite session: on its thread, or at once.

aiosqlite gives every connection a thread and a queue of functions. A whole call (BEGIN, the statement, its rows, their
JSON, COMMIT) is one function in that queue: one hop there and back, and no other call can come in between.

A hop costs several times as much as a short read. So what is known to be short runs on the event loop, for a few
milliseconds at most; what takes longer is broken off and goes to the thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import aiosqlite

from sqlwright.engines.sqlite.errors import is_locked
from sqlwright.errors import DatabaseUnavailable, SqlwrightError, StatementTimeout

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, "Hop"], T]

INTERRUPT_SECONDS = 0.005
"""Between two interrupts of a call that must stop: one that comes between two statements goes unheard."""


AT_ONCE_SECONDS = 0.003
"""What runs on the loop may take no longer."""
_STEPS = 1000
"""Of SQLite's machine between two looks at the clock: some microseconds."""


class Hop:
    """One call on a session's thread, as the loop and the thread both see it."""

    __slots__ = ("_finished", "_lock", "_raw", "lock_timeout_seconds", "stopped")

    def __init__(self, raw: sqlite3.Connection, lock_timeout_seconds: float = 0.0) -> None:
        self._raw = raw
        self._lock = threading.Lock()
        self._finished = False
        self.stopped = False
        self.lock_timeout_seconds = lock_timeout_seconds

    def stop(self) -> None:
        """Loop: interrupt the call, again and again until it has finished."""
        self.stopped = True
        with self._lock:
            if self._finished:
                return
            try:
                self._raw.interrupt()
            except sqlite3.ProgrammingError:
                return  # closed meanwhile
        asyncio.get_running_loop().call_later(INTERRUPT_SECONDS, self.stop)

    def check(self) -> None:
        """Thread: raises when the call is no longer wanted."""
        if self.stopped:
            raise StatementTimeout("the statement took too long and was stopped")

    def finish(self) -> None:
        """Thread: from here on nothing interrupts."""
        with self._lock:
            self._finished = True

    def patiently(self, execute: Callable[..., T], *arguments: Any) -> T:
        """Thread: run a statement, waiting for the locks of others as long as allowed."""
        give_up_at: float | None = None
        while True:
            self.check()
            try:
                return execute(*arguments)
            except sqlite3.OperationalError as error:
                if not is_locked(error):
                    raise
                now = time.monotonic()
                if give_up_at is None:
                    give_up_at = now + self.lock_timeout_seconds
                if now >= give_up_at:
                    raise
                time.sleep(0.001)  # SQLite does not always wait by itself


class Watch:
    """Around what runs at once, on the calling thread: it is broken off when it takes too long."""

    __slots__ = ("_late", "_raw")

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._late = 0.0

    def __enter__(self) -> None:
        self._late = time.perf_counter() + AT_ONCE_SECONDS
        self._raw.set_progress_handler(self._is_late, _STEPS)

    def __exit__(self, *_: object) -> None:
        self._raw.set_progress_handler(None, 0)

    def _is_late(self) -> bool:
        return time.perf_counter() > self._late


class Session:
    """An open connection with what its pool must know of it."""

    __slots__ = (
        "busy",
        "connection",
        "cursors",
        "ended",
        "has_log",
        "lock_timeout_seconds",
        "log",
        "number",
        "raw",
        "touched",
        "unstopped",
        "watch",
        "worn",
    )

    def __init__(self, connection: aiosqlite.Connection, lock_timeout_seconds: float, number: int) -> None:
        self.connection = connection
        self.number = number
        """Of the file it has open, see `KnownFile`."""
        self.log: tuple[int, int] | None = None
        """The write-ahead log that it writes to, once there is one."""
        # sqlite3's own object: our functions run on the thread that owns it.
        self.raw: sqlite3.Connection = connection._conn
        self.lock_timeout_seconds = lock_timeout_seconds
        self.busy = 0
        """Calls that run, or were left by their callers and may still run."""
        self.has_log = False
        """A write-ahead log: readers do not wait for the writer."""
        self.touched = False
        """Used other than by `call`, so that nothing is known of its state."""
        self.worn = False
        """Its settings, temporary tables or attached files may have changed."""
        self.ended = False
        self.cursors: list[sqlite3.Cursor] = []
        """Of streams, still open: each keeps the snapshot that it began with."""
        self.watch = Watch(self.raw)
        self.unstopped = Hop(self.raw)
        """Of what runs at once."""

    @property
    def is_idle(self) -> bool:
        """Nothing runs, or may still run, on its thread."""
        return not (self.ended or self.busy or self.touched or self.worn or self.cursors)

    async def call(self, work: Work[T], timeout_seconds: float | None) -> T:
        """Run `work` on the session's thread. At the deadline, or when the caller leaves, it is interrupted."""
        if self.ended:
            raise DatabaseUnavailable("the connection to the database is closed")
        hop = Hop(self.raw, self.lock_timeout_seconds)
        timer = None
        if timeout_seconds is not None:
            timer = asyncio.get_running_loop().call_later(timeout_seconds, hop.stop)
        self.busy += 1
        try:
            # Private, and the point of aiosqlite for us: a public method would run one statement a hop.
            result: T = await self.connection._execute(_run, work, self.raw, hop)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            hop.stop()  # `busy` stays: the pool mends the session, which waits for the thread
            raise
        except Exception as error:
            self.busy -= 1
            if isinstance(error, sqlite3.Error | SqlwrightError):
                # Its frames lead to aiosqlite's future, which has the error: a cycle would keep all of the call.
                error.__traceback__ = None
            if self.ended:  # interrupted by whoever ended the session
                raise DatabaseUnavailable("the connection to the database is closed") from error
            raise
        finally:
            if timer is not None:
                timer.cancel()
        self.busy -= 1
        return result


def _run(work: Work[T], raw: sqlite3.Connection, hop: Hop) -> T:
    try:
        return work(raw, hop)
    finally:
        hop.finish()
