"""JSON cut into its parts without being parsed, so that every digit stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_MARK = re.compile(r'["\[\]{},]')


def split(text: str) -> Iterator[str]:
    """The values of a comma-separated list of JSON values, each exactly as it stands there."""
    depth = start = position = 0
    while found := _MARK.search(text, position):
        position = found.end()
        match found[0]:
            case '"':
                position = _end_of_string(text, position)
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case _:
                if depth == 0:
                    yield text[start : found.start()]
                    start = position
    if text[start:].strip():
        yield text[start:]


def members(row: str) -> Iterator[tuple[str, str]]:
    """Names and JSON texts of an object."""
    for member in split(row.strip()[1:-1]):
        name, end = _DECODER.raw_decode(member.lstrip())
        yield name, member.lstrip()[end:].lstrip().removeprefix(":").strip()


def cell(text: str) -> str | None:
    """A JSON text as people read it: a string without its quotes, anything else as it stands there."""
    if text == "null":
        return None
    return str(json.loads(text)) if text.startswith('"') else text


def _end_of_string(text: str, position: int) -> int:
    """Behind the quote that ends the string in which `position` is: one with an even number of backslashes before."""
    while True:
        quote = text.index('"', position)
        first = quote
        while text[first - 1] == "\\":
            first -= 1
        if (quote - first) % 2 == 0:
            return quote + 1
        position = quote + 1
