"""What one call does on its session's thread, from BEGIN to COMMIT and from rows to JSON. Nothing here awaits."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice

from sqlwright.engines.encode import RowEncoder, piece_rows, row_too_large
from sqlwright.engines.sqlite.compile import CHANGING_VERBS, SQLiteProgram
from sqlwright.engines.sqlite.hop import Hop
from sqlwright.engines.sqlite.transaction import begin, refuse_ended, undone_after_error
from sqlwright.errors import MoreThanOneRow
from sqlwright.query import Cardinality, Result, Values, Window

CHUNK_ROWS = 1000
"""Rows that are fetched and written, and items that are executed, between two looks at whether the caller is there."""
_ONE_ROW = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})


def read(
    raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values, window: Window | None, *, guarded: bool
) -> Result:
    """Run a query that reads. `guarded`: the session can write (a database in memory), so it must be kept from it."""
    return read_many(raw, hop, program, [values], window, guarded=guarded)[0]


def read_many(
    raw: sqlite3.Connection,
    hop: Hop,
    program: SQLiteProgram,
    items: Sequence[Values],
    window: Window | None,
    *,
    guarded: bool,
) -> list[Result]:
    """Run it once per item, each as it would run alone: what they share is the way to the thread and back."""
    if guarded:
        raw.execute("PRAGMA query_only=on").close()
    results = []
    begun = time.perf_counter()
    try:
        for item in items:
            hop.check()
            results.append(rows(raw, hop, program, item, window))
        program.pace.took((time.perf_counter() - begun) / len(items))
    finally:
        if guarded:
            hop.finish()
            raw.execute("PRAGMA query_only=off").close()
    return results


def write(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values, *, joins: bool) -> Result:
    """Run a query that writes, in a transaction where the statement allows one. `joins`: in the one that is open."""
    if joins:
        refuse_ended(raw)
    elif program.in_transaction:
        return in_transaction(raw, hop, lambda: rows(raw, hop, program, values, None))
    return rows(raw, hop, program, values, None)


def in_transaction(raw: sqlite3.Connection, hop: Hop, work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction of its own: all or nothing."""
    begin(raw, hop, read_only=False)
    with undone_after_error(raw, hop):
        result = work()
        hop.patiently(raw.execute, "COMMIT").close()
    return result


def rows(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values, window: Window | None) -> Result:
    """Run a statement as it stands, and what it gives as a result."""
    skip = 0
    sql = program.sql
    if window is not None and program.windowed:
        sql, values = program.windowed, [*values, window.rows + 1, window.offset]
    elif window is not None:
        skip = window.offset
    cursor = hop.patiently(raw.execute, sql, values)
    try:
        cardinality = program.query.cardinality
        if cardinality is Cardinality.INSERT:
            return _key(raw, cursor)
        if cursor.description is None or cardinality is Cardinality.EXEC:
            for _ in cursor:
                pass
            return Result(affected=affected_by(raw, cursor, program))
        encoder = program.encoder.for_names(tuple([column[0] for column in cursor.description]))
        if cardinality is Cardinality.VALUE:
            row = cursor.fetchone()
            return Result() if row is None else Result(json=encoder.value(row), count=1)
        if cardinality in _ONE_ROW:
            found = cursor.fetchmany(2)
            if len(found) > 1:
                raise MoreThanOneRow("the statement gave more than one row")
            return Result(json=encoder.rows(found), count=len(found))
        if window is not None:
            for _ in islice(cursor, skip):
                pass
            return _page(hop, cursor, encoder, window)
        count = 0
        pieces = []
        while chunk := cursor.fetchmany(CHUNK_ROWS):
            hop.check()
            count += len(chunk)
            pieces.append(encoder.rows(chunk))
        return Result(json=b",".join(pieces), count=count)
    finally:
        cursor.close()  # an open one would keep its snapshot, and so keep the log from being emptied


def _page(hop: Hop, cursor: sqlite3.Cursor, encoder: RowEncoder, window: Window) -> Result:
    """Few rows are fetched at once, and fewer where they are large: a page that is full is all that is kept."""
    pieces: list[bytes] = []
    count = size = 0
    row = cursor.fetchone()
    while row is not None and count < window.rows:
        wanted = min(piece_rows(row), window.rows - count)
        rows = [row, *cursor.fetchmany(wanted)]
        hop.check()
        row = rows.pop() if len(rows) > wanted else None
        piece, fitting = encoder.page(rows, window.bytes_max - size)
        if fitting:
            pieces.append(piece)
        count += fitting
        size += len(piece) + 1
        if fitting < len(rows):
            if not count:
                raise row_too_large(window.bytes_max)
            return Result(json=b",".join(pieces), count=count, more=True)
    return Result(json=b",".join(pieces), count=count, more=row is not None)


def affected_by(raw: sqlite3.Connection, cursor: sqlite3.Cursor, program: SQLiteProgram) -> int:
    if program.query.statement.verb not in CHANGING_VERBS:
        return 0
    if cursor.rowcount >= 0:
        return cursor.rowcount
    # Python does not count for a statement that begins with WITH.
    with closing(raw.execute("SELECT changes()")) as counter:
        changed: int = counter.fetchone()[0]
    return changed


def _key(raw: sqlite3.Connection, cursor: sqlite3.Cursor) -> Result:
    """The key of the row just inserted; null when none was (INSERT OR IGNORE)."""
    cursor.fetchall()
    with closing(raw.execute("SELECT last_insert_rowid() WHERE changes()")) as asked:
        row = asked.fetchone()
    return Result() if row is None else Result(json=b"%d" % row[0], count=1)
