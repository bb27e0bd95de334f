"""One call on a session: its statement with its values, and its answer as a `Result`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlwright.engines.encode import row_too_large
from sqlwright.engines.mysql import transaction
from sqlwright.engines.mysql.compile import MySQLProgram, expand
from sqlwright.engines.mysql.fetched import Fetched
from sqlwright.engines.mysql.readback import update_and_read
from sqlwright.engines.mysql.session import Session
from sqlwright.errors import MoreThanOneRow, ReadQueryWrote
from sqlwright.query import UNBOUNDED, Access, Cardinality, Result, Values, Window

BYTES_ON_LOOP_MAX = 256 * 1024
"""Larger answers are written as JSON in a thread, piece by piece."""
_ONE_ROW = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
_ONE_VALUE = frozenset({Cardinality.VALUE, Cardinality.INSERT})
_READING = frozenset({"select", "values", "show", "explain", "describe", "desc"})
_AT_MOST_ONE = _ONE_ROW | _ONE_VALUE


def needs_transaction(program: MySQLProgram) -> bool:
    """It is several statements, or one to be undone if its rows are more than its query says."""
    query = program.query
    return program.read_back is not None or (query.cardinality in _AT_MOST_ONE and query.statement.has_returning)


async def read(
    session: Session, program: MySQLProgram, values: Values, window: Window | None, timeout_seconds: float
) -> Result:
    """Run a query that reads, where it cannot write: a read-only session or transaction."""
    await session.limit_time(timeout_seconds)
    sql, arguments = expand(program, values, window)
    bytes_max, nothing = _bytes_max(program, window), program.leaves_nothing
    fetched = await session.fetch(sql, arguments, bytes_max=bytes_max, leaves_nothing=nothing)
    return await _result(program, fetched, window)


async def read_many(
    session: Session, program: MySQLProgram, items: Sequence[Values], window: Window | None, timeout_seconds: float
) -> list[Result]:
    """Run it once for each item, all on their way at once. Raises the first error, after all ran."""
    await session.limit_time(timeout_seconds)
    statements = [session.encoded(*expand(program, item, window)) for item in items]
    answers = await session.fetch_many(statements, bytes_max=_bytes_max(program, window))
    return [await _result(program, fetched, window) for fetched in answers]


def _bytes_max(program: MySQLProgram, window: Window | None) -> int:
    # Rows that are skipped here and not by the server have to come.
    return window.bytes_max if window is not None and (program.windowed or not window.offset) else UNBOUNDED


async def _result(program: MySQLProgram, fetched: Fetched, window: Window | None) -> Result:
    if fetched.size > BYTES_ON_LOOP_MAX:
        return await asyncio.to_thread(as_result, program, fetched, window)
    return as_result(program, fetched, window)


async def read_in_writing(
    session: Session, program: MySQLProgram, values: Values, window: Window | None, timeout_seconds: float
) -> Result:
    """The same in a transaction that may write. Raises `ReadQueryWrote` once it has."""
    before = await transaction.writes_of(session)
    result = await read(session, program, values, window, timeout_seconds)
    if await transaction.writes_of(session) != before:
        raise ReadQueryWrote("a query that only reads tried to write")
    return result


async def write(session: Session, program: MySQLProgram, values: Values, timeout_seconds: float) -> Result:
    """Run one statement, which is a transaction by itself where none is open, and needs one if it is read back."""
    await session.limit_time(timeout_seconds)
    if program.read_back is not None:
        one = program.query.cardinality in _AT_MOST_ONE
        return as_result(program, await update_and_read(session, program, values, one=one), None)
    return as_result(program, await session.fetch(*expand(program, values, None)), None)


def as_result(program: MySQLProgram, fetched: Fetched, window: Window | None) -> Result:
    query = program.query
    cardinality = query.cardinality
    if cardinality is Cardinality.INSERT and not fetched.columns:
        return Result(json=b"%d" % fetched.lastrowid, count=1) if fetched.lastrowid else Result()
    if not fetched.columns or cardinality is Cardinality.EXEC:
        return Result(affected=0 if query.statement.verb in _READING else fetched.rowcount)
    encoder = program.encoder.for_columns(fetched.columns)
    rows = fetched.raw
    one = cardinality in _ONE_ROW or (cardinality in _ONE_VALUE and query.access is Access.WRITE)
    if one and len(rows) > 1:
        raise MoreThanOneRow("the statement gave more than one row")
    if cardinality in _ONE_VALUE:
        return Result(json=encoder.value(rows[0]), count=1) if rows else Result()
    if window is None:
        return Result(json=encoder.rows(rows), count=len(rows))
    skip = 0 if program.windowed else window.offset
    json, count = encoder.page(rows[skip : skip + window.rows], window.bytes_max)
    if len(rows) > skip and not count:
        raise row_too_large(window.bytes_max)
    return Result(json=json, count=count, more=fetched.is_cut or len(rows) > skip + count)
