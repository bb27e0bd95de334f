"""Python values → the JSON values that a query's validator takes.

Values of JSON go as they are (a `str` for a JSON parameter is a JSON string, not JSON text). Besides these: Decimal,
float, date, time, datetime, timedelta (for an interval), UUID, bytes, Enum members (by value), tuples, sets and other
collections (for lists), and inside of JSON also dataclasses and Pydantic models.
"""

from __future__ import annotations

import binascii
import dataclasses
import math
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlwright.parameters.refusal import Refused
from sqlwright.query import Kind, SqlType

_PLAIN = frozenset({str, int, bool, type(None)})
_TEXTS = frozenset({Kind.TEXT, Kind.OTHER})


def is_plain(values: Any) -> bool:
    """A dict all of whose values are their own JSON values, whatever the types."""
    return type(values) is dict and _PLAIN.issuperset(map(type, values.values()))


def json_value(value: Any, sql_type: SqlType | None, *, is_list: bool = False) -> Any:
    """The JSON value of a parameter of this type. Raises `Refused` for what has none.

    What merely does not suit the type is left for the validator to refuse, which says what it takes.
    """
    kind = Kind.ANY if sql_type is None else sql_type.kind
    if type(value) in _PLAIN:
        return value
    try:
        return _list(value, kind) if is_list or (sql_type is not None and sql_type.array) else _scalar(value, kind)
    except RecursionError:
        raise Refused("type", "this is nested too deeply, perhaps into itself") from None


def _list(value: Any, kind: Kind) -> Any:
    if isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray | memoryview | Mapping):
        if kind is Kind.JSON:
            return [_scalar(item, kind) for item in value]
        return [_list(item, kind) for item in value]
    return _scalar(value, kind)


def _scalar(value: Any, kind: Kind) -> Any:
    if type(value) in _PLAIN:
        return value
    if kind is Kind.JSON:
        return _document(value)
    if isinstance(value, Enum):
        return _scalar(value.value, kind)
    if isinstance(value, datetime):
        return _moment(value, kind)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _interval(value, kind)
    if isinstance(value, bytes | bytearray | memoryview):
        return _base64(value, kind)
    return _number_or_text(value, kind)


def _number_or_text(value: Any, kind: Kind) -> Any:
    if isinstance(value, float | Decimal):
        return _fraction(value, kind)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):  # a class derived from it
        return str.__str__(value)
    if hasattr(value, "__index__"):  # numbers of other libraries too
        return value.__index__()
    return value


def _fraction(value: float | Decimal, kind: Kind) -> Decimal | str:
    number = value if isinstance(value, Decimal) else Decimal(float.__repr__(value))
    if number.is_finite():
        return number
    if kind in (Kind.ANY, *_TEXTS):
        raise Refused("type", "NaN and the infinities need a parameter whose type is known to be a number")
    return "NaN" if number.is_nan() else "Infinity" if number > 0 else "-Infinity"


def _moment(value: datetime, kind: Kind) -> str:
    if kind is Kind.TIMESTAMPTZ and value.utcoffset() is None:
        detail = "a datetime with a time zone is expected; this one has none, so it could be any moment of a day"
        raise Refused("type", f"{detail}: datetime(…, tzinfo=UTC)")
    if kind is not Kind.ANY:
        return value.isoformat()
    # As databases without a type for it keep a moment, so that texts compare as moments do.
    moment = value if value.utcoffset() is None else value.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(" ")


def _interval(value: timedelta, kind: Kind) -> str:
    if kind is not Kind.INTERVAL:
        raise Refused("type", "a timedelta is for a parameter of the type interval")
    return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"


def _base64(value: bytes | bytearray | memoryview, kind: Kind) -> str:
    if kind is not Kind.BYTES:
        # Where a type is not known to the database, it is called blob.
        hint = "; to say so, write `-- @param NAME blob`" if kind is Kind.ANY else ""
        raise Refused("type", f"bytes are for a parameter of a binary type{hint}")
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _document(value: Any) -> Any:
    """A value inside of JSON."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise Refused("type", "JSON has neither NaN nor infinities")
        return _fraction(value, Kind.JSON)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise Refused("type", "the keys of a JSON object are strings")
        return {str(key): _document(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return _document(value.value)
    if isinstance(value, bytes | bytearray | memoryview | timedelta):
        raise Refused("type", f"JSON has no {type(value).__name__}")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Collection) and not isinstance(value, str):
        return [_document(item) for item in value]
    fields = fields_of(value)
    if fields is not None:
        return _document(fields)
    made = _number_or_text(value, Kind.JSON)
    if type(made) not in _PLAIN:
        raise Refused("type", f"JSON is expected, not a Python {type(value).__name__}")
    return made


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a mapping, a dataclass instance or a Pydantic model (those that were set); else None."""
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        fields: dict[str, Any] = dump(exclude_unset=True)
        return fields
    return None
