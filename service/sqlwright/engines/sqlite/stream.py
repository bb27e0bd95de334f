"""The rows of a long result from an open cursor, a hop for each piece."""

from __future__ import annotations

import sqlite3

from sqlwright.engines.encode import PIECE_ROWS, piece_rows
from sqlwright.engines.sqlite.compile import SQLiteProgram
from sqlwright.engines.sqlite.encode import Encoder
from sqlwright.engines.sqlite.hop import Hop, Session
from sqlwright.engines.sqlite.transaction import refuse_ended
from sqlwright.errors import StatementFailed
from sqlwright.query import UNBOUNDED, Result, Values


class Cursor:
    """A cursor between its hops. The session knows it, so that the pool closes it when its reader does not."""

    def __init__(self, session: Session, program: SQLiteProgram, values: Values, *, guarded: bool, joins: bool) -> None:
        self._session = session
        self._program = program
        self._values = values
        self._guarded = guarded
        """The session can write, so it must be kept from it."""
        self._joins = joins
        self._rows: sqlite3.Cursor | None = None
        self._encoder: Encoder = program.encoder

    def fetch(
        self, raw: sqlite3.Connection, hop: Hop, rows_max: int, bytes_max: int = UNBOUNDED, separator: str = ","
    ) -> Result:
        """Thread: the next rows, none after those that reach `bytes_max`; closed after the last."""
        if self._guarded:
            raw.execute("PRAGMA query_only=on").close()
        try:
            opened = self._rows or self._open(raw, hop)
            pieces: list[bytes] = []
            count = size = 0
            more, step = True, min(PIECE_ROWS, rows_max)
            while more and count < rows_max and size < bytes_max:
                rows = opened.fetchmany(min(step, rows_max - count))
                hop.check()
                more = len(rows) == min(step, rows_max - count)
                if rows:
                    pieces.append(self._encoder.joined(rows, separator))
                    size += len(pieces[-1]) + 1
                    count += len(rows)
                    step = piece_rows(rows[-1])
        finally:
            if self._guarded:
                hop.finish()
                raw.execute("PRAGMA query_only=off").close()
        if not more:
            self._session.cursors.remove(opened)
            opened.close()
        return Result(json=separator.encode().join(pieces), count=count, more=more)

    def _open(self, raw: sqlite3.Connection, hop: Hop) -> sqlite3.Cursor:
        if self._joins:
            refuse_ended(raw)
        opened = self._rows = hop.patiently(raw.execute, self._program.sql, self._values)
        self._session.cursors.append(opened)
        if opened.description is None:
            raise StatementFailed("the statement gives no rows")
        self._encoder = self._program.encoder.for_names(tuple(column[0] for column in opened.description))
        return opened
