"""JSON as it was sent: decimals keep their digits, and what JSON parsers disagree about is refused."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

import orjson

from sqlwright.errors import MalformedRequest
from sqlwright.parameters.refusal import clipped, quoted

DEPTH_LIMIT = 500
"""Nesting beyond which nothing goes, whatever the settings say: parser and writer recurse."""
NUMBER_CHARACTERS_MAX = 20_000
_PLAIN_NUMBER_LENGTH = 300
"""A double can hold as many digits before the point."""
_ROWS_LENGTH_MIN = 4096
_MINUS_ZERO = re.compile(r"-0(?![0-9.eE])").search
EXPONENT_MAX = 16_383
"""Digits after the point that a numeric of PostgreSQL can have; the widest of all engines."""


def parse_json(body: bytes, depth_max: int) -> object:
    """Parse a request body: dict, list, str, int, Decimal, bool or None.

    Raises `MalformedRequest`, with line and column (in characters, from 1) where they are known.
    """
    return parse_json_text(decode_body(body), depth_max)


def parse_ndjson(body: bytes, depth_max: int) -> list[object]:
    """JSON values, one a line; lines of blanks are none. Raises `MalformedRequest` with the line."""
    lines = decode_body(body).split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    whole = f"[{','.join(line for _, line in numbered)}]"
    rows = _parse_rows(whole) if len(whole) > _ROWS_LENGTH_MIN and depth_max > 1 else None
    if rows is not None and len(rows) == len(numbered):  # each line has a brace that opens, and so is an object
        return list(rows)
    found = []
    for number, line in numbered:
        try:
            found.append(parse_json_text(line.strip(), depth_max))
        except MalformedRequest as error:
            message = str(error).replace("the body", "it").replace("(line 1, column", "(column")
            raise MalformedRequest(f"line {number} of the body: {message}", hint=error.hint) from None
    return found


def decode_body(body: bytes) -> str:
    """Raises `MalformedRequest`, with line and column."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise MalformedRequest(f"the body is not UTF-8{_place(line, column)}") from None


def parse_json_text(text: str, depth_max: int) -> object:
    """As `parse_json`, for text that is decoded already."""
    if text.startswith("\ufeff"):
        raise MalformedRequest("the body begins with a byte order mark", hint="send UTF-8 without one")
    if not text.strip():
        raise MalformedRequest("the body is empty", hint="send a JSON object, {} where there is nothing to say")
    rows = _parse_rows(text) if len(text) > _ROWS_LENGTH_MIN and text[0] == "[" else None
    if rows is not None and depth_max > 1:
        return rows
    try:
        value = (_SIGNED_DECODER if _has_minus_zero(text) else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise MalformedRequest(f"the body is not JSON: {message}{_place(error.lineno, error.colno)}") from None
    except RecursionError:
        raise _too_deep(depth_max) from None
    except ValueError:
        # The only other one is int()'s own bound, there against quadratic time.
        raise MalformedRequest("an integer in the body has too many digits") from None
    depth_max = min(depth_max, DEPTH_LIMIT)
    if _nests(text) and text.count("[") + text.count("{") > depth_max:
        _check_depth(value, depth_max)
    return value


def _parse_rows(text: str) -> list[dict[str, Any]] | None:
    """An array of flat objects, which is what is long; None for anything else, and where something may be wrong.

    Keys are not looked at one by one to see whether one is there twice: none is where there are as many as the text has
    places that could end a key.
    """
    if _has_minus_zero(text) or any(blank in text and f"{blank}:" in text for blank in "\t\r\n "):
        return None
    try:
        value = _PLAIN_DECODER.decode(text)
    except (ValueError, RecursionError, MalformedRequest):
        return None
    if type(value) is not list or set(map(type, value)) != {dict} or text.count("[") != 1:
        return None
    if text.count("{") != len(value) or text.count('":') != sum(map(len, value)):
        return None
    return value


def _has_minus_zero(text: str) -> bool:
    # A single character is found many times as fast as two.
    return "-" in text and "-0" in text and _MINUS_ZERO(text) is not None


def _nests(text: str) -> bool:
    """Whether there may be more than the outermost array or object."""
    return text.find("[", 1) >= 0 or text.find("{", 1) >= 0


def exact_decimal(text: str) -> Decimal:
    """A decimal number as written, every digit kept. `text` must have the form of a number already.

    Raises ValueError with a message when it is too long, or its exponent too large, for any database.
    """
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise ValueError(f"a number has more than {NUMBER_CHARACTERS_MAX} characters")
    exponent = text.lower().partition("e")[2]
    if len(exponent) > 3 and abs(int(exponent)) > EXPONENT_MAX:
        raise ValueError(f"the exponent of {clipped(text)} is beyond {EXPONENT_MAX}")
    return Decimal(text)


def dump_json(value: object) -> str:
    """Write what `parse_json` gives as compact JSON without line breaks, numbers digit for digit."""
    try:
        return orjson.dumps(value, default=_decimal_as_written).decode("utf-8")
    except TypeError:  # orjson takes no integer beyond 64 bits, no lone surrogate, and nesting to 254
        pieces: list[str] = []
        _write(value, pieces.append)
        return "".join(pieces)


def _decimal_as_written(value: object) -> orjson.Fragment:
    return orjson.Fragment(_number(value))


def _number(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def _write(value: object, put: Any) -> None:
    if value is None or value is True or value is False:
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, str):
        put(encode_basestring(value))
    elif isinstance(value, int):
        put(str(value))
    elif isinstance(value, dict):
        before = "{"
        for key, item in value.items():
            put(f"{before}{encode_basestring(key)}:")
            _write(item, put)
            before = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        before = "["
        for item in value:
            put(before)
            _write(item, put)
            before = ","
        put("]" if value else "[]")
    else:
        put(_number(value))


def _place(line: int, column: int) -> str:
    return f" (line {line}, column {column})"


def _too_deep(depth_max: int) -> MalformedRequest:
    return MalformedRequest(f"the body is nested deeper than {min(depth_max, DEPTH_LIMIT)} levels")


def _check_depth(value: object, depth_max: int) -> None:
    """Walk down level by level. After the parser, whose own recursion is bounded: a walk sees no strings."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > depth_max:
            raise _too_deep(depth_max)
        inner: list[Any] = []
        for container in level:
            items = container.values() if type(container) is dict else container
            inner += [item for item in items if type(item) is dict or type(item) is list]
        level = inner


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedRequest(f"the key {quoted(key)} is there twice in one object")
            seen.add(key)
    return found


def _float(text: str) -> Decimal:
    if len(text) <= _PLAIN_NUMBER_LENGTH and "e" not in text and "E" not in text:
        return Decimal(text)
    if math.isinf(float(text)):
        raise MalformedRequest(f"the number {clipped(text)} is beyond the range of a double")
    try:
        return exact_decimal(text)
    except ValueError as error:
        raise MalformedRequest(f"the body is not usable: {error}") from None


def _constant(text: str) -> object:
    raise MalformedRequest(f"{text} is not JSON", hint=f'where a parameter takes it, send it as the string "{text}"')


def _signed(text: str) -> int | Decimal:
    """Minus zero is a number of its own to a double, and to JSON that is stored as it was sent."""
    return Decimal(text) if text == "-0" else int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_SIGNED_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_signed, parse_constant=_constant
)
_PLAIN_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
