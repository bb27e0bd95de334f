"""Scripts: several statements, one after the other; each is sent alone, because a session takes only one.

CREATE, ALTER, DROP and their like commit on these databases what was done before them. What stands between two of
them is one transaction, as far as the script does not manage its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pymysql

from sqlwright.engines.mysql.errors import code_of, message_of, translate
from sqlwright.engines.mysql.session import Session
from sqlwright.errors import QueryInvalid, StatementFailed
from sqlwright.query import Access, Query, Result
from sqlwright.sql.blocks import split
from sqlwright.sql.dialect import MYSQL
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, WORD, lex
from sqlwright.sql.report import syntax_hint
from sqlwright.sql.statement import Rendered, render

_TRANSACTION_VERBS = frozenset({"begin", "start", "commit", "rollback", "savepoint", "release"})
_SYNTAX = 1064
_AT_LINE = re.compile(r" at line (\d+)$")


class _Span(NamedTuple):
    """One statement of a script's text, with its first word."""

    verb: str
    start: int
    end: int


async def run_script(session: Session, query: Query, timeout_seconds: float | None, *, joins: bool) -> Result:
    """Run all statements; `joins`: in the transaction that is open.

    Raises `QueryInvalid` for one that the database does not understand.
    """
    await session.limit_time(timeout_seconds)
    rendered = render(query.statement, lambda slot: f":{slot.name}")
    spans = list(_statements(rendered.text))
    manages_itself = joins or any(span.verb in _TRANSACTION_VERBS for span in spans)
    if not manages_itself:
        await session.fetch("SET autocommit = 0")
    for span in spans:
        await _run_one(session, query, rendered, span)
    if not manages_itself:
        await session.fetch("COMMIT")
        await session.fetch("SET autocommit = 1")  # the lease may have more to run
    elif session.in_transaction and not joins:
        await session.fetch("ROLLBACK")
        raise StatementFailed("the script began a transaction and did not end it: it has been rolled back")
    return Result()


async def _run_one(session: Session, query: Query, rendered: Rendered, span: _Span) -> None:
    try:
        await session.fetch(rendered.text[span.start : span.end])
    except pymysql.err.MySQLError as error:
        if isinstance(translate(error, Access.READ), StatementFailed):
            raise _refusal(query, rendered, span, error) from error
        raise


def _refusal(query: Query, rendered: Rendered, span: _Span, error: pymysql.err.MySQLError) -> QueryInvalid:
    start, message = span.start, message_of(error)
    line = _AT_LINE.search(message)
    if code_of(error) == _SYNTAX and line is not None:
        for _ in range(int(line[1]) - 1):
            start = rendered.text.find("\n", start, span.end) + 1 or start
    offset = rendered.source_offset(start)
    number, column = query.source.locate(offset)
    hint = syntax_hint(query.source.line_text(number), column) if code_of(error) == _SYNTAX else ""
    found = query.source.diagnostic("query_invalid", offset, message, hint)
    return QueryInvalid("the database refuses a statement of this script", found)


def _statements(text: str) -> Iterator[_Span]:
    """The statements between semicolons, but those inside the body of a routine or trigger."""
    # Without comments: here none of them is the header of a query.
    tokens = [token for token in lex(text, MYSQL).tokens if token.kind not in (COMMENT, BLOCK_COMMENT)]
    for block in split(text, tokens):
        for statement in block.statements():
            first = statement[0]
            yield _Span(first.value if first.kind is WORD else "", first.start, statement[-1].end)
