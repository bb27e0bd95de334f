"""Reading one value of each kind, from JSON and from text (a query string, the command line, a header).

Both ways give the same Python form: int; NUMERIC Decimal; FLOAT float; BOOL bool; TEXT str; BYTES bytes; UUID its
canonical text; JSON compact JSON text; dates, times, intervals and types of the database's own their text; ANY
str, int, Decimal or bool. Python's int(), float() and Decimal() take underscores, blanks and the digits of every
script, so the form is checked before they see it.
"""

from __future__ import annotations

import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlwright.errors import MalformedRequest
from sqlwright.parameters.dates import EXPECTED, measure_of, span_measure
from sqlwright.parameters.json_body import dump_json, exact_decimal, parse_json_text
from sqlwright.parameters.refusal import Refused, quoted, shown
from sqlwright.query import Kind, Literal

_INTEGER = re.compile(r"-?[0-9]+").fullmatch
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}").fullmatch
_SPECIAL = frozenset({"NaN", "Infinity", "-Infinity"})
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_INTEGER_BITS = {Kind.INT2: 16, Kind.INT4: 32, Kind.INT8: 64}
_INTEGER_CHARACTERS_MAX = 64
"""Beyond it no integer with a sensible number of leading zeros fits any type; int() of a long text is slow."""
_QUERY_STRING_DEPTH_MAX = 64
_BASE64 = "a string of base64 with padding"

INTEGERS = frozenset(_INTEGER_BITS)
NUMBERS = INTEGERS | {Kind.NUMERIC, Kind.FLOAT4, Kind.FLOAT8}
TEXTS = frozenset({Kind.TEXT, Kind.OTHER, Kind.ANY})


@dataclass(frozen=True, slots=True)
class Reader:
    """How a kind is read. Both functions raise `Refused`; `from_json` is never given None."""

    expected: str
    from_text: Callable[[str], Any]
    from_json: Callable[[Any], Any]


def reader_of(kind: Kind, *, bounds: tuple[int, int] | None = None, big_numbers_as_text: bool = False) -> Reader:
    """The reader of a kind. `bounds`: of integers, where they are not the kind's own. `big_numbers_as_text`: INT8 and
    NUMERIC also come as JSON strings."""
    if kind in _INTEGER_BITS:
        half = 2 ** (_INTEGER_BITS[kind] - 1)
        low, high = bounds or (-half, half - 1)
        return _integer(low, high, as_string=big_numbers_as_text and kind is Kind.INT8)
    if kind is Kind.NUMERIC:
        return _numeric(as_string=big_numbers_as_text)
    if kind in (Kind.FLOAT4, Kind.FLOAT8):
        return _float(single=kind is Kind.FLOAT4)
    measure = span_measure(*bounds) if bounds and kind is Kind.TIME else measure_of(kind)
    if measure is not None:
        return _string(EXPECTED[kind], _checked_by(measure))
    return _READERS[kind]


def literal_value(literal: Literal, kind: Kind, reader: Reader) -> Any:
    """A literal of a header, read like text; where nothing tells a type, a number or boolean is what it looks like."""
    if kind is Kind.ANY and not literal.quoted:
        if literal.text.lower() in ("true", "false"):
            return literal.text.lower() == "true"
        if _INTEGER(literal.text) and len(literal.text) <= _INTEGER_CHARACTERS_MAX:
            return int(literal.text)
        if _NUMBER(literal.text):
            return decimal_value(literal.text)
    return reader.from_text(literal.text)


def decimal_value(text: str, expected: str = "a number") -> Decimal:
    """A decimal number or "NaN", "Infinity", "-Infinity". Raises `Refused`."""
    if text not in _SPECIAL and _NUMBER(text) is None:
        raise _format_fault(expected, text)
    try:
        return exact_decimal(text)
    except ValueError as error:
        raise Refused("range", f"{expected} is expected; {error}") from None


def type_fault(expected: str, value: object) -> Refused:
    return Refused("type", f"{expected} is expected, not {shown(value)}")


def _format_fault(expected: str, text: str) -> Refused:
    return Refused("format", f"{expected} is expected, not {quoted(text)}")


def _string(expected: str, from_text: Callable[[str], Any]) -> Reader:
    """A kind that is a string in JSON, read like a text."""

    def from_json(value: Any) -> Any:
        if type(value) is str:
            return from_text(value)
        raise type_fault(expected, value)

    return Reader(expected, from_text, from_json)


# --- numbers ----------------------------------------------------------------------------------------------------


