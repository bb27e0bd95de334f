"""Validated values → what sqlite3 binds. What SQLite cannot hold exactly is refused, never bent."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from sqlwright.engines.bind import PLAIN_COLUMNS, stored_moment
from sqlwright.engines.binder import Binder
from sqlwright.query import Kind, SqlType

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_ANY = SqlType("", Kind.ANY)
_WHOLE = frozenset({Kind.INT2, Kind.INT4, Kind.INT8})


def binder(type: SqlType) -> Binder:
    one = partial(bind, type)
    return Binder(_whole if type.kind in _WHOLE else one, None if type.array else _COLUMNS.get(type.kind))


def _whole(value: Any) -> Any:
    """What is most often a key."""
    return _integer(value) if type(value) is int else bind(_ANY, value)


def bind(type: SqlType, value: Any) -> Any:
    """The value as sqlite3 takes it; a list as JSON text for json_each.

    Raises ValueError with a message for callers.
    """
    if isinstance(value, list | tuple):
        return "[" + ",".join(_list_item(bind(type, item)) for item in value) + "]"
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("SQLite cannot store NaN")
        return value
    if type.kind is Kind.JSON and value[:1] in "-0123456789" and value:
        _decimal(Decimal(value))  # a column declared as JSON keeps a number alone as a number
    if type.kind is Kind.TIMESTAMP or type.kind is Kind.TIMESTAMPTZ:
        # What is no such moment goes as the text it is.
        return stored_moment(value, in_utc=type.kind is Kind.TIMESTAMPTZ, database="SQLite") or value
    return value


def _integer(value: int) -> int:
    if not _INT_MIN <= value <= _INT_MAX:
        raise ValueError("SQLite keeps integers of 64 bits; this one is larger")
    return value


def _decimal(value: Decimal) -> int | float:
    if value.is_nan():
        raise ValueError("SQLite cannot store NaN")
    if value.is_infinite():
        return float(value)
    # The exponent is looked at first: 1e1000000 as an integer would have a million digits.
    if value.adjusted() < 19 and value == value.to_integral_value():
        whole = int(value)
        if _INT_MIN <= whole <= _INT_MAX:
            return whole
    number = float(value)
    if math.isinf(number) or Decimal(repr(number)) != value:
        raise ValueError(
            "SQLite keeps 15 digits of a decimal number (and integers of 64 bits): this one would be rounded"
        )
    return number


def _list_item(value: Any) -> str:
    if isinstance(value, bytes):
        raise ValueError("on SQLite a list cannot hold bytes")  # noqa: TRY004 - what `Engine.bind` promises
    if isinstance(value, float):
        if math.isinf(value):
            return "9e999" if value > 0 else "-9e999"
        return repr(value)
    if isinstance(value, str):
        if "\0" in value:
            # Its JSON functions end a text there.
            raise ValueError("on SQLite a list cannot hold the character U+0000")
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    texts = list(map(str, values))
    numbers = list(map(float, texts))
    if list(map(repr, numbers)) == texts and not any(map(float.is_integer, numbers)):
        return numbers
    return [_plain_number(value) for value in values]


def _plain_number(value: Any) -> Any:
    """The double whose shortest digits are these is exactly what was sent."""
    number = float(value)
    return number if repr(number) == str(value) and not number.is_integer() else bind(_NUMERIC, value)


_NUMERIC = SqlType("numeric", Kind.NUMERIC)
_COLUMNS = {**PLAIN_COLUMNS, Kind.NUMERIC: _numbers}
