"""The PostgreSQL engine: runs compiled queries on sessions of its pools, over asyncpg."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import asyncpg

from sqlwright.config import Settings
from sqlwright.engines.base import Engine, PoolSizes, Program
from sqlwright.engines.postgres.compile import PostgresProgram, compile_query
from sqlwright.engines.postgres.describe import describe
from sqlwright.engines.postgres.errors import translate
from sqlwright.engines.postgres.session import PostgresLease, Session, milliseconds
from sqlwright.engines.postgres.types import bind
from sqlwright.errors import MoreThanOneRow, Outcome, OutcomeUnknown, SqlwrightError, StatementTimeout
from sqlwright.query import Access, Description, Parameter, Query, Result, SqlType, Values, Window
from sqlwright.sql.dialect import POSTGRESQL

T = TypeVar("T")

ANSWER_GRACE_SECONDS = 0.4
"""How much longer than its timeout a statement may stay unanswered before the connection is given up."""
_SECOND_ROW = "21000"
_UPSERT_TWICE = "ExecOnConflictUpdate"  # it has the same SQLSTATE


class PostgresEngine(Engine):
    dialect = POSTGRESQL
    backend = "sqlwright.engines.postgres.session:PostgresBackend"
    pool_sizes = PoolSizes(reader=10, writer=5)

    def __init__(self, settings: Settings) -> None:
        self._big_numbers_as_text = settings.big_numbers == "string"
        self._describe_timeout_seconds = settings.statement_timeout_seconds

    def compile(self, query: Query, description: Description | None = None) -> PostgresProgram:
        return compile_query(query, description, big_numbers_as_text=self._big_numbers_as_text)

    async def describe(self, lease: PostgresLease, query: Query) -> Description:
        work = describe(lease.raw_connection, query, big_numbers_as_text=self._big_numbers_as_text)
        return await self._guarded(lease, Access.READ, self._describe_timeout_seconds, work)

    def bind(self, parameter: Parameter, type: SqlType, value: Any) -> Any:  # noqa: ARG002 - the interface
        return bind(type, value)

    def translate(self, error: BaseException, access: Access) -> SqlwrightError | None:
        return translate(error, access)

    async def run(
        self, lease: PostgresLease, program: Program, values: Values, *, window: Window | None, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, PostgresProgram)
        work = self._run(lease.raw_connection, program, values, window, timeout_seconds)
        return await self._guarded(lease, program.query.access, timeout_seconds, work)

    async def _run(
        self, session: Session, program: PostgresProgram, values: Values, window: Window | None, timeout_seconds: float
    ) -> Result:
        await _limit_time(session, timeout_seconds)
        sql, arguments = program.sql, values
        if window is not None:
            sql = program.windowed
            arguments = [*values, window.rows + 1]
            if program.window_has_offset:
                arguments.append(window.offset)
        try:
            rows, status = await _fetch(session, sql, arguments)
        except asyncpg.CardinalityViolationError as error:
            if program.refuses_second_row and error.server_source_function != _UPSERT_TWICE:
                raise MoreThanOneRow("the statement gave more than one row; nothing was changed") from error
            raise
        return _result(program, rows, status, window)

    async def run_bulk(
        self, lease: PostgresLease, program: Program, items: Sequence[Values], *, timeout_seconds: float
    ) -> Result:
        if not items:
            return Result()
        session = lease.raw_connection

        async def work() -> int:
            await _limit_time(session, timeout_seconds)
            statement = await _prepared(session, program.sql)
            await session.execute("BEGIN")
            return len(await statement.fetchmany(items))

        # A transaction of its own, so that whatever happens before COMMIT has certainly changed nothing.
        affected = await self._guarded(lease, Access.WRITE, timeout_seconds, work(), undone=True)
        await self._guarded(lease, Access.WRITE, timeout_seconds, session.execute("COMMIT"))
        return Result(affected=affected)

    async def run_script(self, lease: PostgresLease, program: Program, *, timeout_seconds: float | None) -> Result:
        async def work() -> Result:
            session = lease.raw_connection
            await _limit_time(session, timeout_seconds)
            # The simple protocol takes several statements and makes them one transaction, unless they say otherwise.
            await session.execute(program.sql)
            return Result()

        return await self._guarded(lease, Access.SCRIPT, timeout_seconds, work())

    async def _guarded(
        self,
        lease: PostgresLease,
        access: Access,
        timeout_seconds: float | None,
        work: Awaitable[T],
        *,
        undone: bool = False,
    ) -> T:
        """Await `work` with the driver's errors as ours, and stop waiting when the server does not answer.

        The server itself stops a statement that takes too long; this is for one that cannot. `undone` says that an
        open transaction will be rolled back whatever happens, so that no outcome is unknown.
        """
        limit = None if timeout_seconds is None else timeout_seconds + ANSWER_GRACE_SECONDS
        guard = asyncio.timeout(limit)
        try:
            async with guard:
                return await work
        except Exception as error:
            if guard.expired():
                lease.broken = not undone
                outcome: Outcome = "none" if undone or access is Access.READ else "unknown"
                raise StatementTimeout("the database did not answer in time", outcome=outcome) from error
            translated = translate(error, access)
            if isinstance(translated, OutcomeUnknown) and undone:
                translated = translate(error, Access.READ)
            if translated is None or translated is error:
                raise
            raise translated from error


async def _limit_time(session: Session, timeout_seconds: float | None) -> None:
    """Set the server's own limit for this use of the session; the reset brings back the session's."""
    wanted = 0 if timeout_seconds is None else milliseconds(timeout_seconds)
    if wanted != session.timeout_ms:
        await session.execute(f"SET statement_timeout = {wanted}")


async def _prepared(session: Session, sql: str) -> Any:
    """A prepared statement. What fails here has changed nothing, whatever the statement is."""
    try:
        return await session.statement(sql)
    except Exception as error:
        raise translate(error, Access.READ) or error from error


async def _fetch(session: Session, sql: str, arguments: Values) -> tuple[list[Any], str]:
    statement = await _prepared(session, sql)
    try:
        return await statement.fetch(*arguments), statement.get_statusmsg()
    except (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError):
        # The schema changed, or DEALLOCATE ran: refused before it began, so it may be sent again.
        session.statements.pop(sql, None)
        if session.is_in_transaction():
            raise
    statement = await _prepared(session, sql)
    return await statement.fetch(*arguments), statement.get_statusmsg()


def _result(program: PostgresProgram, rows: list[Any], status: str, window: Window | None) -> Result:
    if program.gives == "rows":
        more = window is not None and len(rows) > window.rows
        if more and window is not None:
            rows = rows[: window.rows]
        return Result(json=_joined(rows), count=len(rows), more=more)
    if program.gives == "nothing":
        return Result(affected=_affected(status))
    if program.gives == "count":
        return Result(affected=rows[0][0])
    if program.gives == "records":
        return Result(json=b",".join(json.dumps(dict(row), default=str).encode() for row in rows), count=len(rows))
    if len(rows) > 1:
        raise MoreThanOneRow("the statement gave more than one row")
    if not rows or rows[0][0] is None:
        return Result(json=b"null" if program.gives == "value" else b"", count=0)
    return Result(json=_joined(rows), count=1)


def _joined(rows: list[Any]) -> bytes:
    # A line break in JSON that PostgreSQL writes can only stand between values: json columns keep theirs.
    return ",".join([row[0] for row in rows]).replace("\r", " ").replace("\n", " ").encode()


def _affected(status: str) -> int:
    """Rows changed, from a tag such as `INSERT 0 3`, `UPDATE 2` or `CREATE TABLE`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
