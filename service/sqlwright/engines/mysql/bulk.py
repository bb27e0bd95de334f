"""Bulk calls on MariaDB: many rows in one INSERT where that means the same as one INSERT a row, else many statements on
their way at once; and which item it is that fails.

A key that is counted (AUTO_INCREMENT) is counted otherwise by a statement of many rows where some of them bring their
own, or are there already.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pymysql

from sqlwright.engines.bulk import ONE_BY_ONE_MAX, speaks_of_item
from sqlwright.engines.mysql.compile import MySQLProgram, as_text, expand
from sqlwright.engines.mysql.errors import translate
from sqlwright.engines.mysql.many import ManyRows
from sqlwright.engines.mysql.session import Session
from sqlwright.errors import DatabaseError, StatementTimeout
from sqlwright.query import Access, Result, Values

CHUNK_STATEMENTS = 256
CHUNK_ROWS = 1000
CHUNK_BYTES = 1024 * 1024
"""How much of a bulk call is on its way before its answers are read."""
# Without a key that is counted: NULL in its place. The names stand in each part, or the server would look through all
# triggers there are: 24 ms instead of 0.6.
_TABLE = """
SELECT t.engine = 'InnoDB' AND NOT EXISTS (
    SELECT 1 FROM information_schema.triggers g
    WHERE g.event_object_schema = IFNULL(%s, DATABASE()) AND g.event_object_table = %s),
  (SELECT MAX(c.column_name) FROM information_schema.columns c
    WHERE c.table_schema = IFNULL(%s, DATABASE()) AND c.table_name = %s AND c.extra LIKE '%%auto_increment%%')
FROM information_schema.tables t
WHERE t.table_schema = IFNULL(%s, DATABASE()) AND t.table_name = %s AND t.table_type = 'BASE TABLE'
"""


async def write_many(
    session: Session, program: MySQLProgram, items: Sequence[Values], timeout_seconds: float
) -> Result:
    """Run a query once per item, in a transaction. What follows an item that failed may have run: undo it all."""
    give_up_at = time.monotonic() + timeout_seconds
    await session.limit_time(timeout_seconds)
    rows = program.many_rows if len(items) > ONE_BY_ONE_MAX else None
    affected = start = 0
    if rows is not None and await _means_the_same(session, rows, items):
        for end, data in _inserts(session, rows, items):
            (answer,) = await session.try_many([data])
            if isinstance(answer, pymysql.err.MySQLError):
                try:
                    if speaks_of_item(translate(answer, Access.READ)):
                        await _one_by_one(session, program, items, start, end)  # which of them it is
                    raise answer
                finally:
                    del answer  # as in `_sent`
            affected += answer.rowcount
            start = end
            _check(give_up_at)
        return Result(affected=affected)
    return Result(affected=await _one_by_one(session, program, items, 0, len(items)))


def _check(give_up_at: float) -> None:
    """The server's limit is one for each statement; this is that of the call."""
    if time.monotonic() > give_up_at:
        raise StatementTimeout("the statements took too long and were stopped", outcome="none")


async def _means_the_same(session: Session, rows: ManyRows, items: Sequence[Values]) -> bool:
    found = (await session.fetch(_TABLE, [rows.schema, rows.table] * 3)).rows
    if not found or found[0][0] != "1":
        return False
    counted = found[0][1]
    if counted is None:
        return True
    if counted.lower() not in rows.columns:
        return not rows.after.strip()
    place = rows.alone[rows.columns.index(counted.lower())]
    return place is not None and all(type(item[place]) is int and item[place] > 0 for item in items)


def _inserts(session: Session, rows: ManyRows, items: Sequence[Values]) -> Iterator[tuple[int, bytes]]:
    """Statements, and the index behind the last item of each."""
    before, after = rows.before.encode(), rows.after.encode()
    bytes_max = min(CHUNK_BYTES, session.packet_max - len(before) - len(after) - 1)
    for start in range(0, len(items), CHUNK_ROWS):
        written = _written(session, rows, items[start : start + CHUNK_ROWS])
        first = size = 0
        for index, row in enumerate(written):
            if index > first and size + len(row) > bytes_max:
                yield start + index, before + b",".join(written[first:index]) + after
                first, size = index, 0
            size += len(row) + 1
        yield start + len(written), session.within_packet(before + b",".join(written[first:]) + after)


def _written(session: Session, rows: ManyRows, items: Sequence[Values]) -> list[bytes]:
    columns = list(zip(*items, strict=True))
    uses = []
    for use, position in enumerate(rows.positions):
        values = map(as_text, columns[position]) if use in rows.as_text else columns[position]
        uses.append(map(session.escape, values))
    return [(rows.row % row).encode() for row in zip(*uses, strict=True)]


async def _one_by_one(session: Session, program: MySQLProgram, items: Sequence[Values], start: int, end: int) -> int:
    affected = 0
    chunk: list[bytes] = []
    size = 0
    for index in range(start, end):
        data = session.encoded(*expand(program, items[index], None))
        if chunk and (len(chunk) >= CHUNK_STATEMENTS or size + len(data) > CHUNK_BYTES):
            affected += await _sent(session, chunk, index - len(chunk))
            chunk, size = [], 0
        chunk.append(data)
        size += len(data)
    return affected + await _sent(session, chunk, end - len(chunk))


async def _sent(session: Session, chunk: Sequence[bytes], start: int) -> int:
    """The rows that statements have affected. Raises the error of the first that failed, with its index."""
    affected = 0
    for index, answer in enumerate(await session.try_many(chunk), start):
        if isinstance(answer, pymysql.err.MySQLError):
            translated = translate(answer, Access.READ)
            try:
                if not isinstance(translated, DatabaseError) or not speaks_of_item(translated):
                    raise answer
                translated.index = index
                raise translated from answer
            finally:
                del translated, answer  # their traceback leads back here: a cycle would keep all of the call
        affected += answer.rowcount
    return affected
