"""SQLite sessions: how they are opened, lent, mended and ended. `databases` is the frame, the pool is ours."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
from databases import DatabaseURL
from databases.backends.sqlite import SQLiteBackend as StockBackend
from databases.backends.sqlite import SQLiteConnection as StockConnection

from sqlwright.engines.base import Lease, Program, SessionOptions
from sqlwright.engines.connector import Connector
from sqlwright.engines.pool import Pool
from sqlwright.engines.sqlite.errors import cannot_open, is_locked
from sqlwright.engines.sqlite.hop import Hop, Session
from sqlwright.engines.sqlite.known_file import KnownFile
from sqlwright.errors import DatabaseCorrupt, DatabaseUnavailable

STATEMENTS_MAX = 1024
"""Prepared statements kept per session."""
BUSY_SECONDS = 0.025
"""How long SQLite itself waits for a lock. Nothing can interrupt that wait, so the longer one is a loop of ours."""
CLOSE_SECONDS = 5.0
MEMORY_MEND_SECONDS = 60.0

_MEMORY = ":memory:"
_PRAGMAS = ("synchronous=normal", "foreign_keys=on", "temp_store=memory", "cache_size=-16000")


class _File:
    """Opens a database on the thread of the connection that is to have it.

    An error is kept and not raised, because aiosqlite does not wait for the thread of a connection that failed.
    """

    def __init__(
        self, path: Path | None, known: KnownFile | None, *, read_only: bool, lock_timeout_seconds: float
    ) -> None:
        self._path = path
        self._known = known
        self.number = 0
        self.has_log = False
        self._lock_timeout_seconds = lock_timeout_seconds
        self._read_only = read_only
        self.error: sqlite3.Error | OSError | None = None

    def open(self) -> sqlite3.Connection:
        give_up_at = time.monotonic() + self._lock_timeout_seconds
        while True:
            try:
                return self._open()
            except (sqlite3.Error, OSError) as error:
                # The last connection of a file to close, here or in another program, locks it for a moment.
                if not is_locked(error) or time.monotonic() >= give_up_at:
                    self.error = error
                    return sqlite3.connect(_MEMORY)
            time.sleep(0.001)

    def _open(self) -> sqlite3.Connection:
        making = "rw" if self._known is not None and self._known.was_there else "rwc"
        if self._read_only and self._path is not None and not self._path.exists():
            # As for a writer, a file that was never there is an empty database.
            self._connect(making).close()
        raw = self._connect("ro" if self._read_only else making)
        if self._known is not None:
            self.number = self._known.recognize()
        return raw

    def _connect(self, mode: str) -> sqlite3.Connection:
        target = _MEMORY if self._path is None else f"{self._path.absolute().as_uri()}?mode={mode}"
        raw = sqlite3.connect(
            target,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            cached_statements=STATEMENTS_MAX,
            check_same_thread=False,  # see `Session.call_at_once`; nothing else leaves its thread
        )
        try:
            # SQLite opens a file when it is first read: anything wrong with it shows here.
            raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").close()
            if mode != "ro":
                try:
                    raw.execute("PRAGMA journal_mode=wal").close()
                except sqlite3.OperationalError:
                    pass  # read-only media, or in use right now: the mode it has works too
            set_pragmas(raw, read_only=mode == "ro")
            self.has_log = journal_mode(raw) == "wal"
        except BaseException:
            raw.close()
            raise
        return raw


def journal_mode(raw: sqlite3.Connection) -> str:
    with contextlib.closing(raw.execute("PRAGMA journal_mode")) as asked:
        return str(asked.fetchone()[0])


def set_pragmas(raw: sqlite3.Connection, *, read_only: bool) -> None:
    for pragma in (*_PRAGMAS, f"query_only={'on' if read_only else 'off'}"):
        raw.execute(f"PRAGMA {pragma}").close()


class SQLiteConnector(Connector[Session]):
    def __init__(self, path: Path | None, options: SessionOptions) -> None:
        self._path = path
        """None for a database in memory, which lives and dies with its one connection."""
        self.known = None if path is None else KnownFile.of(path)
        self._options = options
        self._ending: set[asyncio.Future[Any]] = set()

    async def open(self) -> Session:
        # A task of its own: an opener that leaves must not leave the thread behind.
        opening = asyncio.get_running_loop().create_task(self._open())
        self._ending.add(opening)
        opening.add_done_callback(self._ending.discard)
        try:
            async with asyncio.timeout(self._options.connect_timeout_seconds):
                return await asyncio.shield(opening)
        except TimeoutError:
            opening.add_done_callback(self._abandon)
            raise DatabaseUnavailable("opening the database file took too long") from None
        except asyncio.CancelledError:
            opening.add_done_callback(self._abandon)
            raise
        finally:
            del opening  # its error leads back here

    async def _open(self) -> Session:
        file = _File(
            self._path,
            self.known,
            read_only=self._options.read_only and self._path is not None,
            lock_timeout_seconds=self._options.lock_timeout_seconds,
        )
        connection = await aiosqlite.Connection(file.open, iter_chunk_size=64)
        if file.error is not None:
            await connection.close()
            error = cannot_open(file.error, self._path)
            if self.known is not None and isinstance(error, DatabaseCorrupt):
                self.known.damaged(error)
            try:
                raise error from file.error
            finally:
                del error, file  # their tracebacks lead back here: a cycle would keep them
        session = Session(connection, self._options.lock_timeout_seconds, file.number)
        session.has_log = file.has_log
        return session

    def _abandon(self, opening: asyncio.Task[Session]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self.terminate(opening.result())

    def is_alive(self, connection: Session) -> bool:
        if connection.ended or self.known is None:
            return not connection.ended
        return not connection.worn and connection.number == self.known.look()

    def is_clean(self, connection: Session) -> bool:
        if connection.busy or connection.touched or connection.worn or connection.cursors:
            return False
        return self.is_alive(connection) and not connection.raw.in_transaction

    async def mend(self, connection: Session) -> None:
        hop = Hop(connection.raw)
        hop.stop()  # whatever runs, until the function below has its turn

        def reset() -> None:
            hop.finish()
            while connection.cursors:
                connection.cursors.pop().close()
            if connection.raw.in_transaction:
                connection.raw.execute("ROLLBACK").close()
            set_pragmas(connection.raw, read_only=self._options.read_only)

        await connection.connection._execute(reset)  # type: ignore[no-untyped-call]
        connection.busy = 0
        connection.touched = connection.worn = False

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
        deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
        while self._ending and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._ending, timeout=left)  # what was being opened ends in two steps
            await asyncio.sleep(0)  # its callbacks, which take it off the list


class SQLiteLease(StockConnection, Lease[aiosqlite.Connection]):
    """A session of the pool. Named queries run by `call`, SQLAlchemy Core expressions by the inherited methods."""

    def __init__(self, backend: SQLiteBackend, dialect: Any) -> None:
        super().__init__(backend._pool, dialect)
        self._backend = backend
        self._session: Session | None = None
        self.read_only = backend.options.read_only
        self.broken = False

    @property
    def session(self) -> Session:
        assert self._session is not None, "the lease is not held"
        return self._session

    async def acquire(self, program: Program | None = None) -> None:  # noqa: ARG002 - any session will do
        assert self._session is None, "the lease is already held"
        known = None if self.read_only else self._backend.known
        if known is not None:
            known.refuse_writes()
        session = await self._backend.running_pool.acquire()
        if known is not None:
            try:
                session.log = known.log_of(session.log)
            except DatabaseUnavailable:
                self._backend.running_pool.release(session)
                raise
        self._session = session
        self._connection = session.connection
        self.broken = False

    async def release(self) -> None:
        """Never awaits, so that nothing can come between a caller and giving back."""
        session, self._session, self._connection = self._session, None, None
        if session is not None:
            self._backend.running_pool.release(session, broken=self.broken)

    def note(self, error: DatabaseCorrupt) -> None:
        """What a statement has found out about the file."""
        if self._backend.known is not None:
            self._backend.known.damaged(error)

    # What runs past `Session.call` leaves the session in a state nobody knows: it is mended at release.

    async def fetch_all(self, query: Any) -> list[Any]:
        rows: list[Any] = await self._patiently(super().fetch_all, query)
        return rows

    async def fetch_one(self, query: Any) -> Any:
        return await self._patiently(super().fetch_one, query)

    async def execute(self, query: Any) -> Any:
        return await self._patiently(super().execute, query)

    async def iterate(self, query: Any) -> AsyncGenerator[Any, None]:
        self.session.touched = True
        async for row in super().iterate(query):
            yield row

    async def _patiently(self, run: Callable[[Any], Awaitable[Any]], query: Any) -> Any:
        self.session.touched = True
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._backend.options.lock_timeout_seconds
        while True:
            try:
                return await run(query)
            except sqlite3.OperationalError as error:
                if not is_locked(error) or loop.time() >= give_up_at:
                    raise
            await asyncio.sleep(BUSY_SECONDS)

    @property
    def raw_connection(self) -> aiosqlite.Connection:
        self.session.touched = True
        return self.session.connection


class SQLiteBackend(StockBackend):
    def __init__(self, database_url: DatabaseURL | str, *, options: SessionOptions) -> None:
        super().__init__(database_url)
        location = str(database_url).partition(":///")[2]
        self.path = None if location == _MEMORY else Path(location)
        self.options = options
        self.pool: Pool[Session] | None = None
        self._connector = SQLiteConnector(self.path, options)
        self.known = self._connector.known

    @property
    def running_pool(self) -> Pool[Session]:
        assert self.pool is not None, "the database is not open"
        return self.pool

    async def connect(self) -> None:
        limits = self.options.limits
        if self.path is None:
            # To throw this session away is to lose the database: only what never ends is given up.
            limits = replace(
                limits, mend_timeout_seconds=MEMORY_MEND_SECONDS, lifetime_seconds=math.inf, idle_seconds=math.inf
            )
        self.pool = Pool(self._connector, limits)

    async def disconnect(self) -> None:
        await self.running_pool.close()
        await self._connector.all_ended()
        if not self.options.read_only and self._has_log():
            # The last to close was a reader, which cannot fold the write-ahead log back into the file.
            with contextlib.suppress(DatabaseUnavailable, DatabaseCorrupt):
                await self._connector.close(await self._connector.open())

    def _has_log(self) -> bool:
        damaged = self.known is not None and self.known.damage is not None
        return self.path is not None and not damaged and Path(f"{self.path}-wal").exists()

    def connection(self) -> SQLiteLease:
        return SQLiteLease(self, self._dialect)
