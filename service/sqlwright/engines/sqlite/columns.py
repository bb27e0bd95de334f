"""Columns of a statement's result: their names and, where it can be had, their declared types.

SQLite tells a result's types to those who make a view of it, so a temporary one is made and rolled back.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing as closed

from sqlwright.engines.inference.items import (
    AFTER_ITEMS,
    extreme_type,
    gives_table_rows,
    is_count,
    item_of_column,
    item_type,
    only_table,
    returning_list,
    without_alias,
)
from sqlwright.engines.inference.scope import Scope
from sqlwright.engines.inference.words import Word, at, lexed, outermost, split
from sqlwright.engines.sqlite.catalogue import declared_type
from sqlwright.engines.sqlite.invalid import is_about_statement
from sqlwright.query import Column, Slot, Statement
from sqlwright.sql.dialect import SQLITE
from sqlwright.sql.statement import render

_VIEW = "sqlwright_described"
_RENAMED = re.compile(r"(.+):\d+", re.DOTALL)


def result_columns(raw: sqlite3.Connection, statement: Statement, scope: Scope) -> tuple[Column, ...]:
    """Columns in order; none where SQLite does not say or the statement gives no rows."""
    text = render(statement, _null).text
    if statement.verb in ("select", "values"):
        prefix = render(Statement(statement.parts[: statement.main], ""), _null).text
        return _described(raw, text, text[len(prefix) :], scope, statement)
    if statement.has_returning:
        return _returned(raw, text, scope, statement)
    return ()


def _null(slot: Slot) -> str:
    return "NULL" if slot.negated is None else f"{'NOT ' if slot.negated else ''}IN (NULL)"


def _returned(raw: sqlite3.Connection, text: str, scope: Scope, statement: Statement) -> tuple[Column, ...]:
    words = lexed(text, SQLITE)
    items = text[words[returning_list(words)].end :]
    table = scope.target.replace('"', '""')
    selected = f'SELECT {items} FROM "{table}"'  # noqa: S608 - the query's own text
    return _described(raw, selected, selected, scope, statement)


def _described(raw: sqlite3.Connection, text: str, main: str, scope: Scope, statement: Statement) -> tuple[Column, ...]:
    """`text` is the whole SELECT, `main` the part of it behind a WITH."""
    found = _view_columns(raw, text)
    names = {name for name, _ in found}
    columns = []
    for name, declared in found:
        renamed = _RENAMED.fullmatch(name)
        columns.append(Column(renamed[1] if renamed and renamed[1] in names else name, declared_type(declared)))
    if statement.is_compound or statement.verb == "values":
        return tuple(columns)
    may_aggregate = not statement.has_returning
    return tuple(_with_items(columns, lexed(main, SQLITE), scope, may_aggregate=may_aggregate))


def _view_columns(raw: sqlite3.Connection, text: str) -> list[tuple[str, str]]:
    """Names and declared types. The session is read-only, or nothing but the temporary schema is touched."""
    with closed(raw.execute("PRAGMA query_only")) as asked:
        (query_only,) = asked.fetchone()
    # A savepoint is a transaction, or part of the one that is open on a connection that is the only one.
    raw.execute(f"SAVEPOINT {_VIEW}").close()
    try:
        raw.execute("PRAGMA query_only=off").close()
        raw.execute(f"CREATE TEMP VIEW {_VIEW} AS {text}").close()
        with closed(raw.execute("SELECT name, type FROM pragma_table_info(?, 'temp')", (_VIEW,))) as cursor:
            return cursor.fetchall()
    except sqlite3.OperationalError as error:
        if is_about_statement(error):
            return []  # it compiles, but not as a view
        raise
    finally:
        if raw.in_transaction:
            raw.execute(f"ROLLBACK TO {_VIEW}").close()
            raw.execute(f"RELEASE {_VIEW}").close()
        raw.execute(f"PRAGMA query_only={'on' if query_only else 'off'}").close()


def _with_items(columns: list[Column], words: Sequence[Word], scope: Scope, *, may_aggregate: bool) -> list[Column]:
    """The columns with what the select list itself tells."""
    if not at(words, 0).says("select"):
        return columns
    first = 1 + at(words, 1).says("distinct", "all")
    last = outermost(words, first, len(words), *AFTER_ITEMS)
    items = split(words, first, last)
    table = only_table(words, last, scope)
    if may_aggregate and not gives_table_rows(words, last, items):
        table = {}
    own = Scope(words, scope.catalogue)
    described = []
    for column, (start, last_word) in zip(columns, item_of_column(words, items, len(columns)), strict=True):
        end = without_alias(words, start, last_word)
        # An item that is no name of a column has `(` or an operator there, which no table has as a column.
        source = table.get(column.name.lower() if start == end else at(words, end - 1).text)
        is_name = start == end or all(words[i].is_name or words[i].says(".") for i in range(start, end))
        never_null = is_count(words, start, end) or (is_name and source is not None and source.not_null)
        type = item_type(words, start, end, scope.catalogue) or column.type
        if type is None and not scope.derived:
            type = extreme_type(own, start, end)
        described.append(Column(column.name, type, nullable=not never_null))
    return described
