"""Collects what is wrong with one file, so that everything is told at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import SourceFile

MESSAGES_MAX = 50
"""Of one query: who has more wrong mends these first."""
_SHOWN_LINE_CHARACTERS_MAX = 500
_COMPARED_CHARACTERS_MAX = 64

_FOREIGN = re.compile(
    r"""(?<![\w)\]"'])(?:%s|%\(\w+\)s|[$#]?\{\{?\s*\w+\s*\}?\}|@\w+|\?(?=\s*(?:[,);]|$))|(?<=[=,(<>]\s):\s+\w+)"""
)
"""Placeholders of other tools, which no database reads."""
_BEGINS = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|MERGE)\b", re.IGNORECASE)


class Report:
    """`errors` counts what keeps a query from loading; warnings are in `diagnostics` only."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.errors = 0

    def error(self, code: str, offset: int, message: str, hint: str = "", length: int = 1) -> None:
        self.errors += 1
        self._add(self.source.diagnostic(code, offset, message, hint, length=length))

    def warning(self, code: str, offset: int, message: str, hint: str = "", length: int = 1) -> None:
        self._add(self.source.diagnostic(code, offset, message, hint, length=length, severity="warning"))

    def _add(self, diagnostic: Diagnostic) -> None:
        if len(self.diagnostics) < MESSAGES_MAX:
            long = len(diagnostic.source) > _SHOWN_LINE_CHARACTERS_MAX
            self.diagnostics.append(replace(diagnostic, source="") if long else diagnostic)


def near(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`did you mean …?` with at most three names, or ''."""
    if len(word) > _COMPARED_CHARACTERS_MAX:
        return ""
    found = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(prefix + name for name in found)}?" if found else ""


def syntax_hint(line: str, column: int) -> str:
    """What a database's syntax error at `column` (from 1) of a line may come from, or ''."""
    if line.startswith(":", column - 1) and line[column : column + 1].isidentifier():
        return "a parameter stands for a value: not for a table, a column, a keyword or a part of a text"
    if found := _FOREIGN.search(line):
        return f"if {found.group()} is meant as a parameter, write `:name`"
    if not line[: column - 1].strip() and _BEGINS.match(line):
        return "if this is another statement, end the one before it with a ; and give each a header: `-- name: x`"
    return ""
