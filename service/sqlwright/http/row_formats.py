"""The media types of rows that are answered as they come: how a piece of them is written, and how an error is told."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from sqlwright.http.exchange import Header
from sqlwright.http.negotiation import CSV, NDJSON
from sqlwright.lines import CsvWriter

BYTES_ON_LOOP_MAX = 256 * 1024
"""Larger pieces, of a few large rows, are written in a thread."""


class RowFormat(ABC):
    """Writes the rows of one answer. Pieces come as JSON, a row a line, without a line break at the end."""

    headers: Sequence[Header]

    @abstractmethod
    async def write(self, piece: bytes) -> bytes: ...

    def end(self) -> bytes:
        """What is left to write after the last row."""
        return b""

    def failure(self, problem: bytes) -> bytes | None:  # noqa: ARG002 - for formats that have room for it
        """A last line for a problem; None where it could be taken for a row, so that the answer must be broken off."""
        return None


class Ndjson(RowFormat):
    headers = ((b"content-type", NDJSON.encode("ascii")),)

    async def write(self, piece: bytes) -> bytes:
        return piece + b"\n"

    def failure(self, problem: bytes) -> bytes:
        return b'{"error":%b}\n' % problem


class Csv(RowFormat):
    headers = (
        (b"content-type", b"text/csv; charset=utf-8; header=present"),
        # A cell that begins with = + - or @ is left as it is: a spreadsheet may take it for a formula.
        (b"x-csv-formulas", b"as-stored"),
    )

    def __init__(self, names: Sequence[str]) -> None:
        self._writer = CsvWriter(names)

    async def write(self, piece: bytes) -> bytes:
        return self._write(piece) if len(piece) <= BYTES_ON_LOOP_MAX else await asyncio.to_thread(self._write, piece)

    def _write(self, piece: bytes) -> bytes:
        return _encoded(self._writer.write(piece.decode("utf-8")))

    def end(self) -> bytes:
        return _encoded(self._writer.end())


def _encoded(text: str) -> bytes:
    # Half a character (a lone surrogate) can stand in JSON that was stored as text, and in no UTF-8.
    return text.encode("utf-8", "backslashreplace")


def row_format(media_type: str, names: Sequence[str]) -> RowFormat:
    """`names` are the columns' where no row tells them."""
    return Csv(names) if media_type == CSV else Ndjson()
