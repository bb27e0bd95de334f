"""The rows of a long result from a portal (a cursor of the protocol's own), in a read-only transaction."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import asyncpg

from sqlwright.engines.pace import Pace
from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.page import joined
from sqlwright.engines.postgres.session import PostgresLease, Session
from sqlwright.errors import SerializationFailure
from sqlwright.query import Result, Values

Guarded = Callable[[Awaitable[Any]], Awaitable[Any]]
"""Awaits work with the driver's errors as ours, within the time of a fetch."""

# The reader may think about a row for as long as it likes.
_STAY_IDLE = "SET LOCAL idle_in_transaction_session_timeout = 0"


async def stream(
    lease: PostgresLease,
    program: PostgresProgram,
    values: Values,
    *,
    pace: Pace,
    separator: str,
    ready: Callable[[], Awaitable[None]],
    guarded: Guarded,
) -> AsyncGenerator[Result, None]:
    """Who leaves early leaves the portal to the end of the transaction, which the pool sees to.

    `ready` makes the session such that only a read can run, for as long as a fetch may take.

    A portal runs the same prepared statement as any other call; a cursor of SQL would have a text of its own each time,
    which the driver and the server would prepare and keep.
    """
    session = lease.raw_connection
    if session.locals and not lease.in_transaction:  # a limit of time holds for a transaction
        await guarded(_begin(session))
    await ready()
    if not session.locals and not lease.in_transaction:
        await guarded(_begin(session))
    portal = await guarded(_open(session, program, values))
    more = True
    while more:
        asked, begun = pace.rows, time.perf_counter()
        rows = await guarded(_fetch(portal, asked))
        more = len(rows) == asked
        if rows and program.gives == "rows":  # a statement may have no columns
            result = Result(json=joined(rows, separator), count=len(rows), more=more)
            pace.came(result, time.perf_counter() - begun)
            yield result
    # Still open, it would keep what it reads from being altered by the transaction.
    await guarded(portal._close_portal(None) if lease.in_transaction else session.execute("ROLLBACK"))


async def _fetch(portal: Any, rows: int) -> list[Any]:
    # asyncpg says at the call, not when it is awaited, that the connection is closed.
    found: list[Any] = await portal.fetch(rows)
    return found


async def _begin(session: Session) -> None:
    await session.execute(f"BEGIN READ ONLY; {session.locals}{_STAY_IDLE}")
    if session.locals:
        session.limit_ms = session.timeout_ms


async def _open(session: Session, program: PostgresProgram, values: Values) -> Any:
    statement = await session.statement(program.sql)
    try:
        return await statement.cursor(*values)
    except (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError) as error:
        session.statements.pop(program.sql, None)
        raise SerializationFailure("the schema was changed meanwhile") from error
