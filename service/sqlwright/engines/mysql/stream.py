"""The rows of a long result, in pieces, as the server sends them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from sqlwright.engines.mysql.backend import MySQLLease
from sqlwright.engines.mysql.compile import MySQLProgram, expand
from sqlwright.engines.mysql.guard import guarded
from sqlwright.engines.pace import Pace
from sqlwright.errors import StatementFailed
from sqlwright.query import Access, Result, Values


async def stream(
    lease: MySQLLease,
    program: MySQLProgram,
    values: Values,
    *,
    chunk_rows: int,
    chunk_bytes: int,
    separator: str,
    timeout_seconds: float | None,
) -> AsyncGenerator[Result, None]:
    """Who leaves early leaves rows on the way: the pool stops the statement and reads them away."""
    session = lease.session
    # The server's clock runs while a reader thinks: each fetch is timed here.
    await guarded(lease, Access.READ, timeout_seconds, session.limit_time(None))
    work = session.open_cursor(*expand(program, values, None))
    cursor = await guarded(lease, Access.READ, timeout_seconds, work)
    if not cursor.columns:
        raise StatementFailed("the statement gives no rows")
    encoder = program.encoder.for_columns(cursor.columns)
    pace = Pace(chunk_rows, chunk_bytes)
    while cursor.has_more:
        begun = time.perf_counter()
        rows = await guarded(lease, Access.READ, timeout_seconds, cursor.fetch(pace.rows, chunk_bytes))
        if rows:
            result = Result(json=encoder.joined(rows, separator), count=len(rows), more=cursor.has_more)
            pace.came(result, time.perf_counter() - begun)
            yield result
