"""Rows of MariaDB and MySQL → JSON.

What this takes is what came (`fetched.py`): values as the server wrote them, and the descriptions of their columns.
What is written follows from those, because a value's type may differ from the description's: a parameter is text in
one call and a number in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from pymysql.constants import FIELD_TYPE
from pymysql.protocol import FieldDescriptorPacket

from sqlwright.engines.encode import (
    Row,
    RowEncoder,
    WriteColumn,
    as_single,
    base64_text,
    float_text,
    json_text,
    number,
    single_text,
)
from sqlwright.engines.mysql.answer import fields_of
from sqlwright.engines.mysql.types import field_type
from sqlwright.query import Column, Kind

Write = Callable[[bytes], Any]
"""A value → what orjson writes for it."""

_ENCODERS_MAX = 16
"""Kept forms of one query's results; a column that has no type of its own has one for each type of its values."""
_ZERO_DATE = b"0000-00-00"
_ZERO = ord("0")
_BIG = frozenset({Kind.INT8, Kind.NUMERIC})


class Encoders:
    """The encoders of one query, by what the server says about a result's columns."""

    def __init__(self, columns: Sequence[Column] = (), *, big_numbers_as_text: bool = False) -> None:
        # JSON is text to MariaDB: what is known of it comes from the description.
        self._json = frozenset(c.name for c in columns if c.type is not None and c.type.kind is Kind.JSON)
        # Asked for as doubles, see `compile.py`.
        self._singles = frozenset(c.name for c in columns if c.type is not None and c.type.kind is Kind.FLOAT4)
        self._big_numbers_as_text = big_numbers_as_text
        self._known: dict[bytes, RowEncoder] = {}

    def for_columns(self, columns: bytes) -> RowEncoder:
        """The encoder of a result with these columns."""
        encoder = self._known.get(columns)
        if encoder is None:
            if len(self._known) >= _ENCODERS_MAX:
                self._known.clear()
            fields = fields_of(columns)
            encoder = _RowEncoder([field.name for field in fields], [self._writer(field) for field in fields])
            self._known[columns] = encoder
        return encoder

    def _writer(self, field: FieldDescriptorPacket) -> Write:
        type = field_type(field)
        if type is None:
            return bytes.decode
        if field.type_code == FIELD_TYPE.BIT:
            if type.kind is Kind.BOOL:
                return _bit
            return _bits_as_text if type.kind in _BIG and self._big_numbers_as_text else int.from_bytes
        if type.kind is Kind.TEXT and field.name in self._json:
            return _json
        if type.kind is Kind.FLOAT8 and field.name in self._singles:
            return _single
        if type.kind in _BIG and self._big_numbers_as_text:
            return _digits
        return _WRITERS.get(type.kind, bytes.decode)


class _RowEncoder(RowEncoder):
    """The same with a function for one value, and a short way for one row."""

    def __init__(self, names: Sequence[str], writers: Sequence[Write]) -> None:
        super().__init__(names, [_each(write) for write in writers])
        self._write = tuple(writers)

    def rows(self, rows: Sequence[Row]) -> bytes:
        if len(rows) != 1:
            return super().rows(rows)
        values = [None if value is None else write(value) for write, value in zip(self._write, rows[0], strict=False)]
        return orjson.dumps(dict(zip(self.names, values, strict=False)))


def _each(write: Write) -> WriteColumn:
    def column(values: Sequence[bytes | None]) -> Sequence[Any]:
        return [None if value is None else write(value) for value in values]

    return column


def _digits(text: bytes) -> str:
    """A number without the zeros that ZEROFILL puts before it."""
    shown = text.decode()
    if shown[0] != "0":
        return shown
    shown = shown.lstrip("0")
    return shown if shown[:1].isdigit() else f"0{shown}"


class _Booleans(dict[bytes, bool | int]):
    """tinyint(1) takes other numbers too."""

    def __missing__(self, text: bytes) -> bool | int:
        value = int(text)
        return value == 1 if 0 <= value <= 1 else value  # ZEROFILL


def _bit(value: bytes) -> bool:
    return value != b"\0"


def _bits_as_text(value: bytes) -> str:
    return str(int.from_bytes(value))


def _float(text: bytes) -> orjson.Fragment:
    return number(float_text(float(text)))


def _single(text: bytes) -> orjson.Fragment:
    return number(single_text(as_single(float(text))))


def _decimal(text: bytes) -> orjson.Fragment:
    return orjson.Fragment(text) if text[0] != _ZERO else number(_digits(text))


def _moment(text: bytes) -> str:
    """`2026-01-31 12:00:00.500000` → `2026-01-31T12:00:00.5`."""
    shown = text.replace(b" ", b"T", 1).decode()
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _moment_in_utc(text: bytes) -> str:
    # The zero date is no moment, so it has no offset.
    return _moment(text) if text.startswith(_ZERO_DATE) else f"{_moment(text)}+00:00"


def _trimmed(text: bytes) -> str:
    shown = text.decode()
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _json(text: bytes) -> Any:
    return json_text(text.decode())


_WRITERS: dict[Kind, Write] = {
    Kind.INT2: int,
    Kind.INT4: int,
    Kind.INT8: int,
    Kind.NUMERIC: _decimal,
    Kind.FLOAT4: _single,
    Kind.FLOAT8: _float,
    Kind.BOOL: _Booleans({b"0": False, b"1": True}).__getitem__,
    Kind.BYTES: base64_text,
    Kind.TIME: _trimmed,
    Kind.TIMESTAMP: _moment,
    Kind.TIMESTAMPTZ: _moment_in_utc,
    Kind.JSON: _json,
}
