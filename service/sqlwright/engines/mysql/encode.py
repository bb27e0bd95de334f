"""Rows of MariaDB and MySQL → JSON.

What this takes from the session (`session.py`): a value is None, `bytes` (charset 63: binary strings, BIT, geometry)
or the server's own text as `str`, numbers and dates too; a result's columns are `FieldDescriptorPacket`s. What is
written follows from what really came, because a value's type may differ from the description's: a parameter is text
in one call and a number in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from pymysql.constants import FIELD_TYPE

from sqlwright.engines.encode import (
    RowEncoder,
    WriteColumn,
    as_single,
    base64_text,
    float_text,
    json_text,
    number,
    single_text,
)
from sqlwright.engines.mysql.types import field_type
from sqlwright.query import Column, Kind

_ENCODERS_MAX = 16
"""Kept forms of one query's results; a column that has no type of its own has one for each type of its values."""
_ZERO_DATE = "0000-00-00"
_BIG = frozenset({Kind.INT8, Kind.NUMERIC})


class Encoders:
    """The encoders of one query, by what the server says about a result's columns."""

    def __init__(self, columns: Sequence[Column] = (), *, big_numbers_as_text: bool = False) -> None:
        # JSON is text to MariaDB: what is known of it comes from the description.
        self._json = frozenset(c.name for c in columns if c.type is not None and c.type.kind is Kind.JSON)
        # Asked for as doubles, see `compile.py`.
        self._singles = frozenset(c.name for c in columns if c.type is not None and c.type.kind is Kind.FLOAT4)
        self._big_numbers_as_text = big_numbers_as_text
        self._known: dict[tuple[Any, ...], RowEncoder] = {}

    def for_fields(self, fields: Sequence[Any]) -> RowEncoder:
        """The encoder of a result with these columns."""
        key = tuple([(f.name, f.type_code, f.flags, f.charsetnr, f.length) for f in fields])
        encoder = self._known.get(key)
        if encoder is None:
            if len(self._known) >= _ENCODERS_MAX:
                self._known.clear()
            encoder = RowEncoder([field.name for field in fields], [self._writer(field) for field in fields])
            self._known[key] = encoder
        return encoder

    def _writer(self, field: Any) -> WriteColumn:
        type = field_type(field)
        if type is None:
            return _as_it_is
        if field.type_code == FIELD_TYPE.BIT:
            if type.kind is Kind.BOOL:
                return _each(_bit)
            return _each(_bits_as_text if type.kind in _BIG and self._big_numbers_as_text else int.from_bytes)
        if type.kind is Kind.TEXT and field.name in self._json:
            return _each(json_text)
        if type.kind is Kind.FLOAT8 and field.name in self._singles:
            return _WRITERS[Kind.FLOAT4]
        if type.kind in _BIG and self._big_numbers_as_text:
            return _each(_digits)
        return _WRITERS.get(type.kind, _as_it_is)


def _each(write: Callable[[Any], Any]) -> WriteColumn:
    def column(values: Sequence[Any]) -> Sequence[Any]:
        return [None if value is None else write(value) for value in values]

    return column


def _as_it_is(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _digits(text: str) -> str:
    """A number without the zeros that ZEROFILL puts before it."""
    if text[0] != "0":
        return text
    shown = text.lstrip("0")
    return shown if shown[:1].isdigit() else f"0{shown}"


def _boolean(text: str) -> bool | int:
    """tinyint(1) takes other numbers too."""
    value = int(text)
    return value == 1 if 0 <= value <= 1 else value


def _bit(value: bytes) -> bool:
    return value != b"\0"


def _bits_as_text(value: bytes) -> str:
    return str(int.from_bytes(value))


def _float(text: str) -> orjson.Fragment:
    return number(float_text(float(text)))


def _single(text: str) -> orjson.Fragment:
    return number(single_text(as_single(float(text))))


def _decimal(text: str) -> orjson.Fragment:
    return number(_digits(text))


def _moment(text: str) -> str:
    """`2026-01-31 12:00:00.500000` → `2026-01-31T12:00:00.5`."""
    return _trimmed(text).replace(" ", "T", 1)


def _moment_in_utc(text: str) -> str:
    # The zero date is no moment, so it has no offset.
    return _moment(text) if text.startswith(_ZERO_DATE) else f"{_moment(text)}+00:00"


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


_WRITERS: dict[Kind, WriteColumn] = {
    Kind.INT2: _each(int),
    Kind.INT4: _each(int),
    Kind.INT8: _each(int),
    Kind.NUMERIC: _each(_decimal),
    Kind.FLOAT4: _each(_single),
    Kind.FLOAT8: _each(_float),
    Kind.BOOL: _each(_boolean),
    Kind.BYTES: _each(base64_text),
    Kind.TIME: _each(_trimmed),
    Kind.TIMESTAMP: _each(_moment),
    Kind.TIMESTAMPTZ: _each(_moment_in_utc),
    Kind.JSON: _each(json_text),
}
