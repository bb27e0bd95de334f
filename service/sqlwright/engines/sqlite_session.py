"""SQLite sessions: how they are opened, lent, mended and ended, and how one call runs on a session's thread.

aiosqlite gives every connection a thread and a queue of functions. A whole call (BEGIN, the statement, its rows, their
JSON, COMMIT) is one function in that queue: one hop there and back, and no other call can come in between.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from databases import DatabaseURL
from databases.backends.sqlite import SQLiteBackend as StockBackend
from databases.backends.sqlite import SQLiteConnection as StockConnection

from sqlwright.engines.base import Lease, SessionOptions
from sqlwright.engines.pool import Connector, Pool
from sqlwright.engines.sqlite_errors import cannot_open
from sqlwright.errors import DatabaseUnavailable, StatementTimeout

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, "Hop"], T]

STATEMENTS_MAX = 1024
"""Prepared statements kept per session."""
INTERRUPT_SECONDS = 0.005
"""Between two interrupts of a call that must stop: one that comes between two statements goes unheard."""
BUSY_SECONDS = 0.025
"""How long SQLite itself waits for a lock. Nothing can interrupt that wait, so the longer one is a loop of ours."""
CLOSE_SECONDS = 5.0

_MEMORY = ":memory:"
_PRAGMAS = ("synchronous=normal", "foreign_keys=on", "temp_store=memory", "trusted_schema=off")


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
                code = getattr(error, "sqlite_errorcode", 0)
                if code & 0xFF != sqlite3.SQLITE_BUSY or code == sqlite3.SQLITE_BUSY_SNAPSHOT:
                    raise
                now = time.monotonic()
                if give_up_at is None:
                    give_up_at = now + self.lock_timeout_seconds
                if now >= give_up_at:
                    raise
                time.sleep(0.001)  # SQLite does not always wait by itself


class Session:
    """An open connection with what its pool must know of it."""

    __slots__ = ("busy", "connection", "ended", "lock_timeout_seconds", "raw", "touched", "worn")

    def __init__(self, connection: aiosqlite.Connection, lock_timeout_seconds: float) -> None:
        self.connection = connection
        # sqlite3's own object: our functions run on the thread that owns it.
        self.raw: sqlite3.Connection = connection._conn
        self.lock_timeout_seconds = lock_timeout_seconds
        self.busy = False
        """A call runs, or was left by its caller and may still run."""
        self.touched = False
        """Used other than by `call`, so that nothing is known of its state."""
        self.worn = False
        """Its settings, temporary tables or attached files may have changed."""
        self.ended = False

    async def call(self, work: Work[T], timeout_seconds: float | None) -> T:
        """Run `work` on the session's thread. At the deadline, or when the caller leaves, it is interrupted."""
        if self.ended:
            raise DatabaseUnavailable("the connection to the database is closed")
        hop = Hop(self.raw, self.lock_timeout_seconds)
        timer = None
        if timeout_seconds is not None:
            timer = asyncio.get_running_loop().call_later(timeout_seconds, hop.stop)
        self.busy = True
        try:
            # Private, and the point of aiosqlite for us: a public method would run one statement a hop.
            result: T = await self.connection._execute(_run, work, self.raw, hop)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            hop.stop()  # `busy` stays: the pool mends the session, which waits for the thread
            raise
        except BaseException:
            self.busy = False
            raise
        finally:
            if timer is not None:
                timer.cancel()
        self.busy = False
        return result


def _run(work: Work[T], raw: sqlite3.Connection, hop: Hop) -> T:
    try:
        return work(raw, hop)
    finally:
        hop.finish()


class _Opening:
    """Opens on the new connection's own thread; if the opener leaves meanwhile, nothing stays open."""

    def __init__(self, path: Path | None, read_only: bool) -> None:
        self._path = path
        self._read_only = read_only
        self._lock = threading.Lock()
        self._abandoned = False
        self._raw: sqlite3.Connection | None = None

    def open(self) -> sqlite3.Connection:
        """Thread."""
        if self._read_only and self._path is not None and not self._path.exists():
            # As for a writer, a file that is not there is an empty database.
            self._connect("rwc").close()
        raw = self._connect("ro" if self._read_only else "rwc")
        with self._lock:
            if not self._abandoned:
                self._raw = raw
                return raw
        raw.close()
        raise sqlite3.OperationalError("opened for nobody")

    def abandon(self) -> None:
        """Loop."""
        with self._lock:
            self._abandoned = True
            raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def _connect(self, mode: str) -> sqlite3.Connection:
        target = _MEMORY if self._path is None else f"{self._path.absolute().as_uri()}?mode={mode}"
        raw = sqlite3.connect(
            target,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            cached_statements=STATEMENTS_MAX,
            check_same_thread=False,  # `abandon` closes from the loop; else only the connection's thread uses it
        )
        try:
            # SQLite opens a file when it is first read: anything wrong with it shows here.
            raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").close()
            if mode == "rwc":
                try:
                    raw.execute("PRAGMA journal_mode=wal").close()
                except sqlite3.OperationalError:
                    pass  # read-only media, or in use right now: the mode it has works too
            set_pragmas(raw, read_only=mode == "ro")
        except BaseException:
            raw.close()
            raise
        return raw


