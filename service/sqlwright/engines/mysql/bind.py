"""Validated values → what `Session.escape` writes as SQL. What the database would bend is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import partial
from typing import Any

from sqlwright.engines.bind import PLAIN_COLUMNS, stored_moment
from sqlwright.engines.binder import Binder
from sqlwright.engines.encode import as_single
from sqlwright.query import Kind, SqlType

_DATABASE = "MariaDB"
_DIGITS_MAX = 65
_FRACTION_DIGITS_MAX = 38
_EXACT = Context(prec=10_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Takes zeros off without rounding: more digits than this no number has that is let in."""
_YEARS = range(1901, 2156)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NOT_KEPT = "MariaDB keeps dates from year 1 to 9999, and no infinity"


def binder(type: SqlType) -> Binder:
    return Binder(partial(bind, type), None if type.array or type.name == "year" else _COLUMNS.get(type.kind))


def bind(type: SqlType, value: Any) -> Any:
    """The value as it is escaped; of a list each item.

    Raises ValueError with a message for callers.
    """
    if isinstance(value, list | tuple):
        return [bind(type, item) for item in value]
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return _integer(type, value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{_DATABASE} cannot store NaN or an infinity")
        # A column of single floats equals nothing but what it can keep.
        return as_single(value) if type.kind is Kind.FLOAT4 else value
    return _text(type.kind, value)


def _integer(type: SqlType, value: int) -> int:
    if type.name == "year" and value and value not in _YEARS:
        # It would make 1970 of 70.
        raise ValueError("a YEAR is from 1901 to 2155, or 0")
    if abs(value) >= 10**_DIGITS_MAX:
        raise ValueError(f"{_DATABASE} keeps {_DIGITS_MAX} digits of a number")
    return value


def _decimal(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"{_DATABASE} cannot store NaN or an infinity")
    if not value:
        return Decimal(0)  # which may have any exponent too
    # The exponent is looked at first: written out, 1e1000000 would have a million digits.
    if value.adjusted() < _DIGITS_MAX:
        for number in (value, value.normalize(_EXACT)):
            fraction = max(0, -int(number.as_tuple().exponent))
            if fraction <= _FRACTION_DIGITS_MAX and fraction + max(0, number.adjusted() + 1) <= _DIGITS_MAX:
                return number
    raise ValueError(
        f"{_DATABASE} keeps {_DIGITS_MAX} digits of a decimal number, {_FRACTION_DIGITS_MAX} of them after the point"
    )


def _text(kind: Kind, value: str) -> str:
    if kind is Kind.TIMESTAMP or kind is Kind.TIMESTAMPTZ:
        moment = stored_moment(value, in_utc=kind is Kind.TIMESTAMPTZ, database=_DATABASE)
        if moment is None:
            raise ValueError(_NOT_KEPT)
        return moment
    if kind is Kind.DATE and _DATE.fullmatch(value) is None:
        raise ValueError(_NOT_KEPT)
    return value


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    return [value if value and value.is_finite() and _is_plain(str(value)) else _decimal(value) for value in values]


def _is_plain(text: str) -> bool:
    """Written without an exponent, so shortly is a number that MariaDB keeps."""
    return len(text) <= _FRACTION_DIGITS_MAX and "E" not in text


_COLUMNS = {**PLAIN_COLUMNS, Kind.NUMERIC: _numbers}
