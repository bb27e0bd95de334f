"""CSV as PostgreSQL's COPY reads it: a line of names, commas, double quotes; an empty cell is NULL, `""` is an empty
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlwright.errors import MalformedRequest
from sqlwright.parameters.json_body import decode_body
from sqlwright.parameters.refusal import quoted

_CELL = re.compile(r'(?:"((?:[^"]|"")*+)"|([^",\r\n]*+))(,|\r?\n|\Z)')


@dataclass(frozen=True, slots=True)
class Cells:
    """A table of texts, `columns` in the order of `header`."""

    header: tuple[str, ...]
    columns: tuple[Sequence[str | None], ...]

    def __len__(self) -> int:
        return len(self.columns[0])


def parse_csv(body: bytes) -> Cells:
    """Raises `MalformedRequest` with the line, from 1."""
    text = decode_body(body).removeprefix("\ufeff")  # which spreadsheets write
    records = _plain(text) if '"' not in text else _quoted(text)
    header = next(records, None)
    if not text or header is None:
        raise MalformedRequest("the body is empty", hint="the first line of CSV names the columns")
    names = _names(header)
    width = len(names)
    rows: list[list[str | None]] = []
    for row in records:
        if len(row) != width:
            line = _line(text, len(rows) + 1)
            raise MalformedRequest(f"line {line} of the body has {_count(len(row))}, and the first line {width}")
        rows.append(row)
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * width
    return Cells(names, columns)


def _names(header: Sequence[str | None]) -> tuple[str, ...]:
    names = []
    for number, name in enumerate(header, 1):
        if not name:
            raise MalformedRequest(f"the first line of the body names the columns, and cell {number} is empty")
        if name in names:
            raise MalformedRequest(f"the first line of the body names {quoted(name)} twice")
        names.append(name)
    return tuple(names)


def _plain(text: str) -> Iterator[list[str | None]]:
    """The records of a text without quotes."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        one = line[:-1] if line[-1:] == "\r" else line
        if "\r" in one:
            raise _unreadable(number)
        yield [cell or None for cell in one.split(",")]


def _quoted(text: str) -> Iterator[list[str | None]]:
    position, end = 0, len(text)
    row: list[str | None] = []
    while position < end or row:
        match = _CELL.match(text, position)
        if match is None:
            raise _unreadable(text.count("\n", 0, position) + 1)
        inside, bare, separator = match.groups()
        row.append((bare or None) if inside is None else inside.replace('""', '"'))
        position = match.end()
        if separator != ",":
            yield row
            row = []


def _line(text: str, record: int) -> int:
    """Where a record (from 0) begins: one can have several lines."""
    position = count = 0
    while count < record:
        match = _CELL.match(text, position)
        assert match is not None, "it has been read"
        position = match.end()
        count += match[3] != ","
    return text.count("\n", 0, position) + 1


def _count(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"


def _unreadable(line: int) -> MalformedRequest:
    hint = 'a cell with a comma, a quote or a line break stands in double quotes, and a quote in it is written ""'
    return MalformedRequest(f"line {line} of the body is not CSV", hint=hint)
