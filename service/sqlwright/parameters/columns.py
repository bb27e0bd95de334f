"""Many values of one parameter at once: those of a kind that are plainly right are seen to be so together.

What is not plain is read one by one, by the parameter's own reader, which alone says what is wrong with a value.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from types import NoneType
from typing import Any

from sqlwright.engines.binder import Binder
from sqlwright.parameters.later import Later
from sqlwright.parameters.refusal import Refused
from sqlwright.query import Kind, SqlType

ReadColumn = Callable[[Sequence[Any]], Sequence[Any]]
"""Values as JSON has them → as the driver takes them. Raises `Refused`, or `Unsure` where it cannot tell."""

_INTEGER_BITS = {Kind.INT2: 16, Kind.INT4: 32, Kind.INT8: 64}
_NUMBERS = frozenset({int, Decimal})
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
_OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])?"
_PLAIN_MOMENTS: dict[Kind, tuple[str, Callable[[str], object]]] = {
    Kind.DATE: (_DAY, date.fromisoformat),
    Kind.TIME: (_CLOCK, time.fromisoformat),
    Kind.TIMESTAMP: (f"{_DAY}[T ]{_CLOCK}", datetime.fromisoformat),
    Kind.TIMESTAMPTZ: (f"{_DAY}[T ]{_CLOCK}{_OFFSET}", datetime.fromisoformat),
}
"""Of all the forms of a kind the one that nearly all texts have, and what knows the calendar."""
_UUID_LENGTH = 36
_PLAIN_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


_type = type


class Unsure(Exception):
    """Something is not plain."""


def compile_column(
    type: SqlType, binder: Binder, each: Callable[[Any], Any], *, nullable: bool, plain: bool
) -> ReadColumn:
    """`each` reads one value. `plain`: the parameter is no list, and has no rules beyond its type."""
    check = _check_of(type) if plain else None
    bind = binder.column or (lambda values: [binder.one(value) for value in values])

    def one_by_one(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
        if Later in types:
            raise Unsure
        return [each(value) for value in values]

    def column(values: Sequence[Any]) -> Sequence[Any]:
        types = set(map(_type, values))
        has_null = NoneType in types
        if check is None or (has_null and not nullable):
            return one_by_one(values, types)
        present = [value for value in values if value is not None] if has_null else values
        types.discard(NoneType)
        try:
            bound = bind(check(present, types)) if present else present
        except (Unsure, ValueError):
            return one_by_one(values, types)
        if not has_null:
            return bound
        following = iter(bound)
        return [None if value is None else next(following) for value in values]

    return column


def compile_cells(type: SqlType, column: ReadColumn, each: Callable[[str | None], Any], *, is_list: bool) -> ReadColumn:
    """The same of texts as a table of them has, None for NULL. `each` reads one."""
    convert = None if is_list else _CELLS.get(type.kind)

    def cells(texts: Sequence[str | None]) -> Sequence[Any]:
        if convert is not None:
            try:
                if None not in texts:
                    return column(convert(texts))
                following = iter(convert([text for text in texts if text is not None]))
                return column([None if text is None else next(following) for text in texts])
            except (Unsure, Refused):
                pass
        return [each(text) for text in texts]

    return cells


Check = Callable[[Sequence[Any], set[Any]], Sequence[Any]]
"""Values without null, and their types → as the reader would give them. Raises `Unsure`, ValueError."""


def _check_of(type: SqlType) -> Check | None:
    kind = type.kind
    if kind in _INTEGER_BITS:
        half = 2 ** (_INTEGER_BITS[kind] - 1)
        return _integers(*(type.bounds or (-half, half - 1)))
    if kind in _PLAIN_MOMENTS and not type.bounds:
        return _moments(*_PLAIN_MOMENTS[kind])
    return _CHECKS.get(kind)


def _integers(low: int, high: int) -> Check:
    def check(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
        if types != {int} or min(values) < low or max(values) > high:
            raise Unsure
        return values

    return check


def _moments(form: str, parse: Callable[[str], object]) -> Check:
    of_the_form = _lines_of(form)

    def check(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
        if types != {str} or not of_the_form("\n".join(values)):
            raise Unsure
        deque(map(parse, values), maxlen=0)  # it also refuses a text that is several lines
        return values

    return check


def _lines_of(form: str) -> Callable[[str], object]:
    return re.compile(rf"{form}(?:\n{form})*+").fullmatch


def _texts(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
    if types != {str}:
        raise Unsure
    whole = "".join(values)
    if not whole.isascii():
        whole.encode("utf-8")  # UnicodeEncodeError is a ValueError
    return values


def _uuids(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
    if types != {str} or set(map(len, values)) != {_UUID_LENGTH} or not _are_uuids("\n".join(values)):
        raise Unsure
    return values


_are_uuids = _lines_of(_PLAIN_UUID)


def _bools(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
    if types != {bool}:
        raise Unsure
    return values


def _numerics(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
    if not types <= _NUMBERS:
        raise Unsure
    return [Decimal(value) if value.__class__ is int else value for value in values] if int in types else values


def _doubles(values: Sequence[Any], types: set[Any]) -> Sequence[Any]:
    if not types <= _NUMBERS:
        raise Unsure
    try:
        found = list(map(float, values))
    except OverflowError:
        raise Unsure from None
    if not all(map(math.isfinite, found)) or 0.0 in found:  # a number may be too small, and would be zero
        raise Unsure
    return found


_CHECKS: dict[Kind, Check] = {
    Kind.TEXT: _texts,
    Kind.OTHER: _texts,
    Kind.BOOL: _bools,
    Kind.NUMERIC: _numerics,
    Kind.FLOAT8: _doubles,
    Kind.UUID: _uuids,
}


def _integers_of(texts: Sequence[Any]) -> Sequence[Any]:
    if not texts or not _are_integers("\n".join(texts)):
        raise Unsure
    return _of_the_same_number(list(map(int, "\n".join(texts).split("\n"))), texts)


def _decimals_of(texts: Sequence[Any]) -> Sequence[Any]:
    if not texts or not _are_decimals("\n".join(texts)):
        raise Unsure
    return _of_the_same_number(list(map(Decimal, "\n".join(texts).split("\n"))), texts)


def _of_the_same_number(found: Sequence[Any], texts: Sequence[Any]) -> Sequence[Any]:
    """A text that has a line break is no number."""
    if len(found) != len(texts):
        raise Unsure
    return found


def _bools_of(texts: Sequence[Any]) -> Sequence[Any]:
    if not set(texts) <= _BOOLS.keys():
        raise Unsure
    return [_BOOLS[text] for text in texts]


_are_integers = _lines_of(r"(?:0|-?[1-9][0-9]{0,18})")
_are_decimals = _lines_of(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_BOOLS = {"true": True, "false": False}
_CELLS: dict[Kind, Callable[[Sequence[Any]], Sequence[Any]]] = {
    **dict.fromkeys(_INTEGER_BITS, _integers_of),
    Kind.NUMERIC: _decimals_of,
    Kind.FLOAT8: _decimals_of,
    Kind.BOOL: _bools_of,
    **dict.fromkeys((Kind.TEXT, Kind.OTHER, Kind.UUID, *_PLAIN_MOMENTS), list),
}
"""Plain texts → the JSON values that mean the same."""
