"""Columns of a statement's result: what the server says of them, and what only its tables know: which text is JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymysql.constants import FLAG

from sqlwright.engines.inference.catalogue import TableColumn
from sqlwright.engines.inference.items import (
    AFTER_ITEMS,
    gives_table_rows,
    is_count,
    item_of_column,
    item_type,
    returning_list,
    without_alias,
)
from sqlwright.engines.inference.scope import Scope, naming
from sqlwright.engines.inference.words import Word, at, opening, outermost, split, words_of
from sqlwright.engines.mysql.catalogue import MySQLCatalogue
from sqlwright.engines.mysql.prepare import Field
from sqlwright.engines.mysql.types import field_type
from sqlwright.query import Column, Kind, SqlType, Statement
from sqlwright.sql.dialect import MYSQL


def result_columns(
    statement: Statement, scope: Scope, catalogue: MySQLCatalogue, fields: Sequence[Field]
) -> tuple[Column, ...]:
    """One column a field. `scope` is that of the whole statement."""
    words = words_of(Statement(statement.parts[statement.main :], statement.verb), MYSQL)
    items, keeps_rows = _items(statement, words)
    # A ROLLUP makes NULL of what is not.
    keeps_rows = keeps_rows and not any(word.says("rollup") for word in scope.words)
    columns = []
    for field, (start, last) in zip(fields, item_of_column(words, items, len(fields)), strict=True):
        end = without_alias(words, start, last)
        source = _source(scope, catalogue, field)
        never_null = is_count(words, start, end) or (
            keeps_rows and source is not None and source.not_null and bool(field.flags & FLAG.NOT_NULL)
        )
        type = source.type if source is not None else field_type(field)
        if type is not None and type.kind is Kind.TEXT and source is None:
            type = _json_or(type, scope, words, (start, end), field)
        columns.append(Column(field.name, type, nullable=not never_null))
    return tuple(columns)


def _items(statement: Statement, words: Sequence[Word]) -> tuple[list[tuple[int, int]], bool]:
    """The items of the result, and whether its rows are rows of its tables."""
    if statement.has_returning:
        return split(words, returning_list(words) + 1, len(words)), True
    if statement.is_compound or not at(words, 0).says("select"):
        return [], False
    first = 1
    while at(words, first).says("distinct", "all", "distinctrow", "straight_join", "sql_no_cache", "high_priority"):
        first += 1
    last = outermost(words, first, len(words), *AFTER_ITEMS)
    items = split(words, first, last)
    return items, gives_table_rows(words, last, items)


def _source(scope: Scope, catalogue: MySQLCatalogue, field: Field) -> TableColumn | None:
    """The table's column that a result's column is. A view's column may be NULL whatever it says."""
    table = field.org_table.lower()
    if not field.org_name or table in scope.derived:
        return None
    column = catalogue.table(table).get(field.org_name.lower())
    if column is None or table not in catalogue.views:
        return column
    return TableColumn(column.name, column.type, False, column.is_listed)


def _json_or(type: SqlType, scope: Scope, words: Sequence[Word], item: tuple[int, int], field: Field) -> SqlType:
    told = item_type(words, *item, scope.catalogue)
    if told is not None and told.kind is Kind.JSON:
        return told
    found = list(_meanings(scope, (field.org_name or field.name).lower()))
    return found[0] if found and all(one.kind is Kind.JSON for one in found) else type


def _meanings(scope: Scope, name: str) -> Iterator[SqlType]:
    """Types of all that is called so in the statement: a column of a CTE or of a subquery is one of them."""
    words = scope.words
    unknown = SqlType("", Kind.ANY)
    for index in naming(words):
        if words[index].text != name:
            continue
        end = index - at(words, index - 1).says("as")
        if at(words, end - 1).says(")"):
            start = opening(words, end - 1)
            yield item_type(words, start - 1, end, scope.catalogue) or unknown
        else:
            column, _ = scope.column_before(end)
            yield (column.type if column is not None else None) or unknown
    for table in dict.fromkeys(r.table for r in scope.references):
        column = scope.catalogue.table(table).get(name)
        if column is not None:
            yield column.type or unknown
