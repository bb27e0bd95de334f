"""Columns of a statement's result: their names and, where it can be had, their declared types.

SQLite tells a result's types to those who make a view of it, so a temporary one is made and rolled back.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing as closed

from sqlwright.engines.sqlite.catalogue import INTEGER, JSON, TableColumn, declared_type
from sqlwright.engines.sqlite.invalid import is_about_statement
from sqlwright.engines.sqlite.scope import Scope, reference
from sqlwright.engines.sqlite.words import Word, at, closing, lexed, outermost, split
from sqlwright.query import Column, Slot, SqlType, Statement
from sqlwright.sql.statement import render

_VIEW = "sqlwright_described"
_RENAMED = re.compile(r"(.+):\d+", re.DOTALL)
_JSON_FUNCTIONS = (
    "json", "json_array", "json_object", "json_group_array", "json_group_object", "json_set", "json_insert",
    "json_replace", "json_remove", "json_patch",
)  # fmt: skip
_AFTER_ITEMS = ("from", "where", "group", "having", "window", "order", "limit", "union", "intersect", "except")
_AFTER_FROM = (*_AFTER_ITEMS[1:], "returning")


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
    words = lexed(text)
    place = len(words) - 1
    while place > 0 and not (words[place].says("returning") and _is_outermost(words, place)):
        place -= 1
    items = text[words[place].end :]
    table = scope.target.replace('"', '""')
    selected = f'SELECT {items} FROM "{table}"'  # noqa: S608 - the query's own text
    return _described(raw, selected, selected, scope, statement)


def _is_outermost(words: Sequence[Word], place: int) -> bool:
    return sum(word.says("(") - word.says(")") for word in words[:place]) == 0


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
    return tuple(_with_items(columns, lexed(main), scope, may_aggregate=may_aggregate))


def _view_columns(raw: sqlite3.Connection, text: str) -> list[tuple[str, str]]:
    """Names and declared types. The session is read-only, or nothing but the temporary schema is touched."""
    with closed(raw.execute("PRAGMA query_only")) as asked:
        (query_only,) = asked.fetchone()
    raw.execute("PRAGMA query_only=off").close()
    try:
        raw.execute("BEGIN").close()
        raw.execute(f"CREATE TEMP VIEW {_VIEW} AS {text}").close()
        with closed(raw.execute("SELECT name, type FROM pragma_table_info(?, 'temp')", (_VIEW,))) as cursor:
            return cursor.fetchall()
    except sqlite3.OperationalError as error:
        if is_about_statement(error):
            return []  # it compiles, but not as a view
        raise
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK").close()
        raw.execute(f"PRAGMA query_only={'on' if query_only else 'off'}").close()


def _with_items(columns: list[Column], words: Sequence[Word], scope: Scope, *, may_aggregate: bool) -> list[Column]:
    """The columns with what the select list itself tells."""
    if not at(words, 0).says("select"):
        return columns
    first = 1 + at(words, 1).says("distinct", "all")
    last = outermost(words, first, len(words), *_AFTER_ITEMS)
    items = split(words, first, last)
    table = _only_table(words, last, scope)
    if may_aggregate and not _gives_table_rows(words, last, items):
        table = {}
    own = Scope(words, scope.catalogue)
    described = []
    for column, (start, last_word) in zip(columns, _spread(words, items, len(columns)), strict=True):
        end = _without_alias(words, start, last_word)
        # An item that is no name of a column has `(` or an operator there, which no table has as a column.
        source = table.get(column.name.lower() if start == end else at(words, end - 1).text)
        is_name = start == end or all(words[i].is_name or words[i].says(".") for i in range(start, end))
        never_null = _is_count(words, start, end) or (is_name and source is not None and source.not_null)
        type = _item_type(words, start, end) or column.type
        if type is None and not scope.derived:
            type = _extreme_type(own, start, end)
        described.append(Column(column.name, type, nullable=not never_null))
    return described


def _spread(words: Sequence[Word], items: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """One item a column; (0, 0) for a column that comes from `*`, or whose item is not known."""
    stars = [number for number, (_, end) in enumerate(items) if words[end - 1].says("*")]
    if not stars:
        return items if len(items) == count else [(0, 0)] * count
    left, right = items[: stars[0]], items[stars[-1] + 1 :]
    if len(left) + len(right) > count:
        return [(0, 0)] * count
    return [*left, *[(0, 0)] * (count - len(left) - len(right)), *right]


def _without_alias(words: Sequence[Word], start: int, end: int) -> int:
    if end - start >= 3 and words[end - 2].says("as"):
        return end - 2
    if end - start >= 2 and words[end - 1].is_name and (words[end - 2].is_name or words[end - 2].says(")")):
        return end if words[end - 1].says("end") else end - 1
    return end


def _only_table(words: Sequence[Word], place: int, scope: Scope) -> Mapping[str, TableColumn]:
    """The columns of the one table that the rows come from; empty where there are several, or none that is known."""
    if not at(words, place).says("from"):
        return {}
    last = outermost(words, place + 1, len(words), *_AFTER_FROM)
    one = reference(words, place + 1)
    if one is None or one.after != last or one.table in scope.derived:
        return {}
    return scope.catalogue.table(one.table)


def _gives_table_rows(words: Sequence[Word], place: int, items: list[tuple[int, int]]) -> bool:
    """False for an aggregate over everything: it gives a row where the table has none, with NULL in plain columns."""
    if outermost(words, place, len(words), "group") < len(words):
        return True
    has_call = any(words[i].says("(") for start, end in items for i in range(start, end))
    return not has_call and outermost(words, place, len(words), "having") == len(words)


def _item_type(words: Sequence[Word], start: int, end: int) -> SqlType | None:
    """What the expression of an item tells by itself."""
    if at(words, start).says("(") and closing(words, start) == end - 1:
        if at(words, start + 1).says("select"):
            last = outermost(words, start + 2, end - 1, *_AFTER_ITEMS)
            items = split(words, start + 2, last)
            return _item_type(words, items[0][0], _without_alias(words, *items[0])) if len(items) == 1 else None
        return _item_type(words, start + 1, end - 1)
    called = at(words, start)
    if not at(words, start + 1).says("(") or not _ends_call(words, start + 1, end):
        return None
    last = closing(words, start + 1)
    if called.says(*_JSON_FUNCTIONS):
        return JSON
    if called.says("count"):
        return INTEGER
    if called.says("cast"):
        place = outermost(words, start + 2, last, "as")
        return declared_type(" ".join(word.text for word in words[place + 1 : last]))
    if called.says("coalesce", "ifnull"):
        arguments = split(words, start + 2, last)
        return _item_type(words, *arguments[0]) if arguments else None
    return None


def _extreme_type(scope: Scope, start: int, end: int) -> SqlType | None:
    """`max(column)` and `min(column)` have the column's type."""
    words = scope.words
    if not at(words, start).says("max", "min") or not _ends_call(words, start + 1, end):
        return None
    column = scope.column(start + 2, closing(words, start + 1))
    return column.type if column is not None else None


def _ends_call(words: Sequence[Word], opening: int, end: int) -> bool:
    """The call whose `(` is at `opening` is all there is up to `end`, with a FILTER or OVER behind it at most."""
    place = closing(words, opening) + 1
    while place < end:
        if not at(words, place).says("filter", "over"):
            return False
        place = closing(words, place + 1) + 1 if at(words, place + 1).says("(") else place + 2
    return place == end


def _is_count(words: Sequence[Word], start: int, end: int) -> bool:
    return at(words, start).says("count") and at(words, start + 1).says("(") and _ends_call(words, start + 1, end)
