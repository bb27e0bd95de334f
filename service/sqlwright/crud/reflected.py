"""What SQLAlchemy reflected → `Table` records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy

from sqlwright.crud.table import Constraint, ForeignKey, Table, TableColumn
from sqlwright.engines.reflection import column_facts, table_facts
from sqlwright.query import Kind, SqlType
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.lexer import IDENTIFIER, WORD, lex

_UNTYPED = SqlType("", Kind.ANY)


def tables_of(metadata: sqlalchemy.MetaData, dialect: Dialect) -> dict[str, Table]:
    """Tables and views that have columns, by name."""
    return {name: _table(table, dialect) for name, table in sorted(metadata.tables.items()) if len(table.columns)}


def _table(table: sqlalchemy.Table, dialect: Dialect) -> Table:
    facts = table_facts(table)
    columns = tuple(_column(column, is_view=facts.is_view, may_fill=facts.may_fill) for column in table.columns)
    if facts.is_view:
        return Table(str(table.name), True, columns)
    names = [column.name for column in columns]
    return Table(
        name=str(table.name),  # not SQLAlchemy's own kind of str, which no JSON writer takes as a key
        is_view=False,
        columns=columns,
        primary_key=tuple(str(column.name) for column in table.primary_key.columns),
        uniques=tuple(_uniques(table)),
        foreign_keys=tuple(_foreign_keys(table)),
        checks=tuple(_checks(table, names, dialect)),
        reads_back=facts.reads_back,
        last_row=facts.last_row,
    )


def _column(column: sqlalchemy.Column[object], *, is_view: bool, may_fill: bool) -> TableColumn:
    facts = column_facts(column)
    if is_view:
        return TableColumn(str(column.name), facts.type or _UNTYPED, values=facts.values, comparable=facts.comparable)
    return TableColumn(
        name=str(column.name),
        type=facts.type or _UNTYPED,
        nullable=facts.nullable,
        default=facts.default,
        is_filled=facts.is_filled,
        required=not (facts.nullable or facts.is_filled or facts.read_only or may_fill),
        read_only=facts.read_only,
        values=facts.values,
        length_max=facts.length_max,
        comparable=facts.comparable,
    )


def _uniques(table: sqlalchemy.Table) -> Iterator[Constraint]:
    if len(table.primary_key.columns):
        yield Constraint(str(table.primary_key.name or ""), tuple(c.name for c in table.primary_key.columns))
    for constraint in table.constraints:
        if isinstance(constraint, sqlalchemy.UniqueConstraint):
            yield Constraint(str(constraint.name or ""), tuple(c.name for c in constraint.columns))
    for index in table.indexes:
        if index.unique:
            yield Constraint(str(index.name or ""), tuple(c.name for c in index.columns))


def _foreign_keys(table: sqlalchemy.Table) -> Iterator[ForeignKey]:
    for key in table.foreign_key_constraints:
        # `table.column` as text: what it refers to may not be served, and so may not be reflected.
        targets = [element.target_fullname for element in key.elements]
        known = [name for name in table.metadata.tables if all(target.startswith(f"{name}.") for target in targets)]
        referred = max(known, key=len) if known else targets[0].rpartition(".")[0]
        columns = tuple(target[len(referred) + 1 :] for target in targets)
        yield ForeignKey(str(key.name or ""), tuple(key.column_keys), referred, columns)


def _checks(table: sqlalchemy.Table, names: Iterable[str], dialect: Dialect) -> Iterator[Constraint]:
    facts = table_facts(table)
    for name, text, columns in facts.checks:
        yield Constraint(name, columns or columns_in(text or "", names, dialect), text or "")
    known = {name for name, _, _ in facts.checks}
    for constraint in table.constraints:
        if isinstance(constraint, sqlalchemy.CheckConstraint) and constraint.name not in known:
            text = str(constraint.sqltext)
            yield Constraint(str(constraint.name or ""), columns_in(text, names, dialect), text)


def columns_in(text: str, names: Iterable[str], dialect: Dialect) -> tuple[str, ...]:
    """Which of these columns an expression of the schema speaks of."""
    found = set()
    for token in lex(text, dialect).tokens:
        written = text[token.start : token.end]
        if token.kind is IDENTIFIER:
            quote = written[-1]
            found.add(written[1:-1].replace(quote * 2, quote).lower())
        elif token.kind is WORD:
            found.add(written.lower())
    return tuple(name for name in names if name.lower() in found)
