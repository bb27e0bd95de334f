"""Query strings, strictly: percent-escapes of UTF-8, `+` is a blank, and nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from sqlwright.parameters.refusal import Refused, quoted

_LOOSE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search


def split_query_string(raw: bytes) -> Iterator[tuple[str, str | Refused]]:
    """Names and decoded values in the order sent; `Refused` in place of what cannot be decoded."""
    for pair in raw.split(b"&"):
        if pair:
            # Nobody's name is empty, so `=1` is a name like any unknown other.
            yield _decoded(*pair.partition(b"=")[::2])


def plain_pairs(raw: bytes) -> list[tuple[str, str]] | None:
    """The same where nothing is escaped, which is most often so, in a fraction of the time; None where something is."""
    if b"%" in raw or b"+" in raw:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    pairs = []
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            pairs.append((name, value))
    return pairs


def _decoded(name: bytes, value: bytes) -> tuple[str, str | Refused]:
    try:
        decoded_name = _unescape(name)
    except Refused as refused:
        return name.decode("ascii", "backslashreplace"), refused
    try:
        return decoded_name, _unescape(value)
    except Refused as refused:
        return decoded_name, refused


def _unescape(raw: bytes) -> str:
    try:
        if b"%" not in raw and b"+" not in raw:
            return raw.decode("utf-8")
        loose = _LOOSE_PERCENT(raw.decode("latin-1"))
        if loose is not None:
            raise Refused("format", f"a % must be followed by two hexadecimal digits: {_shown(raw)}; write % as %25")
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("format", f"this is not UTF-8: {_shown(raw)}") from None


def _shown(raw: bytes) -> str:
    return quoted(raw.decode("utf-8", "backslashreplace"))
