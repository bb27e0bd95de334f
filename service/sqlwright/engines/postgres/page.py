"""A page of rows that PostgreSQL has written as JSON, bounded in rows and in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlwright.engines.encode import row_too_large
from sqlwright.engines.postgres.compile import SEPARATOR, PostgresProgram
from sqlwright.query import Result, Values, Window

LARGER_ROWS = 4
"""How many times as large as on any page before the rows of the next one are taken to be at most."""


def windowed(program: PostgresProgram, values: Values, window: Window) -> tuple[str, Values]:
    """The statement of a page. Only where its rows may be large, or are not known yet, the database counts bytes."""
    arguments = [*values, _rows(program, window) + 1]
    if program.window_has_offset:
        arguments.append(window.offset)
    if 0 < program.observed.row_bytes * LARGER_ROWS * window.rows <= window.bytes_max:
        return program.page, arguments
    return program.page_bounded, [*arguments, window.bytes_max]


def _rows(program: PostgresProgram, window: Window) -> int:
    """No more than may have room: the database would make JSON of them all the same."""
    size = program.observed.row_bytes
    if not size or not program.window_has_offset:  # without pages, what is left out would be lost
        return window.rows
    return min(window.rows, 1 + LARGER_ROWS * window.bytes_max // size)


def page(program: PostgresProgram, row: Sequence[Any], window: Window, asked: int) -> Result:
    """From what `as_one_row` gives. `asked` is how many rows the statement was to give: one more than the page may
    have."""
    count, fitting, text = row
    if text is not None and fitting == count:
        # Without taking them apart, where that can be.
        more = count >= asked
        json = as_json(text.rpartition(SEPARATOR)[0] if more else text)
        rows = count - more
        if rows and len(json) <= window.bytes_max:
            program.observed.row_bytes = max(program.observed.row_bytes, len(json) // rows)
            return Result(json=json, count=rows, more=more)
    whole = [] if text is None else text.split(SEPARATOR)
    return _page(program, [*((json,) for json in whole), *[(None,)] * (count - fitting)], window, asked)


def as_json(text: str) -> bytes:
    return text.replace(SEPARATOR, ",").replace("\r", " ").replace("\n", " ").encode()


def _page(program: PostgresProgram, rows: list[Any], window: Window, asked: int) -> Result:
    more = len(rows) >= asked
    if more:
        rows = rows[: asked - 1]
    if rows and rows[-1][0] is None:  # the database has cut it
        rows, more = [row for row in rows if row[0] is not None], True
    json = joined(rows)
    if len(json) > window.bytes_max:
        rows, more = list(_fitting(rows, window.bytes_max)), True
        json = joined(rows)
    if rows:
        program.observed.row_bytes = max(program.observed.row_bytes, len(json) // len(rows))
    elif more:
        raise row_too_large(window.bytes_max)
    return Result(json=json, count=len(rows), more=more)


def _fitting(rows: list[Any], bytes_max: int) -> Iterator[Any]:
    size = -1
    for row in rows:
        size += len(row[0].encode()) + 1
        if size > bytes_max:
            return
        yield row


def on_one_line(text: str) -> bytes:
    """JSON that PostgreSQL wrote."""
    return text.replace("\r", " ").replace("\n", " ").encode()


def joined(rows: list[Any], separator: str = ",") -> bytes:
    # A line break in JSON that PostgreSQL writes can only stand between values: json columns keep theirs.
    text = separator.join([row[0] for row in rows])
    if separator == ",":
        return on_one_line(text)
    if text.count("\n") >= len(rows) or "\r" in text:
        text = separator.join([row[0].replace("\r", " ").replace("\n", " ") for row in rows])
    return text.encode()
