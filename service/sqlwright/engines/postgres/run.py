"""What one statement does on its session: the server's limits set, the text prepared and run, its rows as a result."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.errors import translate
from sqlwright.engines.postgres.page import joined, on_one_line, page, windowed
from sqlwright.engines.postgres.session import Session, milliseconds
from sqlwright.errors import MoreThanOneRow, SerializationFailure
from sqlwright.query import Access, PlanMode, Result, Values, Window

_PLAN_CACHE_MODES = {"auto": "auto", "generic": "force_generic_plan", "custom": "force_custom_plan"}
_UPSERT_TWICE = "ExecOnConflictUpdate"  # it has the SQLSTATE of a second row


async def run(
    session: Session, program: PostgresProgram, values: Values, window: Window | None, timeout_seconds: float
) -> Result:
    if not _is_set_up(session, timeout_seconds, program.query.plan_mode):
        await set_up(session, timeout_seconds, program.query.plan_mode)
    sql, arguments = program.sql, values
    if window is not None:
        sql, arguments = windowed(program, values, window)
    try:
        rows, tag = await fetch(session, sql, arguments)
    except asyncpg.CardinalityViolationError as error:
        if program.refuses_second_row and error.server_source_function != _UPSERT_TWICE:
            raise MoreThanOneRow("the statement gave more than one row; nothing was changed") from error
        raise
    return _result(program, rows, tag, window, arguments[len(values)] if window else 0)


async def run_free(
    session: Session, program: PostgresProgram, values: Values, window: Window | None, timeout_seconds: float
) -> Result:
    """On a session that is lent to nobody else, for this alone."""
    session.touched = True
    result = await run(session, program, values, window, timeout_seconds)
    session.touched = not program.keeps_session
    return result


def _is_set_up(session: Session, timeout_seconds: float, plan_mode: PlanMode | None) -> bool:
    return session.limit_ms == milliseconds(timeout_seconds) and session.plan_mode == (plan_mode or "auto")


async def set_up(session: Session, timeout_seconds: float | None, plan_mode: PlanMode | None = None) -> None:
    """Have the server's limit of time and its way of planning as wanted; mostly they are."""
    limit = 0 if timeout_seconds is None else milliseconds(timeout_seconds)
    mode = plan_mode or "auto"
    if limit == session.limit_ms and mode == session.plan_mode:
        return
    in_transaction = session.is_in_transaction()
    if session.locals and not in_transaction:
        return  # they would be another's
    local = "LOCAL " if in_transaction else ""
    wanted = []
    if limit != session.limit_ms:
        wanted.append(f"SET {local}statement_timeout = {limit}")
    if mode != session.plan_mode:
        wanted.append(f"SET {local}plan_cache_mode = {_PLAN_CACHE_MODES[mode]}")
    try:
        await session.execute("; ".join(wanted))
    except Exception as error:  # nothing has been sent yet of what matters
        raise translate(error, Access.READ) or error from error
    session.limit_ms, session.plan_mode = limit, mode


async def prepared(session: Session, sql: str) -> Any:
    """A prepared statement. What fails here has changed nothing, whatever the statement is."""
    try:
        return await session.statement(sql)
    except Exception as error:
        raise translate(error, Access.READ) or error from error


async def fetch(session: Session, sql: str, arguments: Values) -> tuple[list[Any], bytes]:
    """The rows, and the tag of what was done."""
    statement = session.kept(sql) or await prepared(session, sql)
    try:
        return await session.bind_execute(statement, arguments)
    except (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError) as error:
        # The schema changed, or DEALLOCATE ran: refused before it began, so it may be sent again.
        session.statements.pop(sql, None)
        if session.is_in_transaction():  # then only all of it may be
            raise SerializationFailure("the schema was changed while the transaction ran") from error
    statement = await prepared(session, sql)
    return await session.bind_execute(statement, arguments)


def _result(program: PostgresProgram, rows: list[Any], tag: bytes, window: Window | None, asked: int) -> Result:
    if program.gives == "rows":
        if window is not None:
            return page(program, rows[0], window, asked)
        return Result(json=joined(rows), count=len(rows))
    if program.gives == "nothing":
        return Result(affected=_affected(tag))
    if program.gives == "count":
        return Result(affected=rows[0][0])
    if program.gives == "records":
        return Result(json=b",".join(json.dumps(dict(row), default=str).encode() for row in rows), count=len(rows))
    if len(rows) > 1:
        raise MoreThanOneRow("the statement gave more than one row")
    if not rows or rows[0][0] is None:
        return Result(json=b"null" if program.gives == "value" else b"", count=0)
    return Result(on_one_line(rows[0][0]), 1)


def _affected(tag: bytes) -> int:
    """Rows changed, from a tag such as `INSERT 0 3`, `UPDATE 2` or `CREATE TABLE`."""
    last = tag.rpartition(b" ")[2]
    return int(last) if last.isdigit() else 0
