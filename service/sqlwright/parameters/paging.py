"""`limit` and `next`: the two parameters that every paged query takes besides its own."""

from __future__ import annotations

import re
from typing import Any

from sqlwright.parameters.arguments import Argument, only
from sqlwright.parameters.refusal import Refused, quoted, shown
from sqlwright.parameters.values import type_fault

NAMES = ("limit", "next")
STREAM_ROWS_MAX = 10**18 - 1
_INTEGER = re.compile(r"-?[0-9]{1,18}").fullmatch


def page_argument(name: str, rows_max: int) -> Argument:
    return _limit(rows_max) if name == "limit" else _next()


def _limit(rows_max: int) -> Argument:
    expected = f"an integer from 1 to {rows_max}"

    def from_json(value: Any) -> int:
        if type(value) is not int:
            raise type_fault(expected, value)
        if not 1 <= value <= rows_max:
            raise Refused("limit", f"{expected} is expected, not {shown(value)}")
        return value

    def from_text(text: str) -> int:
        if _INTEGER(text) is None:
            raise Refused("format", f"{expected} is expected, not {quoted(text)}")
        return from_json(int(text))

    return Argument("limit", expected, False, None, from_json, only(from_text), from_text, list, from_json, list)


def _next() -> Argument:
    expected = "the `next` of the answer before"

    def from_text(text: str) -> str:
        if not text:
            raise Refused("format", f"{expected} is expected, not an empty text; leave it out for the first page")
        return text

    def from_json(value: Any) -> str:
        if value is None:
            raise Refused("null", f"{expected} is expected, not null: null says that there is no page after that one")
        if type(value) is not str:
            raise type_fault(expected, value)
        return from_text(value)

    return Argument("next", expected, False, None, from_json, only(from_text), from_text, list, from_json, list)
