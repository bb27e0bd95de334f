"""The SQLite engine: runs compiled queries on sessions of its pools, over aiosqlite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any, NoReturn, TypeVar

from sqlwright.address import Address
from sqlwright.config import Settings
from sqlwright.engines.base import Engine, PoolSizes, Program
from sqlwright.engines.binder import Binder
from sqlwright.engines.pace import Pace
from sqlwright.engines.sqlite import transaction
from sqlwright.engines.sqlite.bind import binder
from sqlwright.engines.sqlite.bulk import write_many
from sqlwright.engines.sqlite.compile import KEEPS_SESSION, SQLiteProgram, compile_query
from sqlwright.engines.sqlite.describe import describe
from sqlwright.engines.sqlite.errors import breaks_connection, translate
from sqlwright.engines.sqlite.explain import explain
from sqlwright.engines.sqlite.hop import Hop, Session, Work
from sqlwright.engines.sqlite.run import read, read_many, rows, write
from sqlwright.engines.sqlite.script import run_script
from sqlwright.engines.sqlite.session import SQLiteLease, journal_mode
from sqlwright.engines.sqlite.stream import Cursor
from sqlwright.errors import DatabaseCorrupt, SqlwrightError
from sqlwright.query import (
    UNBOUNDED,
    Access,
    Description,
    Explanation,
    Isolation,
    Query,
    Result,
    SqlType,
    Values,
    Window,
)
from sqlwright.sql.dialect import SQLITE

T = TypeVar("T")


class SQLiteEngine(Engine):
    dialect = SQLITE
    backend = "sqlwright.engines.sqlite.session:SQLiteBackend"
    # SQLite has one writer at a time: a second connection would only wait for the first one's lock.
    pool_sizes = PoolSizes(reader=4, writer=1, writer_max=1)
    readers_keep_writers_out = True  # the first who writes turns the journal into a write-ahead log

    def __init__(self, settings: Settings) -> None:
        self._big_numbers_as_text = settings.big_numbers == "string"
        self._describe_timeout_seconds = settings.statement_timeout_seconds
        self.reads_at_once = settings.short_reads == "loop"

    def has_one_pool(self, address: Address) -> bool:
        return address.in_memory

    def compile(self, query: Query, description: Description | None = None) -> SQLiteProgram:
        return compile_query(query, description, big_numbers_as_text=self._big_numbers_as_text)

    async def describe(self, lease: SQLiteLease, query: Query) -> Description:
        return await _call(
            lease,
            Access.READ,
            self._describe_timeout_seconds,
            lambda raw, hop: describe(raw, hop, query),
        )

    async def explain(
        self, lease: SQLiteLease, program: Program, values: Values, *, analyze: bool, timeout_seconds: float
    ) -> Explanation:
        assert isinstance(program, SQLiteProgram)
        _wear(lease, program.query)
        joins, guarded = lease.in_transaction, not lease.read_only
        return await _call(
            lease,
            program.query.access,
            timeout_seconds,
            lambda raw, hop: explain(raw, hop, program, values, analyze=analyze, joins=joins, guarded=guarded),
        )

    async def reflect(self, lease: SQLiteLease, names: Collection[str] | None) -> Any:
        # SQLAlchemy's reflection, for those who serve tables.
        from sqlwright.engines.sqlite.reflect import reflect  # noqa: PLC0415

        return await _call(
            lease, Access.READ, self._describe_timeout_seconds, lambda raw, hop: reflect(raw, hop, names)
        )

    def binder(self, type: SqlType) -> Binder:
        return binder(type)

    def translate(self, error: BaseException, access: Access) -> SqlwrightError | None:
        return translate(error, access)

    async def run(
        self, lease: SQLiteLease, program: Program, values: Values, *, window: Window | None, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, SQLiteProgram)
        access = program.query.access
        if access is Access.READ:
            guarded = not lease.read_only
            return await _call(
                lease,
                access,
                timeout_seconds,
                lambda raw, hop: read(raw, hop, program, values, window, guarded=guarded),
            )
        _wear(lease, program.query)
        joins = lease.in_transaction
        return await _call(
            lease, access, timeout_seconds, lambda raw, hop: write(raw, hop, program, values, joins=joins)
        )

    def is_short(self, program: Program) -> bool:
        assert isinstance(program, SQLiteProgram)
        return program.pace.is_short()

    def read_at_once(self, session: Session, program: Program, values: Values, window: Window | None) -> Result | None:
        assert isinstance(program, SQLiteProgram)
        pace = program.pace
        if not (session.has_log and session.is_idle):
            return None
        begun = time.perf_counter()
        try:
            with session.watch:
                result = rows(session.raw, session.unstopped, program, values, window)
        except Exception:
            # Too long, locked, or wrong: on the thread it is seen what it is.
            pace.was_too_long()
            return None
        result.database_seconds = seconds = time.perf_counter() - begun
        pace.was_short(seconds)
        return result

    async def look_at(self, session: Session) -> None:
        # The first who writes may have come after this session was opened.
        if not session.has_log:
            session.has_log = await session.call(
                lambda raw, _: journal_mode(raw) == "wal", self._describe_timeout_seconds
            )

    def begin_reads(self, session: Session) -> bool:
        if not (session.has_log and session.is_idle):
            return False
        try:
            session.raw.execute("BEGIN").close()
        except sqlite3.Error:
            return False
        return True

    def end_reads(self, session: Session) -> None:
        try:
            session.raw.execute("ROLLBACK").close()
        except sqlite3.Error:
            session.worn = True  # nobody knows what is open there

    async def run_many(
        self,
        lease: SQLiteLease,
        program: Program,
        items: Sequence[Values],
        *,
        window: Window | None,
        timeout_seconds: float,
    ) -> list[Result]:
        assert isinstance(program, SQLiteProgram)
        guarded = not lease.read_only
        return await _call(
            lease,
            Access.READ,
            timeout_seconds,
            lambda raw, hop: read_many(raw, hop, program, items, window, guarded=guarded),
        )

    async def stream(
        self,
        lease: SQLiteLease,
        program: Program,
        values: Values,
        *,
        chunk_rows: int,
        timeout_seconds: float | None,
        chunk_bytes: int = UNBOUNDED,
        separator: str = ",",
    ) -> AsyncGenerator[Result, None]:
        assert isinstance(program, SQLiteProgram)
        cursor = Cursor(lease.session, program, values, guarded=not lease.read_only, joins=lease.in_transaction)
        pace = Pace(chunk_rows, chunk_bytes)

        def fetch(raw: sqlite3.Connection, hop: Hop) -> Result:
            return cursor.fetch(raw, hop, pace.rows, chunk_bytes, separator)

        more = True
        while more:
            begun = time.perf_counter()
            result = await _call(lease, Access.READ, timeout_seconds, fetch)
            pace.came(result, time.perf_counter() - begun)
            more = result.more
            if result.count:
                yield result

    async def run_bulk(
        self, lease: SQLiteLease, program: Program, items: Sequence[Values], *, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, SQLiteProgram)
        if not items:
            return Result()
        _wear(lease, program.query)
        joins = lease.in_transaction
        return await _call(
            lease, Access.WRITE, timeout_seconds, lambda raw, hop: write_many(raw, hop, program, items, joins=joins)
        )

    async def run_script(self, lease: SQLiteLease, program: Program, *, timeout_seconds: float | None) -> Result:
        lease.session.worn = True
        query, joins = program.query, lease.in_transaction
        return await _call(
            lease, Access.SCRIPT, timeout_seconds, lambda raw, hop: run_script(raw, hop, query, joins=joins)
        )

    async def begin(
        self,
        lease: SQLiteLease,
        *,
        isolation: Isolation | None,  # noqa: ARG002 - always serializable, which is the strongest
        read_only: bool,
        timeout_seconds: float,
    ) -> None:
        await _control(lease, timeout_seconds, lambda raw, hop: transaction.begin(raw, hop, read_only=read_only))
        lease.in_transaction = True

    async def commit(self, lease: SQLiteLease, *, timeout_seconds: float) -> None:
        await _control(lease, timeout_seconds, transaction.commit)
        lease.in_transaction = False

    async def rollback(self, lease: SQLiteLease, *, timeout_seconds: float) -> None:
        await _control(lease, timeout_seconds, lambda raw, _: transaction.rollback(raw))
        lease.in_transaction = False

    async def try_write(self, lease: SQLiteLease, *, timeout_seconds: float) -> None:
        await _control(lease, timeout_seconds, transaction.write_nothing)

    async def savepoint(self, lease: SQLiteLease, name: str, *, timeout_seconds: float) -> None:
        await _control(lease, timeout_seconds, lambda raw, _: transaction.savepoint(raw, name))

    async def release_savepoint(self, lease: SQLiteLease, name: str, *, timeout_seconds: float) -> None:
        await _control(lease, timeout_seconds, lambda raw, _: transaction.release_savepoint(raw, name))

    async def rollback_to_savepoint(self, lease: SQLiteLease, name: str, *, timeout_seconds: float) -> None:
        await _control(lease, timeout_seconds, lambda raw, _: transaction.rollback_to_savepoint(raw, name))


async def _control(lease: SQLiteLease, timeout_seconds: float, work: Work[None]) -> None:
    await _call(lease, Access.WRITE, timeout_seconds, work)


def _wear(lease: SQLiteLease, query: Query) -> None:
    if query.statement.verb not in KEEPS_SESSION:
        lease.session.worn = True


async def _call(lease: SQLiteLease, access: Access, timeout_seconds: float | None, work: Work[T]) -> T:
    """One hop, with the driver's errors as ours."""
    try:
        return await lease.session.call(work, timeout_seconds)
    except Exception as error:
        _raise_ours(lease, access, error)


def _raise_ours(lease: SQLiteLease, access: Access, error: Exception) -> NoReturn:
    """The driver's error as ours, and what it says about the session."""
    lease.broken = lease.broken or breaks_connection(error, access)
    translated = translate(error, access)
    if isinstance(translated, DatabaseCorrupt):
        lease.note(translated)
    try:
        if translated is None or translated is error:
            raise error
        raise translated from error
    finally:
        del translated, error  # its traceback leads back here: a cycle would keep all of the call
