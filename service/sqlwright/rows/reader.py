"""The JSON of a result → Python values. What is done with a column follows from its type and is decided once.

bool, str, int, float (NaN and the infinities too), Decimal with every digit, bytes, date, time and datetime (with a
time zone where the column has one), UUID, the objects of JSON, lists of these. Intervals and types of the database's
own stay text, and so does a value that Python cannot hold: infinity, BC, the year 10000, 24:00.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from sqlwright.query import Column, Kind, SqlType

Row = dict[str, Any]
Convert = Callable[[Any], Any]
"""A value as JSON has it, never None → the Python value; what does not fit stays as it is."""

_FLOATS = {text: float(text) for text in ("NaN", "Infinity", "-Infinity")}
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|-?Infinity").fullmatch
_INTEGER = re.compile(r"-?[0-9]+").fullmatch
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}.*)?").fullmatch
_MINUS_ZERO = re.compile(rb"(?<![0-9a-zA-Z.+\-])-0(?![0-9.eE])").search
_FLOATING = frozenset({Kind.FLOAT4, Kind.FLOAT8})
_MIDNIGHT = "24:"
"""The end of a day, which newer versions of Python read as its beginning."""
_TIME_PLACE = len("2026-01-31T")


class RowReader:
    """Reads the rows of one query."""

    __slots__ = ("_by_column", "_first", "_parse")

    def __init__(self, columns: Sequence[Column], *, big_numbers_as_text: bool = False) -> None:
        kinds = {column.type.kind for column in columns if column.type is not None}
        # orjson would round decimals, and integers beyond 64 bits.
        self._parse: Callable[[bytes], Any] = orjson.loads
        if Kind.NUMERIC in kinds:
            self._parse = _parse_exactly
        elif Kind.JSON in kinds:
            self._parse = _parse_integers
        elif _FLOATING & kinds:
            self._parse = _parse_floats
        converts = [(c.name, _convert(c.type, big_numbers_as_text, Kind.NUMERIC in kinds)) for c in columns]
        self._by_column = [(name, convert) for name, convert in converts if convert is not None]
        self._first = converts[0][1] if converts else None

    def rows(self, content: bytes) -> list[Row]:
        """Of objects joined by commas."""
        rows: list[Row] = self._parse(b"[%b]" % content)
        # By column: the rows of a result are alike.
        for name, convert in self._by_column:
            for row in rows:
                value = row.get(name)
                if value is not None:
                    row[name] = convert(value)
        return rows

    def value(self, content: bytes) -> Any:
        value = self._parse(content) if content else None
        return value if value is None or self._first is None else self._first(value)


def _parse_exactly(content: bytes) -> Any:
    return _parse(content, Decimal)


def _parse_floats(content: bytes) -> Any:
    """orjson takes a minus zero for the integer 0."""
    return _parse(content, float) if _MINUS_ZERO(content) else orjson.loads(content)


def _parse_integers(content: bytes) -> Any:
    return _parse(content, float)


def _parse(content: bytes, fraction: Callable[[str], Any]) -> Any:
    try:
        if _MINUS_ZERO(content):
            return json.loads(content, parse_float=fraction, parse_int=_signed_integer)
        return json.loads(content, parse_float=fraction)
    except ValueError:  # an integer of more digits than int() takes
        return json.loads(content, parse_float=fraction, parse_int=_long_integer)


def _signed_integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)


def _long_integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def _convert(type: SqlType | None, big_numbers_as_text: bool, exactly: bool) -> Convert | None:
    """None where JSON's own value is right already. `exactly`: fractions come as Decimal."""
    if type is None:
        return None
    if type.kind is Kind.INT8:
        convert: Convert | None = _integer if big_numbers_as_text else None
    elif type.kind in (Kind.JSON, Kind.OTHER, Kind.ANY):
        return _without_decimals if exactly else None
    else:
        convert = _CONVERTS.get(type.kind)
    return _each(convert) if convert is not None and type.array else convert


def _each(convert: Convert) -> Convert:
    def convert_list(value: Any) -> Any:
        if type(value) is not list:
            return value if value is None else convert(value)
        return [convert_list(item) for item in value]

    return convert_list


def _integer(value: Any) -> Any:
    return int(value) if type(value) is str and _INTEGER(value) else value


def _decimal(value: Any) -> Any:
    if type(value) is int or (type(value) is str and _DECIMAL(value)):
        return Decimal(value)
    return value


def _float(value: Any) -> Any:
    if type(value) is str:
        return _FLOATS.get(value, value)
    return float(value) if type(value) in (int, Decimal) else value


def _bytes(value: Any) -> Any:
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (ValueError, TypeError):
        return value


def _date(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if _DATE(value) else value
    except (ValueError, TypeError):
        return value


def _time(value: Any) -> Any:
    try:
        return value if value.startswith(_MIDNIGHT) else time.fromisoformat(value)
    except (ValueError, AttributeError):
        return value


def _moment(value: Any) -> Any:
    try:
        if _MOMENT(value) and not value.startswith(_MIDNIGHT, _TIME_PLACE):
            return datetime.fromisoformat(value)
    except (ValueError, TypeError):
        pass  # a day or an offset that Python does not know
    return value


def _uuid(value: Any) -> Any:
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        return value


def _without_decimals(value: Any) -> Any:
    """JSON as json.loads gives it, also beside columns that keep their digits."""
    if type(value) is Decimal:
        return float(value)
    if type(value) is list:
        return [_without_decimals(item) for item in value]
    if type(value) is dict:
        return {key: _without_decimals(item) for key, item in value.items()}
    return value


_CONVERTS: dict[Kind, Convert] = {
    Kind.NUMERIC: _decimal,
    Kind.FLOAT4: _float,
    Kind.FLOAT8: _float,
    Kind.BYTES: _bytes,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIMETZ: _time,
    Kind.TIMESTAMP: _moment,
    Kind.TIMESTAMPTZ: _moment,
    Kind.UUID: _uuid,
}
