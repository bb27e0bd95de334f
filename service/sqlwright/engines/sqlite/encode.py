"""Rows of SQLite → JSON, on the thread that fetched them.

Any value can stand in any column, so what is done with a value follows from its own type first and from the column's
declared type second. Columns are looked at whole: most hold only values that orjson writes as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from sqlwright.engines.encode import (
    INFINITIES,
    Row,
    RowEncoder,
    WriteColumn,
    base64_text,
    float_text,
    json_text,
    moment,
    plain_moments,
)
from sqlwright.query import Column, Kind, SqlType

Write = Callable[[Any], Any]
"""A value → what orjson writes for it."""

_DIGITS_MAX = 32
"""More than `repr` writes behind the point of a float without an exponent."""
_PLAIN = frozenset({int, str, type(None)})
_NUMBERS = frozenset({int, float})
_NULLABLE_NUMBERS = frozenset({int, float, type(None)})
_MARKS = (b"e", b".0,", b".0]")
"""Of numbers that are written otherwise. What is infinite is null for orjson."""
_LEAST, _MOST = 1e-4, 1e15
"""Between them nobody writes an exponent."""
_INTEGERS = frozenset({int})
_ZERO_AND_ONE = frozenset({0, 1})
_BIG_NAMES = frozenset({"bigint", "int8", "unsigned big int", "unsigned bigint"})


class Encoder(RowEncoder):
    """Columns are fixed when the query is described."""

    def __init__(self, columns: Sequence[Column], *, big_numbers_as_text: bool = False) -> None:
        writers = [_column_writer(column.type, big_numbers_as_text) for column in columns]
        super().__init__([column.name for column in columns], writers)
        self._writes = [_writer(column.type, big_numbers_as_text) for column in columns]
        self._one: Callable[[Row], dict[str, Any]] | None = None

    def rows(self, rows: Sequence[Row]) -> bytes:
        if len(rows) != 1 or len(self._writes) != len(self.names):
            return super().rows(rows)
        # By columns, one row costs twice as much.
        if self._one is None:
            self._one = _object(self.names, self._writes)
        return orjson.dumps(self._one(rows[0]))

    def for_names(self, names: tuple[str, ...]) -> Encoder:
        """This encoder, or one for columns that have come, gone or changed their names since."""
        if names == self.names:
            return self
        changed = Encoder([Column(name) for name in names])
        if len(names) == len(self.names):
            changed.writers, changed._writes = self.writers, self._writes
        return changed


def _object(names: Sequence[str], writes: Sequence[Write | None]) -> Callable[[Row], dict[str, Any]]:
    """A row → its object, written out: most values are taken as they are."""
    parts, known = [], {"plain": _PLAIN, "surprise": _surprise, "type": type}
    for number, (name, write) in enumerate(zip(names, writes, strict=True)):
        value = f"row[{number}]"
        if write is None:
            parts.append(f"{name!r}: {value} if type({value}) in plain else surprise({value})")
        else:
            parts.append(f"{name!r}: write{number}({value})")
            known[f"write{number}"] = write
    made: Callable[[Row], dict[str, Any]] = eval(f"lambda row: {{{', '.join(parts)}}}", known)  # noqa: S307 - names are there as literals only
    return made


def _column_writer(type: SqlType | None, big_numbers_as_text: bool) -> WriteColumn:
    write = _writer(type, big_numbers_as_text)
    if type is not None and type.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return partial(_moments, write, "+00:00" if type.kind is Kind.TIMESTAMPTZ else "")
    if type is not None and type.kind is Kind.NUMERIC and not big_numbers_as_text:
        return partial(_decimals, write, _padding(type.scale)) if type.scale else partial(_numbers, write)
    if type is not None and type.kind is Kind.BOOL:
        return partial(_booleans, write)
    return partial(_column, write)


def _moments(write: Write | None, offset: str, values: Sequence[Any]) -> Sequence[Any]:
    plain = plain_moments(values)
    if plain is None:
        return _column(write, values)
    return [text + offset for text in plain] if offset else plain


def _decimals(write: Write | None, padding: Sequence[str], values: Sequence[Any]) -> Sequence[Any]:
    """What `_numeric` does, for a column of numbers that are written without an exponent."""
    if set(map(type, values)) <= _NUMBERS:
        texts = list(map(repr, values))
        joined = "".join(texts)
        if "e" not in joined and "n" not in joined:  # nor is one infinite
            whole = "." + padding[1]
            return [
                orjson.Fragment(text + (padding[len(text) - text.index(".")] if "." in text else whole))
                for text in texts
            ]
    return _column(write, values)


def _numbers(write: Write | None, values: Sequence[Any]) -> Sequence[Any]:
    """What `_numeric` does without a scale: where it shows neither exponents nor `.0`, orjson writes the same."""
    if set(map(type, values)) <= _NULLABLE_NUMBERS:
        written = orjson.dumps(values)
        if not any(mark in written for mark in _MARKS) and written.count(b"null") == values.count(None):
            return values
    return _column(write, values)


def _booleans(write: Write | None, values: Sequence[Any]) -> Sequence[Any]:
    if set(values) <= _ZERO_AND_ONE and set(map(type, values)) <= _INTEGERS:
        return list(map(bool, values))
    return _column(write, values)


def _padding(scale: int) -> list[str]:
    """The zeros that are missing, by the number of characters from the point on."""
    return ["", *("0" * max(0, scale - digits) for digits in range(_DIGITS_MAX))]


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
        return INFINITIES.get(value) or orjson.Fragment(float_text(value))
    if type(value) is bytes:
        return base64_text(value)
    return value


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
    padding = _padding(scale)

    def write(value: Any) -> Any:
        if type(value) is int:
            return wrap(str(value) + zeros) if scale or as_text else value
        if type(value) is not float:
            return _surprise(value)
        if not scale and not as_text and _LEAST <= value < _MOST and not value.is_integer():
            return value  # which orjson writes the same
        if value in INFINITIES:
            return _surprise(value)
        text = repr(value)
        if "e" in text:
            text = format(Decimal(text), "f")
        point = text.find(".")
        if point < 0:
            return wrap(text + zeros)
        if not scale and text.endswith(".0"):
            return wrap(text[:-2])
        fraction = len(text) - point
        return wrap(text + padding[fraction]) if fraction <= scale else wrap(text)

    return write


def _moment(value: Any, *, in_utc: bool = False) -> Any:
    """As `bind` and CURRENT_TIMESTAMP store it, a moment without an offset is in UTC where the type has a zone."""
    if type(value) is str:
        return moment(value, in_utc=in_utc) or value
    return _surprise(value)


def _json(value: Any) -> Any:
    return json_text(value) if type(value) is str else _surprise(value)


_WRITERS: dict[Kind, Write] = {
    Kind.BOOL: _boolean,
    Kind.DATE: _moment,
    Kind.TIMESTAMP: _moment,
    Kind.TIMESTAMPTZ: partial(_moment, in_utc=True),
    Kind.JSON: _json,
}
