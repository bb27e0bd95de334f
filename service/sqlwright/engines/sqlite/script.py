"""Scripts: several statements in one transaction, unless they manage their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sqlwright.engines.sqlite.catalogue import Catalogue
from sqlwright.engines.sqlite.compile import NO_TRANSACTION
from sqlwright.engines.sqlite.hop import Hop
from sqlwright.engines.sqlite.invalid import is_about_statement, refusal
from sqlwright.engines.sqlite.run import in_transaction
from sqlwright.engines.sqlite.transaction import refuse_ended
from sqlwright.errors import StatementFailed
from sqlwright.query import Query, Result
from sqlwright.sql.dialect import SQLITE
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, WORD, lex
from sqlwright.sql.statement import Rendered, render

_TRANSACTION_VERBS = frozenset({"begin", "commit", "end", "rollback", "savepoint", "release"})


class _Span(NamedTuple):
    """One statement of a script's text, with its first word."""

    verb: str
    start: int
    end: int


def run_script(raw: sqlite3.Connection, hop: Hop, query: Query, *, joins: bool) -> Result:
    """Run all statements. Those at the start or the end that refuse a transaction run outside of it.

    `joins`: all of them run in the transaction that is open.
    """
    rendered = render(query.statement, lambda slot: f":{slot.name}")
    spans = list(_statements(rendered.text))

    def run(first: int, last: int) -> Result:
        for span in spans[first:last]:
            _run_one(raw, hop, query, rendered, span)
        return Result()

    if joins:
        refuse_ended(raw)
        return run(0, len(spans))
    if any(span.verb in _TRANSACTION_VERBS for span in spans):
        return _managing_itself(raw, hop, lambda: run(0, len(spans)))
    first, last = 0, len(spans)
    while first < last and spans[first].verb in NO_TRANSACTION:
        first += 1
    while last > first and spans[last - 1].verb in NO_TRANSACTION:
        last -= 1
    run(0, first)
    if first < last:
        in_transaction(raw, hop, lambda: run(first, last))
    return run(last, len(spans))


def _managing_itself(raw: sqlite3.Connection, hop: Hop, run: Callable[[], Result]) -> Result:
    try:
        result = run()
    finally:
        hop.finish()
        left_open = raw.in_transaction
        if left_open:
            raw.execute("ROLLBACK").close()
    if left_open:
        raise StatementFailed("the script began a transaction and did not end it: it has been rolled back")
    return result


def _run_one(raw: sqlite3.Connection, hop: Hop, query: Query, rendered: Rendered, span: _Span) -> None:
    try:
        cursor = hop.patiently(raw.execute, rendered.text[span.start : span.end])
        try:
            for _ in cursor:
                pass
        finally:
            cursor.close()
    except sqlite3.Error as error:
        if is_about_statement(error):
            raise refusal(raw, Catalogue(raw), query, rendered, error, start=span.start, end=span.end) from error
        raise


def _statements(text: str) -> Iterator[_Span]:
    """The statements between semicolons, but those inside a trigger's body."""
    first = None
    for token in lex(text, SQLITE).tokens:
        if token.kind in (COMMENT, BLOCK_COMMENT):
            continue
        if first is None and text[token.start : token.end] == ";":
            continue
        first = first or token
        if text[token.start : token.end] == ";" and sqlite3.complete_statement(text[first.start : token.end]):
            yield _Span(first.value if first.kind is WORD else "", first.start, token.end)
            first = None
    if first is not None:
        yield _Span(first.value if first.kind is WORD else "", first.start, len(text))
