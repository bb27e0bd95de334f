"""Why one value of a call is refused, and how what came is shown to the caller."""

from __future__ import annotations

import json
from decimal import Decimal

SHOWN_MAX = 40
"""Characters of a caller's own text that a message repeats."""


class Refused(Exception):
    """A value that does not fit. `code` is for programs, `detail` says what is expected."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def clipped(text: str) -> str:
    """The beginning of a caller's text, safe to encode whatever it holds."""
    short = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")


def quoted(text: str) -> str:
    """The beginning of a caller's text in quotes, control characters escaped."""
    return json.dumps(clipped(text), ensure_ascii=False)


def shown(value: object) -> str:
    """A value in a few words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, int | float | Decimal):
        return f"the number {clipped(str(value))}"
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    return "this value"