def set_pragmas(raw: sqlite3.Connection, *, read_only: bool) -> None:
    for pragma in (*_PRAGMAS, f"query_only={'on' if read_only else 'off'}"):
        raw.execute(f"PRAGMA {pragma}").close()


class SQLiteConnector(Connector[Session]):
    def __init__(self, path: Path | None, options: SessionOptions) -> None:
        self._path = path
        """None for a database in memory, which lives and dies with its one connection."""
        self._options = options
        self._ending: set[asyncio.Future[Any]] = set()

    async def open(self) -> Session:
        opening = _Opening(self._path, self._options.read_only and self._path is not None)
        try:
            async with asyncio.timeout(self._options.connect_timeout_seconds):
                connection = await aiosqlite.Connection(opening.open, iter_chunk_size=64)
        except TimeoutError:
            opening.abandon()
            raise DatabaseUnavailable("opening the database file took too long") from None
        except sqlite3.Error as error:
            raise cannot_open(error, self._path) from error
        except BaseException:
            opening.abandon()
            raise
        return Session(connection, self._options.lock_timeout_seconds)

    def is_alive(self, connection: Session) -> bool:
        return not connection.ended and not (connection.worn and self._path is not None)

    def is_clean(self, connection: Session) -> bool:
        if connection.busy or connection.touched or connection.worn:
            return False
        return not connection.raw.in_transaction

    async def mend(self, connection: Session) -> None:
        hop = Hop(connection.raw)
        hop.stop()  # whatever runs, until the function below has its turn

        def reset() -> None:
            hop.finish()
            if connection.raw.in_transaction:
                connection.raw.execute("ROLLBACK").close()
            set_pragmas(connection.raw, read_only=self._options.read_only)

        await connection.connection._execute(reset)  # type: ignore[no-untyped-call]
        connection.busy = connection.touched = connection.worn = False

    def terminate(self, connection: Session) -> None:
        if connection.ended:
            return
        connection.ended = True
        if connection.busy or connection.touched:
            Hop(connection.raw).stop()
        ending = connection.connection.stop()
        if ending is not None:
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self, connection: Session) -> None:
        self.terminate(connection)
        await self.all_ended()

    async def all_ended(self) -> None:
        """Wait until the threads of ended sessions are through, or a loop that closes would cut them off."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=CLOSE_SECONDS)


class SQLiteLease(StockConnection, Lease[aiosqlite.Connection]):  # type: ignore[misc]
    """A session of the pool. Named queries run by `call`, SQLAlchemy Core expressions by the inherited methods."""

    def __init__(self, backend: SQLiteBackend, dialect: Any) -> None:
        super().__init__(backend, dialect)
        self._backend = backend
        self._session: Session | None = None
        self.read_only = backend.options.read_only
        self.broken = False

    @property
    def session(self) -> Session:
        assert self._session is not None, "the lease is not held"
        return self._session

    async def acquire(self) -> None:
        assert self._session is None, "the lease is already held"
        self._session = await self._backend.running_pool.acquire()
        self._connection = self._session.connection
        self.broken = False

    async def release(self) -> None:
        """Never awaits, so that nothing can come between a caller and giving back."""
        session, self._session, self._connection = self._session, None, None
        if session is not None:
            self._backend.running_pool.release(session, broken=self.broken)

    # What runs past `Session.call` leaves the session in a state nobody knows: it is mended at release.

    async def fetch_all(self, query: Any) -> list[Any]:
        self.session.touched = True
        rows: list[Any] = await super().fetch_all(query)
        return rows

    async def fetch_one(self, query: Any) -> Any:
        self.session.touched = True
        return await super().fetch_one(query)

    async def execute(self, query: Any) -> Any:
        self.session.touched = True
        return await super().execute(query)

    async def iterate(self, query: Any) -> AsyncIterator[Any]:
        self.session.touched = True
        async for row in super().iterate(query):
            yield row

    @property
    def raw_connection(self) -> aiosqlite.Connection:
        self.session.touched = True
        return self.session.connection


class SQLiteBackend(StockBackend):  # type: ignore[misc]
    def __init__(self, database_url: DatabaseURL | str, *, options: SessionOptions) -> None:
        super().__init__(database_url)
        location = str(database_url).partition(":///")[2]
        self.path = None if location == _MEMORY else Path(location)
        self.options = options
        self.pool: Pool[Session] | None = None
        self._connector = SQLiteConnector(self.path, options)

    @property
    def running_pool(self) -> Pool[Session]:
        assert self.pool is not None, "the database is not open"
        return self.pool

    async def connect(self) -> None:
        self.pool = Pool(self._connector, self.options.limits)

    async def disconnect(self) -> None:
        await self.running_pool.close()
        await self._connector.all_ended()

    def connection(self) -> SQLiteLease:
        return SQLiteLease(self, self._dialect)
