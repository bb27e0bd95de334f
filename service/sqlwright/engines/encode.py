"""Rows → JSON in Python, for engines whose database does not write it: columns are looked at whole.

Every engine writes the same value with the same text: floats with the shortest digits that give them back, in
PostgreSQL's notation; moments as ISO 8601; JSON as it is stored, without line breaks; bytes as base64.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from sqlwright.errors import ResultTooLarge

Row = tuple[Any, ...]
WriteColumn = Callable[[Sequence[Any]], Sequence[Any]]
"""All values of a column → what orjson writes for them."""
Objects = Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]]
"""Columns → the objects of the rows."""

INFINITIES = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
_FIXED_DIGITS = 15
_FIXED_DIGITS_SINGLE = 6
"""From 10 to this power on floats are written with an exponent, as PostgreSQL does."""
_SINGLE_MAX = 3.4028235677973366e38
"""What rounds to more than four bytes can keep begins here."""
_MOMENT = re.compile(
    r"[0-9]{4,}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_LINE_BREAKS = {ord("\n"): None, ord("\r"): None}


PIECE_ROWS = 128
"""Rows that are written at once: a page has more only where more are asked for."""
LARGE_ROW_BYTES = 64 * 1024
"""From here on they are written one by one: nothing else runs meanwhile, in no thread."""


def row_too_large(bytes_max: int) -> ResultTooLarge:
    hint = "page_bytes_max is the most that a page, and so a row, may have"
    return ResultTooLarge(f"a row has more than {bytes_max:,} bytes of JSON", hint=hint)


def piece_rows(row: Row) -> int:
    """How many rows to handle at once, where this is one of them."""
    size = sum([len(value) for value in row if isinstance(value, str | bytes)])
    return 1 if size > LARGE_ROW_BYTES else PIECE_ROWS


class RowEncoder:
    """Writes the rows of one query, a function a column."""

    def __init__(self, names: Sequence[str], writers: Sequence[WriteColumn]) -> None:
        self.names = tuple(names)
        self.writers = tuple(writers)
        self._objects: Objects | None = None

    def rows(self, rows: Sequence[Row]) -> bytes:
        """JSON objects joined by commas."""
        # Without the brackets: the caller joins pieces.
        return orjson.dumps(self._made(rows))[1:-1]

    def joined(self, rows: Sequence[Row], separator: str) -> bytes:
        """JSON objects joined by commas, or by something else."""
        return self.rows(rows) if separator == "," else separator.encode().join(map(orjson.dumps, self._made(rows)))

    def _made(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        if self._objects is None:
            self._objects = _objects(self.names)
        columns = [write(values) for write, values in zip(self.writers, zip(*rows))]  # noqa: B905 - of one length by construction
        return self._objects(columns)

    def page(self, rows: Sequence[Row], bytes_max: int) -> tuple[bytes, int]:
        """The JSON of the first rows that have room, and how many those are."""
        pieces: list[bytes] = []
        count = size = 0
        step = piece_rows(rows[0]) if rows else 1
        while count < len(rows):
            some = rows[count : count + step]
            piece = self.rows(some)
            if size + len(piece) > bytes_max:
                if step == 1:
                    break
                step = 1
                continue
            pieces.append(piece)
            count += len(some)
            size += len(piece) + 1
        return b",".join(pieces), count

    def value(self, row: Row) -> bytes:
        """The first column alone."""
        return orjson.dumps(self.writers[0](row[:1])[0])


def _objects(names: Sequence[str]) -> Objects:
    """Written out as `[{'id': a0, …} for a0, … in zip(*columns)]`, because `dict(zip(…))` takes twice as long."""
    fields = [f"a{number}" for number in range(len(names))]
    pairs = ", ".join(f"{name!r}: {field}" for name, field in zip(names, fields, strict=True))
    source = f"lambda columns: [{{{pairs}}} for {', '.join(fields)}, in zip(*columns)]"
    made: Objects = eval(source, {"zip": zip})  # noqa: S307 - names are there as literals only
    return made


def float_text(value: float) -> str:
    """A finite double as PostgreSQL writes it: the shortest digits that give it back."""
    return _notation(repr(value), value, _FIXED_DIGITS)


def single_text(value: float) -> str:
    """The same for what is kept in four bytes: the shortest digits that give those back."""
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if abs(short) < _SINGLE_MAX and as_single(short) == value:
            break
    return _notation(repr(short), short, _FIXED_DIGITS_SINGLE)


def as_single(value: float) -> float:
    """The nearest number that four bytes can keep. Raises OverflowError."""
    kept: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return kept


def _notation(text: str, value: float, fixed_digits: int) -> str:
    if text.endswith(".0"):
        text = text[:-2]
    if "e" in text or abs(value) < 10.0**fixed_digits:
        return text
    sign, digits = ("-", text[1:]) if value < 0 else ("", text)
    whole, _, fraction = digits.partition(".")
    mantissa = (whole + fraction).rstrip("0")
    rest = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{sign}{mantissa[0]}{rest}e+{len(whole) - 1:02d}"


def number(text: str) -> orjson.Fragment:
    """A number that JSON reads, digit for digit."""
    return orjson.Fragment(text)


def base64_text(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def moment(text: str, *, in_utc: bool) -> str | None:
    """`2026-01-31 12:00:00` → `2026-01-31T12:00:00`; None for what is no moment.

    `in_utc`: without an offset, as databases store it, it gets `+00:00`.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    return text.replace(" ", "T", 1) + ("+00:00" if in_utc and not match.group(1) else "")


_DIGITS = bytes(ord("0") if ord("0") <= byte <= ord("9") else byte for byte in range(256))
_PLAIN_MOMENT = b"0000-00-00 00:00:00"


def plain_moments(values: Sequence[Any]) -> list[str] | None:
    """`moment` of a column of texts with seconds, without fractions and offsets; None where one is otherwise."""
    try:
        text = "\n".join(values)
        shape = text.encode("ascii").translate(_DIGITS)
    except (TypeError, UnicodeEncodeError):
        return None
    if shape != b"\n".join([_PLAIN_MOMENT] * len(values)):
        return None
    return text.replace(" ", "T").split("\n")


def json_text(text: str) -> Any:
    """Text that is JSON goes in as it is, digit for digit. A line break in valid JSON is only white space."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text.translate(_LINE_BREAKS))
