"""Rows of SQLite → JSON, on the thread that fetched them.

Any value can stand in any column, so what is done with a value follows from its own type first and from the column's
declared type second. Columns are looked at whole: most hold only values that orjson writes as they are.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import orjson

from sqlwright.query import Column, Kind, SqlType

Row = tuple[Any, ...]
Write = Callable[[Any], Any]
"""A value → what orjson writes for it."""

_PLAIN = frozenset({int, str, type(None)})
_FIXED_DIGITS = 15
"""From 10 to this power on floats are written with an exponent, as PostgreSQL does."""
_INFINITIES = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
_MOMENT = re.compile(
    r"[0-9]{4,}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_LINE_BREAKS = {ord("\n"): None, ord("\r"): None}
_BIG_NAMES = frozenset({"bigint", "int8", "unsigned big int", "unsigned bigint"})


class Encoder:
    """Writes the rows of one query. Columns are fixed when the query is described."""

    def __init__(self, columns: Sequence[Column], *, big_numbers_as_text: bool = False) -> None:
        self.names = tuple(column.name for column in columns)
        self._writers = tuple(_writer(column.type, big_numbers_as_text) for column in columns)

    def for_names(self, names: tuple[str, ...]) -> Encoder:
        """This encoder, or one for columns that have come, gone or changed their names since."""
        if names == self.names:
            return self
        changed = Encoder([Column(name) for name in names])
        if len(names) == len(self.names):
            changed._writers = self._writers
        return changed

    def rows(self, rows: Sequence[Row]) -> bytes:
        """JSON objects joined by commas."""
        names = self.names
        columns = map(_column, self._writers, zip(*rows))  # noqa: B905 - here and below: of one length by construction
        # Without the brackets: the caller joins pieces.
        return orjson.dumps([dict(zip(names, row)) for row in zip(*columns)])[1:-1]  # noqa: B905

    def value(self, row: Row) -> bytes:
        """The first column alone."""
        return orjson.dumps(_column(self._writers[0], row[:1])[0])


def _column(write: Write | None, values: Sequence[Any]) -> Sequence[Any]:
    if write is not None:
        return [write(value) for value in values]
    if set(map(type, values)) <= _PLAIN:
        return values
    return [value if type(value) in _PLAIN else _surprise(value) for value in values]


def _writer(type: SqlType | None, big_numbers_as_text: bool) -> Write | None:
    """None where nothing but floats and bytes needs work."""
    if type is None:
        return None
    if type.kind is Kind.NUMERIC:
        return _numeric(type.scale or 0, as_text=big_numbers_as_text)
    if type.kind is Kind.INT8 and big_numbers_as_text and type.name.lower().split("(")[0].strip() in _BIG_NAMES:
        return _big_integer
    return _WRITERS.get(type.kind)


def _surprise(value: Any) -> Any:
    """A value by its own type alone."""
    if type(value) is float:
        return _INFINITIES.get(value) or orjson.Fragment(float_text(value))
    if type(value) is bytes:
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    return value


def float_text(value: float) -> str:
    """A finite double as PostgreSQL writes it: the shortest digits that give it back."""
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
    if "e" in text or abs(value) < 10.0**_FIXED_DIGITS:
        return text
    sign, digits = ("-", text[1:]) if value < 0 else ("", text)
    whole, _, fraction = digits.partition(".")
    mantissa = (whole + fraction).rstrip("0")
    rest = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{sign}{mantissa[0]}{rest}e+{len(whole) - 1:02d}"


def _boolean(value: Any) -> Any:
    if type(value) is int and 0 <= value <= 1:
        return value == 1
    return _surprise(value)


def _big_integer(value: Any) -> Any:
    return str(value) if type(value) is int else _surprise(value)


def _numeric(scale: int, *, as_text: bool) -> Write:
    """All the digits that are stored, and zeros up to the declared scale; never an exponent."""
    wrap: Callable[[str], Any] = str if as_text else orjson.Fragment
    zeros = "." + "0" * scale if scale else ""

    def write(value: Any) -> Any:
        if type(value) is int:
            return wrap(str(value) + zeros) if scale or as_text else value
        if type(value) is not float or value in _INFINITIES:
            return _surprise(value)
        text = repr(value)
        if "e" in text:
            text = format(Decimal(text), "f")
        point = text.find(".")
        if point < 0:
            return wrap(text + zeros)
        if not scale and text.endswith(".0"):
            return wrap(text[:-2])
        return wrap(text + "0" * (scale - len(text) + point + 1))

    return write


def _moment(value: Any) -> Any:
    """`2026-01-31 12:00:00` → `2026-01-31T12:00:00`."""
    if type(value) is str and _MOMENT.fullmatch(value):
        return value.replace(" ", "T", 1)
    return _surprise(value)


def _moment_in_utc(value: Any) -> Any:
    """The same; without an offset, as `bind` and CURRENT_TIMESTAMP store it, it is UTC."""
    if type(value) is str and (match := _MOMENT.fullmatch(value)):
        return value.replace(" ", "T", 1) + ("" if match.group(1) else "+00:00")
    return _surprise(value)


def _json(value: Any) -> Any:
    """Text that is JSON goes in as it is, digit for digit. A line break in valid JSON is only white space."""
    if type(value) is str:
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        return orjson.Fragment(value.translate(_LINE_BREAKS))
    return _surprise(value)


_WRITERS: dict[Kind, Write] = {
    Kind.BOOL: _boolean,
    Kind.DATE: _moment,
    Kind.TIMESTAMP: _moment,
    Kind.TIMESTAMPTZ: _moment_in_utc,
    Kind.JSON: _json,
}
