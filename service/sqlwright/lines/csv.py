"""Rows as CSV: RFC 4180, a null as nothing, an empty text as two quotes, and every value as it is stored.

A cell that begins with = + - or @ is left so, too: programs read back what is there, and a spreadsheet may take it for
a formula.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_ENDING = "\r\n"
_SPECIAL = '",\r\n'
_PLAIN = frozenset({str, type(None), bool})
_TO_BRACKET = re.compile(r'[^"\[\]{}]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"\[\]{}]*)*')
"""Up to the next bracket that stands in no string."""


class CsvWriter:
    """Writes the rows of one result. `names` are the columns' where there is no row that tells."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._has_begun = False
        self._is_nested = False

    def write(self, rows: str) -> str:
        """Rows as JSON objects, each on a line of its own, to lines of CSV; the headings before the first of them."""
        parsed = self._parse(rows)
        # Columns are looked at whole: in most of them no cell needs quotes.
        columns = [_fields(column) for column in zip(*[row.values() for row in parsed], strict=True)]
        if len(columns) == 1:  # a line with nothing on it is no record to most readers
            columns = [[field or '""' for field in columns[0]]]
        return self._head(list(parsed[0])) + _ENDING.join(map(",".join, zip(*columns, strict=True))) + _ENDING

    def end(self) -> str:
        """What is left to write: the headings, where no row came."""
        return self._head(self._names)

    def _head(self, names: Sequence[str]) -> str:
        if self._has_begun or not names:
            return ""
        self._has_begun = True
        return ",".join(_fields(names)) + _ENDING

    def _parse(self, rows: str) -> list[dict[str, Any]]:
        """The rows with numbers digit for digit, and objects and arrays inside of them as they are written."""
        text = f"[{rows.replace(chr(10), ',')}]"
        if not self._is_nested:
            try:
                parsed = _loads(text)
            except RecursionError:
                self._is_nested = True
            else:
                self._is_nested = not all(_PLAIN.issuperset(map(type, row.values())) for row in parsed)
        return _loads(_flat(text)) if self._is_nested else parsed


def _loads(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text, parse_int=str, parse_float=str)
    return found


def _flat(text: str) -> str:
    """Objects and arrays in the rows as strings of what stands there."""
    parts: list[str] = []
    depth = begun = done = position = 0
    while (at := _TO_BRACKET.match(text, position).end()) < len(text):  # type: ignore[union-attr]
        position = at + 1
        if text[at] in "[{":
            depth += 1
            if depth == 3:  # the rows are objects in an array
                begun = at
        else:
            depth -= 1
            if depth == 2:
                parts += (text[done:begun], json.dumps(text[begun:position]))
                done = position
    return "".join([*parts, text[done:]])


def _fields(column: Sequence[Any]) -> Sequence[str]:
    texts = column
    if bool in set(map(type, column)):
        texts = [_BOOLEANS.get(value, value) if type(value) is bool else value for value in column]
    together = "".join(filter(None, texts))
    if "" in texts or any(character in together for character in _SPECIAL):
        return [_field(text) for text in texts]
    return ["" if text is None else text for text in texts] if None in texts else texts


_BOOLEANS = {True: "true", False: "false"}


def _field(text: str | None) -> str:
    if text is None:
        return ""
    if text == "" or any(character in text for character in _SPECIAL):
        return '"' + text.replace('"', '""') + '"'
    return text
