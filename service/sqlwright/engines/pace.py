"""How many rows of a stream to fetch at once."""

from __future__ import annotations

from sqlwright.query import UNBOUNDED, Result

FIRST_ROWS = 8
PATIENCE_SECONDS = 0.2
"""Rows that come slowly are passed on at least that often, where it can be helped."""


class Pace:
    """`rows` is how many to fetch next. With a bound in bytes they are few at first, so that the first come soon, and
    then as many as there was room for, where they were like those before; without one always `rows_max`.
    """

    __slots__ = ("_bytes_max", "_rows_max", "rows")

    def __init__(self, rows_max: int, bytes_max: int) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self.rows = rows_max if bytes_max >= UNBOUNDED else min(FIRST_ROWS, rows_max)

    def came(self, result: Result, seconds: float) -> None:
        """Rows came, which took that long."""
        if self._bytes_max >= UNBOUNDED or not result.count:
            return
        # Twice as many at most: the next may be larger.
        rows = min(self.rows * 2, self._rows_max, result.count * self._bytes_max // len(result.json))
        if seconds > PATIENCE_SECONDS:
            rows = min(rows, int(result.count * PATIENCE_SECONDS / seconds))
        self.rows = max(rows, 1)
