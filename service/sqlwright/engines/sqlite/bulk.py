"""Bulk calls on SQLite: a prepared statement executed item by item, in one hop; and which item it is that fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from operator import length_hint

from sqlwright.engines.bulk import speaks_of_item
from sqlwright.engines.inference.insert import plain_insert
from sqlwright.engines.sqlite.compile import CHANGING_VERBS, SQLiteProgram
from sqlwright.engines.sqlite.errors import translate
from sqlwright.engines.sqlite.hop import Hop
from sqlwright.engines.sqlite.run import CHUNK_ROWS, affected_by, in_transaction
from sqlwright.engines.sqlite.transaction import begin, refuse_ended, rollback
from sqlwright.errors import DatabaseError, SqlwrightError
from sqlwright.query import Access, Result, Values
from sqlwright.sql.dialect import SQLITE

STEPS_BETWEEN_LOOKS = 10_000
"""Of SQLite's machine, between two looks at whether the call is still wanted."""


def write_many(
    raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, items: Sequence[Values], *, joins: bool
) -> Result:
    """Run a query once per item, all or nothing; `joins` leaves that to the transaction that is open."""

    def work() -> Result:
        return Result(affected=sum(_changes(raw, hop, program, items)))

    if joins:
        refuse_ended(raw)
        return work()
    try:
        return in_transaction(raw, hop, work)
    except sqlite3.IntegrityError as error:
        raise _with_index(error, _deferred(raw, hop, program, items)) from error


def _changes(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, items: Sequence[Values]) -> Iterator[int]:
    statement = program.query.statement
    at_once = statement.verb in CHANGING_VERBS and not statement.main and not statement.has_returning
    for start in range(0, len(items), CHUNK_ROWS):
        hop.check()
        chunk = items[start : start + CHUNK_ROWS]
        left = iter(chunk)
        try:
            if at_once:
                with closing(raw.executemany(program.sql, left)) as cursor:
                    yield cursor.rowcount
                continue
            # executemany neither counts for a statement that begins with WITH nor takes one that gives rows.
            for item in left:
                with closing(raw.execute(program.sql, item)) as cursor:
                    for _ in cursor:
                        pass
                    yield affected_by(raw, cursor, program)
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise _with_index(error, start + len(chunk) - length_hint(left) - 1) from error


def _deferred(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, items: Sequence[Values]) -> int | None:
    """Which item broke a foreign key that COMMIT looked at: the call is done again, its rows are looked at, and all is
    undone. None where the statement is no INSERT, or its rows have no number."""
    insert = plain_insert(program.query, SQLITE)
    if insert is None:
        return None
    written: dict[int | None, int] = {}
    raw.set_progress_handler(lambda: hop.stopped, STEPS_BETWEEN_LOOKS)  # nothing interrupts the hop any more
    try:
        begin(raw, hop, read_only=False)
        for index, item in enumerate(items):
            with closing(raw.execute(program.sql, item)) as cursor:
                if cursor.rowcount > 0:
                    written.setdefault(cursor.lastrowid, index)
        with closing(raw.execute(f"PRAGMA foreign_key_check({insert.table.rpartition('.')[2]})")) as broken:
            return min((written[row[1]] for row in broken if row[1] in written), default=None)
    except (sqlite3.Error, SqlwrightError):
        return None
    finally:
        raw.set_progress_handler(None, 0)
        rollback(raw)


def _with_index(error: Exception, index: int | None) -> Exception:
    """The error as ours, where it is one of an item."""
    translated = translate(error, Access.WRITE)
    if not isinstance(translated, DatabaseError) or not speaks_of_item(translated):
        return error
    translated.index = index
    return translated
