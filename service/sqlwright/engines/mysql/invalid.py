"""A refusal of MariaDB or MySQL as a diagnostic that points at the word it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pymysql

from sqlwright.engines.inference.catalogue import Catalogue
from sqlwright.engines.inference.invalid import invalid, name_at, near_column, span_in_file
from sqlwright.engines.inference.words import Word, lexed
from sqlwright.engines.mysql.errors import code_of, message_of, translate
from sqlwright.errors import QueryInvalid, StatementFailed
from sqlwright.query import Access, Query, Slot
from sqlwright.sql.dialect import MYSQL
from sqlwright.sql.report import near, syntax_hint
from sqlwright.sql.statement import Rendered

SYNTAX = 1064
_UNPREPARABLE = frozenset({1295, 1615})
_AMBIGUOUS = 1052
_COLUMNS = frozenset({1054, 1072})
_TABLES = frozenset({1051, 1109, 1146, 1347, 4091})
_NEAR = re.compile(r"near '(?P<rest>.*)' at line (?P<line>\d+)", re.DOTALL)
_QUOTED = re.compile(r"'([^']+)'")
_FUNCTION = re.compile(r"(?:FUNCTION|PROCEDURE) (\S+) does not exist")


def is_about_statement(error: pymysql.err.MySQLError) -> bool:
    """The statement itself is wrong, not a value, a lock or the connection."""
    return isinstance(translate(error, Access.READ), StatementFailed)


def is_unpreparable(error: pymysql.err.MySQLError) -> bool:
    """The server runs such a statement, but does not tell of it before."""
    return code_of(error) in _UNPREPARABLE


def refusal(
    catalogue: Catalogue | None,
    query: Query,
    rendered: Rendered,
    error: pymysql.err.MySQLError,
    *,
    start: int = 0,
    end: int | None = None,
) -> QueryInvalid:
    """`start` and `end` bound the statement inside the text sent, where that has several."""
    sent = rendered.text[start:end]
    words = lexed(sent, MYSQL)
    if code_of(error) == SYNTAX and (told := _NEAR.search(message_of(error))):
        return _syntax(query, rendered, told, start, end)
    message = message_of(error)
    parts, hint = _named(catalogue, words, code_of(error), message)
    place = name_at(words, parts) if parts else None
    if place is None and parts:
        parts = parts[-1:]
        place = name_at(words, parts)
    first, last = (0, 0) if place is None else (place, place + 2 * (len(parts) - 1))
    begins, ends = (start + words[first].start, start + words[last].end) if words else (start, start)
    begins, ends = span_in_file(query, rendered, begins, ends)
    return invalid(query, begins, message, hint, length=ends - begins)


def _syntax(query: Query, rendered: Rendered, told: re.Match[str], start: int, end: int | None) -> QueryInvalid:
    rest, sent = told["rest"], rendered.text[start:end]
    words = lexed(sent, MYSQL)
    if not rest.strip() and words:
        begins, ends = span_in_file(query, rendered, start + words[-1].start, start + words[-1].end)
        return invalid(query, begins, "syntax error", "something is missing after this", length=ends - begins)
    position = _place_of(sent, rest, int(told["line"]))
    word = next((word for word in words if word.start >= position), None)
    last = word.end if word is not None and word.start == position else position + 1
    begins, ends = span_in_file(query, rendered, start + position, start + last)
    slot = next((p for p in query.statement.parts if isinstance(p, Slot) and p.offset == begins), None)
    shown = f":{slot.name}" if slot is not None else sent[position:last]
    line, column = query.source.locate(begins)
    hint = syntax_hint(query.source.line_text(line), column)
    return invalid(query, begins, f"syntax error near {shown!r}", hint, length=ends - begins)


def _place_of(sent: str, rest: str, line: int) -> int:
    """Where the text `rest`, which the server has cut after 80 characters, begins on or near a line."""
    found, position = [], sent.find(rest)
    while position >= 0:
        found.append(position)
        position = sent.find(rest, position + 1)
    return min(found, key=lambda place: abs(sent.count("\n", 0, place) + 1 - line), default=0)


def _named(catalogue: Catalogue | None, words: Sequence[Word], code: int, message: str) -> tuple[list[str], str]:
    """The parts of the name that the message is about, and a hint."""
    found = _FUNCTION.search(message) or _QUOTED.search(message)
    if found is None:
        return [], ""
    parts = found[1].lower().split(".")
    if code == _AMBIGUOUS:
        return parts, f"write its table before it, as in t.{parts[-1]}"
    if catalogue is not None and code in _COLUMNS:
        return parts, near_column(catalogue, words, parts[-1])
    if catalogue is not None and code in _TABLES:
        return parts, near(parts[-1], catalogue.names())
    return parts, ""
