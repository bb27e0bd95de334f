"""SQLite's refusal of a statement as a diagnostic that points at the word it is about.

SQLite gives no position, but it names what it stumbled over.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from sqlwright.engines.inference.invalid import invalid, name_at, near_column, span_in_file
from sqlwright.engines.inference.words import Word, lexed
from sqlwright.engines.sqlite.catalogue import Catalogue
from sqlwright.engines.sqlite.errors import code_of, translate
from sqlwright.errors import QueryInvalid, StatementFailed
from sqlwright.query import Access, Query
from sqlwright.sql.dialect import SQLITE
from sqlwright.sql.report import near, syntax_hint
from sqlwright.sql.statement import Rendered

_NAMED = (
    re.compile(r"no such (?P<what>table|column|function|collation sequence|module|index|window): (?P<name>.+)"),
    re.compile(r"table (?P<table>.+) has no (?P<what>column) named (?P<name>.+)"),
    re.compile(r"ambiguous (?P<what>column) name: (?P<name>.+)"),
    re.compile(r"wrong number of arguments to (?P<what>function) (?P<name>.+)\(\)"),
    re.compile(r"misuse of (?:aggregate|window)?:? ?(?P<what>function)? ?(?P<name>\w+)\(\)"),
    re.compile(r"unknown (?P<what>database) (?P<name>.+)"),
    re.compile(r"(?P<what>table) (?P<name>\S+) (?:has \d+ columns|may not be modified|already exists)"),
    re.compile(r"cannot modify (?P<name>\S+) because it is a (?P<what>view)"),
    re.compile(r"cannot (?:UPDATE|INSERT into) generated (?P<what>column) \"(?P<name>.+)\""),
    re.compile(r"SELECTs to the left and right of (?P<name>UNION|INTERSECT|EXCEPT)"),
    re.compile(r"(?:\d+\w\w )?(?P<name>ORDER|GROUP) BY term"),
    re.compile(r"a GROUP BY clause is required before (?P<name>HAVING)"),
    re.compile(r"(?:\d+|all) (?P<name>values) (?:for \d+|must have)", re.IGNORECASE),
    re.compile(r"(?P<name>RAISE)\(\) may only"),
)
_NEAR = re.compile(r'(?:near|unrecognized token:) "(?P<name>.+)"(?:: syntax error)?', re.DOTALL)
_NUMBERED = re.compile(r"(?<=near \")\?(\d+)(?=\")")
_STATEMENT_CODES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_RANGE)


def is_about_statement(error: sqlite3.Error) -> bool:
    """The statement itself is wrong, not a value, a lock or the disk."""
    return code_of(error) & 0xFF in _STATEMENT_CODES and isinstance(translate(error, Access.WRITE), StatementFailed)


def refusal(
    raw: sqlite3.Connection,
    catalogue: Catalogue,
    query: Query,
    rendered: Rendered,
    error: sqlite3.Error,
    *,
    start: int = 0,
    end: int | None = None,
) -> QueryInvalid:
    """`start` and `end` bound the statement inside the text sent, where that has several."""
    sent = rendered.text[start:end]
    words = lexed(sent, SQLITE)
    message = str(error)
    first, last, hint = _place(raw, catalogue, sent, words, message)
    begins, ends = start, start + 1
    if words:
        begins, ends = start + words[first].start, start + words[last].end
    begins, ends = span_in_file(query, rendered, begins, ends)
    if _NEAR.fullmatch(message):
        line, column = query.source.locate(begins)
        hint = syntax_hint(query.source.line_text(line), column)
        message = _NUMBERED.sub(lambda found: f":{query.parameters[int(found[1]) - 1].name}", message)
    return invalid(query, begins, message, hint, length=ends - begins)


def _place(
    raw: sqlite3.Connection, catalogue: Catalogue, sent: str, words: Sequence[Word], message: str
) -> tuple[int, int, str]:
    """First and last index of the words meant, and a hint."""
    if syntax := _NEAR.fullmatch(message):
        index = _stumbled(raw, sent, words, syntax["name"])
        return index, index, ""
    if message == "incomplete input" and words:
        return len(words) - 1, len(words) - 1, "something is missing after this"
    for pattern in _NAMED:
        if found := pattern.match(message):
            parts = found["name"].lower().split(".")
            place = name_at(words, parts)
            hint = ""
            if message.startswith("ambiguous"):
                hint = f"write its table before it, as in t.{parts[-1]}"
            elif "no " in message:
                hint = _near_name(catalogue, words, found["what"], parts, found.groupdict().get("table"))
            if place is not None:
                return place, place + 2 * (len(parts) - 1), hint
            return 0, 0, hint
    return 0, 0, ""


def _stumbled(raw: sqlite3.Connection, sent: str, words: Sequence[Word], name: str) -> int:
    """Of all the words like `name`, the first up to which the text is already wrong."""
    found = [index for index, word in enumerate(words) if sent.startswith(name, word.start)]
    for index in found[:-1]:
        try:
            raw.execute(f"EXPLAIN {sent[: words[index].end]}").close()
        except sqlite3.Error as error:
            if _NEAR.fullmatch(str(error)):
                return index
    return found[-1] if found else 0


def _near_name(catalogue: Catalogue, words: Sequence[Word], what: str, parts: Sequence[str], table: str | None) -> str:
    if what == "table":
        return near(parts[-1], catalogue.names())
    if what != "column":
        return ""
    return near_column(catalogue, words, parts[-1], table)
