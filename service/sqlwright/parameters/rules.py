"""What `-- @param` asks of a value beyond its type: `in (…)`, `min`, `max`, `len` and `pattern`, compiled once.

A rule of a list holds for each of its items. `pattern` is a regular expression of Rust's engine, which takes linear
time whatever comes, and must match the whole value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from sqlwright.parameters.dates import measure_of
from sqlwright.parameters.json_body import dump_json
from sqlwright.parameters.refusal import Refused, clipped, quoted, shown
from sqlwright.parameters.values import INTEGERS, NUMBERS, TEXTS, Reader, decimal_value, literal_value
from sqlwright.query import Kind, Parameter

Check = Callable[[Any], None]
"""Raises `Refused` for a value that breaks the rule."""

_LISTED_MAX = 20
"""Allowed values that a message lists."""


def compile_checks(parameter: Parameter, kind: Kind, reader: Reader) -> tuple[Check, ...]:
    """The rules of a parameter in the order in which they are best told.

    Raises `Refused` when a rule does not suit the type or its own values do not.
    """
    rules = parameter.rules
    checks: list[Check] = []
    if rules.allowed:
        checks.append(_allowed(parameter, kind, reader))
    if rules.minimum is not None:
        checks.append(_bound("minimum", rules.minimum, kind, reader))
    if rules.maximum is not None:
        checks.append(_bound("maximum", rules.maximum, kind, reader))
    if rules.length_min is not None or rules.length_max is not None:
        checks.append(_length(rules.length_min or 0, rules.length_max, kind))
    if rules.pattern is not None:
        checks.append(_pattern(rules.pattern, kind))
    return tuple(checks)


def _text_of(value: Any) -> str:
    """A value of Kind.ANY as it would be written in a query string."""
    return value if isinstance(value, str) else dump_json(value)


def _allowed(parameter: Parameter, kind: Kind, reader: Reader) -> Check:
    literals = parameter.rules.allowed
    for literal in literals:
        if literal.is_null:
            raise Refused("rule", "null cannot stand in a list of allowed values; a `?` after the type allows it")
    if kind is Kind.ANY:
        key: Callable[[Any], Any] = _text_of
    else:
        key = measure_of(kind) or _itself  # 12:00 and 12:00:00 are one time
    allowed = frozenset(key(literal_value(literal, kind, reader)) for literal in literals)
    listed = ", ".join(clipped(literal.text) for literal in literals[:_LISTED_MAX])
    more = f" and {len(literals) - _LISTED_MAX} more" if len(literals) > _LISTED_MAX else ""

    def check(value: Any) -> None:
        if key(value) not in allowed:
            raise Refused("not_allowed", f"one of {listed}{more} is expected, not {shown(value)}")

    return check


def _itself(value: Any) -> Any:
    return value


def _bound(code: str, text: str, kind: Kind, reader: Reader) -> Check:
    word = "min" if code == "minimum" else "max"
    measure = measure_of(kind)
    bound: Any
    if measure is not None:
        bound = measure(text)
        key: Callable[[Any], Any] = measure
    elif kind in NUMBERS:
        bound = decimal_value(text) if kind in INTEGERS else reader.from_text(text)
        key = _itself
        if _is_nan(bound):
            raise Refused("rule", f"`{word}` needs a number, and NaN is none")
    else:
        raise Refused("rule", f"`{word}` compares numbers, dates and times, and this parameter's type is {kind}")
    expected = f"at {'least' if code == 'minimum' else 'most'} {text} is expected"

    def check_minimum(value: Any) -> None:
        if _is_nan(value) or key(value) < bound:
            raise Refused(code, f"{expected}, not {shown(value)}")

    def check_maximum(value: Any) -> None:
        if _is_nan(value) or key(value) > bound:
            raise Refused(code, f"{expected}, not {shown(value)}")

    return check_minimum if code == "minimum" else check_maximum


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | Decimal) and math.isnan(value)


def _length(low: int, high: int | None, kind: Kind) -> Check:
    if kind not in TEXTS and kind is not Kind.BYTES:
        raise Refused("rule", f"`len` counts the characters of text, and this parameter's type is {kind}")
    unit = "bytes" if kind is Kind.BYTES else "characters"
    expected = f"{low} to {high} {unit}" if high is not None else f"at least {low} {unit}"

    def check(value: Any) -> None:
        length = len(value if isinstance(value, str | bytes) else _text_of(value))
        if length < low or (high is not None and length > high):
            raise Refused("length", f"{expected} are expected, not {length}")

    return check


def _pattern(pattern: str, kind: Kind) -> Check:
    if kind not in TEXTS:
        raise Refused("rule", f"`pattern` is for text, and this parameter's type is {kind}")
    try:
        _regex(pattern)  # alone first: `a)|(b` would close the group put around it
        matcher = _regex(rf"\A(?:{pattern})\z")
    except SchemaError as error:
        reason = str(error).splitlines()[-1].strip()
        raise Refused("rule", f"the pattern {quoted(pattern)} cannot be used: {clipped(reason)}") from None

    def check(value: Any) -> None:
        if not matcher.isinstance_python(_text_of(value)):
            raise Refused("pattern", f"text that matches {pattern} as a whole is expected, not {shown(value)}")

    return check


def _regex(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
