"""Whether the literals of a `@param` line fit its type and its rules, so that a slip is told at load, not at a call."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from uuid import UUID

from pydantic_core import SchemaError, SchemaValidator, core_schema

from sqlwright.query import Kind, Literal, Parameter

_RANGES = {Kind.INT2: 16, Kind.INT4: 32, Kind.INT8: 64}
_NUMBERS = frozenset([*_RANGES, Kind.NUMERIC, Kind.FLOAT4, Kind.FLOAT8])
_TEXTS = frozenset([Kind.TEXT, Kind.OTHER, Kind.ANY])
_WITHOUT_MINIMUM = frozenset([Kind.TEXT, Kind.BOOL, Kind.BYTES, Kind.UUID, Kind.JSON])
_DECIMAL = re.compile(r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?|nan|inf(?:inity)?)", re.IGNORECASE)
_ISO_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?![^T ])")
_CLOCK = re.compile(r"(\d\d):([0-5]\d)")


def _integer(kind: Kind) -> Callable[[str], object]:
    limit = 1 << (_RANGES[kind] - 1)

    def check(text: str) -> None:
        if not re.fullmatch(r"[+-]?\d{1,30}", text) or not -limit <= int(text) < limit:
            raise ValueError(text)

    return check


def _boolean(text: str) -> None:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)


def _decimal(text: str) -> None:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)


def _day(text: str) -> None:
    """What surely is no date; years before 1 and after 9999 are the database's affair."""
    match = _ISO_DATE.match(text)
    if match and not text.endswith("BC"):
        date(*map(int, match.groups()))
    elif not any(c.isdigit() for c in text) and text.lower() not in ("infinity", "-infinity"):
        raise ValueError(text)


def _clock(text: str) -> None:
    match = _CLOCK.match(text)
    if not match or int(match.group(1)) > 24:
        raise ValueError(text)


_CHECKS: dict[Kind, Callable[[str], object]] = {
    **{kind: _integer(kind) for kind in _RANGES},
    Kind.NUMERIC: _decimal, Kind.FLOAT4: _decimal, Kind.FLOAT8: _decimal, Kind.BOOL: _boolean,
    Kind.DATE: _day, Kind.TIMESTAMP: _day, Kind.TIMESTAMPTZ: _day, Kind.TIME: _clock, Kind.TIMETZ: _clock,
    Kind.UUID: UUID, Kind.JSON: json.loads, Kind.BYTES: lambda text: base64.b64decode(text, validate=True),
}  # fmt: skip


def _fits(literal: Literal, kind: Kind) -> bool:
    check = _CHECKS.get(kind)
    if check is None:
        return True
    try:
        check(literal.text)
    except (ValueError, InvalidOperation, binascii.Error):
        return False
    return True


def check_rules(parameter: Parameter) -> Iterator[tuple[str, str]]:
    """Message and hint for each thing that does not fit. What has no declared type is not checked against one."""
    yield from _check_bounds(parameter)
    default, rules, sql_type = parameter.default, parameter.rules, parameter.type
    kind = sql_type.kind if sql_type else Kind.ANY
    for literal in rules.allowed:
        if literal.is_null or not _fits(literal, kind):
            yield (
                f"{_written(literal)} in the list of allowed values is no {sql_type or 'value'}",
                "mend the value or the type",
            )
    if default is None:
        return
    if default.is_null:
        if not parameter.nullable:
            yield f"null is no {sql_type}", f"write `{sql_type}? = null` where null is allowed"
        return
    if not _fits(default, kind):
        yield f"the default {_written(default)} is no {sql_type}", "mend the default or the type"
    else:
        yield from _check_default(parameter, default, kind)


def _check_bounds(parameter: Parameter) -> Iterator[tuple[str, str]]:
    rules, kind = parameter.rules, parameter.type.kind if parameter.type else Kind.ANY
    if (rules.minimum is not None or rules.maximum is not None) and kind in _WITHOUT_MINIMUM:
        yield (
            f"`min` and `max` are for numbers, and {parameter.name} is {parameter.type}",
            "use `len 1..20` or `pattern '…'`",
        )
    has_length = rules.length_max is not None and kind is not Kind.BYTES
    if (has_length or rules.pattern is not None) and kind not in _TEXTS:
        yield f"`len` and `pattern` are for text, and {parameter.name} is {parameter.type}", "use `min 1 max 20`"
    minimum, maximum = rules.minimum or "", rules.maximum or ""
    for bound in filter(None, (minimum, maximum)):
        if not _fits(Literal(bound), Kind.NUMERIC if kind in _NUMBERS else kind):
            yield f"the bound {bound} is no {parameter.type}", "mend the bound or the type"
    if _is_number(minimum) and _is_number(maximum) and Decimal(minimum) > Decimal(maximum):
        yield f"min {rules.minimum} is more than max {rules.maximum}", "no value can hold both"
    if rules.length_min is not None and rules.length_max is not None and rules.length_min > rules.length_max:
        yield f"len {rules.length_min}..{rules.length_max} holds for no text", "write the smaller length first"
    if rules.pattern is not None:
        try:
            _expression(rules.pattern)
        except SchemaError as error:
            reason = str(error).splitlines()[-1].removeprefix("error: ").strip()
            yield f"the pattern is no regular expression: {reason}", "the syntax is Rust's, without look-around"


def _check_default(parameter: Parameter, default: Literal, kind: Kind) -> Iterator[tuple[str, str]]:
    rules, text = parameter.rules, default.text
    broken = ""
    if rules.allowed and text not in [literal.text for literal in rules.allowed]:
        broken = "in (…)"
    if _is_number(text) and kind in (_NUMBERS | {Kind.ANY}):
        if rules.minimum is not None and Decimal(text) < Decimal(rules.minimum):
            broken = f"min {rules.minimum}"
        if rules.maximum is not None and Decimal(text) > Decimal(rules.maximum):
            broken = f"max {rules.maximum}"
    if rules.length_max is not None and not (rules.length_min or 0) <= len(text) <= rules.length_max:
        broken = f"len {rules.length_min}..{rules.length_max}"
    if rules.pattern is not None and not _matches(rules.pattern, text):
        broken = "pattern"
    if broken:
        yield f"the default {_written(default)} breaks the rule `{broken}` of this line", "mend the default or the rule"


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _matches(pattern: str, text: str) -> bool:
    try:
        _expression(pattern)  # alone first: `a)|(b` would close the group put around it
        return _expression(rf"\A(?:{pattern})\z").isinstance_python(text)
    except SchemaError:
        return True  # the pattern itself is reported


def _expression(pattern: str) -> SchemaValidator:
    """The engine that values are checked with: it takes linear time whatever comes."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _written(literal: Literal) -> str:
    return repr(literal.text) if literal.quoted else literal.text