def _integer(low: int, high: int, *, as_string: bool) -> Reader:
    expected = f"an integer from {low} to {high}"

    def from_text(text: str) -> int:
        if not (text.isdigit() and text.isascii()) and _INTEGER(text) is None:
            raise _format_fault(expected, text)
        if len(text) <= _INTEGER_CHARACTERS_MAX and low <= (value := int(text)) <= high:
            return value
        raise Refused("range", f"{expected} is expected, not {quoted(text)}")

    def from_json(value: Any) -> int:
        if type(value) is int:
            if low <= value <= high:
                return value
            raise Refused("range", f"{expected} is expected, not {shown(value)}")
        if as_string and type(value) is str:
            return from_text(value)
        if type(value) is Decimal and str(value) == "-0":  # see `parse_json`
            return 0
        raise type_fault(expected, value)

    return Reader(expected, from_text, from_json)


def _numeric(*, as_string: bool) -> Reader:
    expected = "a number"

    def from_text(text: str) -> Decimal:
        return decimal_value(text)

    def from_json(value: Any) -> Decimal:
        if type(value) is Decimal:
            return value
        if type(value) is int:
            return Decimal(value)
        if type(value) is str and (as_string or value in _SPECIAL):
            return from_text(value)
        raise type_fault(expected, value)

    return Reader(expected, from_text, from_json)


def _float(*, single: bool) -> Reader:
    expected = "a number in the range of a single float" if single else "a number in the range of a double"

    def fit(number: Decimal | int) -> float:
        try:
            value = float(number)
            kept = struct.unpack("<f", struct.pack("<f", value))[0] if single else value
        except OverflowError:
            kept = math.inf
        if math.isinf(kept) or (kept == 0 and number != 0):
            raise Refused("range", f"{expected} is expected, not {shown(number)}")
        return value

    def from_text(text: str) -> float:
        return float(text) if text in _SPECIAL else fit(decimal_value(text, expected))

    def from_json(value: Any) -> float:
        if type(value) is Decimal or type(value) is int:
            return fit(value)
        if type(value) is str and value in _SPECIAL:
            return float(value)
        raise type_fault(expected, value)

    return Reader(expected, from_text, from_json)


# --- the others -------------------------------------------------------------------------------------------------


def _checked_by(measure: Callable[[str], float]) -> Callable[[str], str]:
    def from_text(text: str) -> str:
        measure(text)
        return text

    return from_text


def _text(text: str) -> str:
    """Any text that is text: JSON's escapes and command lines can hold half a character."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise Refused("format", f"text is expected; {quoted(text)} holds a lone surrogate") from None
    return text


def _interval(text: str) -> str:
    if not text.strip():
        raise _format_fault("an interval like 1 day 02:00:00", text)
    return _text(text)


def _uuid(text: str) -> str:
    if _UUID(text) is None:
        raise _format_fault("a UUID of 32 hexadecimal digits", text)
    digits = text.replace("-", "").lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _bytes_from_text(text: str) -> bytes:
    if not text:  # an empty value is a value for text only
        raise _format_fault(_BASE64, text)
    return _bytes(text)


def _bytes_from_json(value: Any) -> bytes:
    if type(value) is str:
        return _bytes(value)
    raise type_fault(_BASE64, value)


def _bytes(text: str) -> bytes:
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, and what is not ASCII
        raise _format_fault(_BASE64, text) from None
    # Bits of the last group that belong to no byte must be zero: one value has one spelling.
    if binascii.b2a_base64(value[len(value) - (len(value) % 3 or 3) :], newline=False).decode() != text[-4:]:
        raise _format_fault(_BASE64, text)
    return value


def _bool_from_text(text: str) -> bool:
    value = _BOOLS.get(text.lower())
    if value is None:
        raise _format_fault("true or false", text)
    return value


def _bool_from_json(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise type_fault("true or false", value)


def _json_from_json(value: Any) -> str:
    return _text(dump_json(value))


def _json_from_text(text: str) -> str | None:
    try:
        value = parse_json_text(text, _QUERY_STRING_DEPTH_MAX)
    except MalformedRequest as error:
        message = str(error).replace("the body", "it")
        raise Refused("format", f"JSON is expected, not {quoted(text)}: {message}") from None
    return None if value is None else _json_from_json(value)


def _any_from_json(value: Any) -> str | int | Decimal | bool:
    if type(value) is str:
        return _text(value)
    if type(value) in (int, Decimal, bool):
        return value  # type: ignore[no-any-return]  # one of the three just asked for
    raise type_fault("a string, a number, true or false", value)


_READERS: Mapping[Kind, Reader] = {
    Kind.BOOL: Reader("true or false", _bool_from_text, _bool_from_json),
    Kind.TEXT: _string("a string", _text),
    Kind.BYTES: Reader(_BASE64, _bytes_from_text, _bytes_from_json),
    Kind.INTERVAL: _string("a string with an interval", _interval),
    Kind.UUID: _string("a string with a UUID", _uuid),
    Kind.JSON: Reader("JSON", _json_from_text, _json_from_json),
    Kind.OTHER: _string("a string", _text),
    Kind.ANY: Reader("a string, a number, true or false", _text, _any_from_json),
}
