"""The rows of a long result from a cursor of the server, in a read-only transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import count
from typing import Any

from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.session import PostgresLease
from sqlwright.query import Result, Values

Guarded = Callable[[Awaitable[Any]], Awaitable[Any]]
"""Awaits work with the driver's errors as ours, within the time of a fetch."""

_numbers = count(1)

# The whole result is wanted, so it is planned as such; and the loop may think about a row for as long as it likes.
_ALL_OF_IT = "SET LOCAL cursor_tuple_fraction = 1"
_STAY_IDLE = "SET LOCAL idle_in_transaction_session_timeout = 0"


async def stream(
    lease: PostgresLease,
    program: PostgresProgram,
    values: Values,
    *,
    chunk_rows: int,
    ready: Callable[[], Awaitable[None]],
    guarded: Guarded,
    joined: Callable[[list[Any]], bytes],
) -> AsyncGenerator[Result, None]:
    """Who leaves early leaves the cursor to the end of the transaction, which the pool sees to.

    `ready` makes the session such that only a read can run, for as long as a fetch may take; `joined` is JSON of rows.

    A cursor of SQL's own and not of asyncpg's, which opens none in a transaction that it did not begin itself.
    """
    session = lease.raw_connection
    name = f"sqlwright_stream_{next(_numbers)}"
    begin = _ALL_OF_IT
    if not lease.in_transaction:
        begin = f"BEGIN READ ONLY; {session.locals}{_ALL_OF_IT}; {_STAY_IDLE}"
        if session.locals:
            session.limit_ms = session.timeout_ms
    if session.locals:  # a limit of time holds for a transaction
        await guarded(session.execute(begin))
        await ready()
    else:
        await ready()
        await guarded(session.execute(begin))
    await guarded(session.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {program.sql}", *values))
    fetch = f"FETCH FORWARD {chunk_rows} FROM {name}"
    while True:
        rows = await guarded(session.fetch(fetch))
        if rows:
            yield Result(json=joined(rows), count=len(rows), more=len(rows) == chunk_rows)
        if len(rows) < chunk_rows:
            break
    await guarded(session.execute(f"CLOSE {name}" if lease.in_transaction else "ROLLBACK"))
