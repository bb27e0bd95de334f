"""Operations on a table → ordinary queries: the statement by pypika, its parameters with the columns' types and rules.

Nothing of a request is in a statement but which columns it speaks of, and those are the table's own. Placeholders
become slots through our lexer, so a column may have any name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pypika
from pypika.terms import Parameter as Placeholder

from sqlwright.crud.conflict import Conflict
from sqlwright.crud.filters import Filter, Order
from sqlwright.crud.table import Table, TableColumn
from sqlwright.query import Access, Cardinality, Kind, Literal, Parameter, Query, Rules, Slot, SourceFile, SqlType
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.lexer import lex
from sqlwright.sql.statement import build

_TEXT = SqlType("text", Kind.TEXT)
_UNORDERED = frozenset({Kind.JSON, Kind.OTHER, Kind.BYTES})
"""Kinds that a database may have no order for, or none that anybody asks for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What tells one statement of an operation from another: the columns sent, or the filters and the order."""

    columns: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    orders: tuple[Order, ...] = ()
    conflict: Conflict | None = None

    @property
    def label(self) -> str:
        parts = [*self.columns, *map(str, self.filters), *map(str, self.orders)]
        if self.conflict is not None:
            parts.append(str(self.conflict))
        return json.dumps(parts, ensure_ascii=False) if parts else ""


class Statements:
    """Makes the queries of tables for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def query(self, table: Table, kind: str, shape: Shape) -> Query:
        """The query of an operation. Its parameters are the columns sent (or the filters), then those of the key."""
        draft = _Draft(table, f"tables.{table.name}.{kind}{shape.label}")
        if kind == "list":
            return self._list(draft, shape)
        if kind == "get":
            chosen = draft.keyed(pypika.Query.from_(draft.target).select(*draft.all_columns))
            return self._query(draft, _sql(chosen, self._dialect), Cardinality.ONE, Access.READ)
        if kind == "last":
            chosen = pypika.Query.from_(draft.target).select(*draft.all_columns).where(Placeholder(table.last_row))
            return self._query(draft, _sql(chosen, self._dialect), Cardinality.ONE, Access.READ)
        if kind == "delete":
            deleted = draft.keyed(pypika.Query.from_(draft.target).delete())
            return self._query(draft, _sql(deleted, self._dialect), Cardinality.EXEC, Access.WRITE)
        if kind == "create":
            return self._changing(draft, self._insert(draft, shape), "insert")
        if kind == "create_many":
            return self._query(draft, self._insert(draft, shape), Cardinality.BULK, Access.WRITE)
        changes = self._replacing(draft, shape.columns) if kind == "replace" else self._updating(draft, shape.columns)
        changed = pypika.Query.update(draft.target)
        for column, value in changes:
            changed = changed.set(draft.field(column), value)
        return self._changing(draft, _sql(draft.keyed(changed), self._dialect), "update")

    def _list(self, draft: _Draft, shape: Shape) -> Query:
        chosen = pypika.Query.from_(draft.target).select(*draft.all_columns)
        for one in shape.filters:
            chosen = chosen.where(self._criterion(draft, one))
        for order in _with_tie_breakers(draft.table, shape.orders):
            field = draft.field(draft.table.by_name[order.column])
            direction = pypika.Order.desc if order.descending else None
            if self._dialect.nulls_first and draft.table.by_name[order.column].nullable:
                # NULL counts as greater than any value, whatever the database thinks.
                chosen = chosen.orderby(field.isnull(), order=direction)
            chosen = chosen.orderby(field, order=direction)
        return self._query(draft, _sql(chosen, self._dialect), Cardinality.MANY, Access.READ)

    def _criterion(self, draft: _Draft, one: Filter) -> Any:
        column = draft.table.by_name[one.column]
        field = draft.field(column)
        if one.operator == "isnull":
            return field.isnull() if one.is_null else field.isnotnull()
        if one.operator == "in":
            return field.isin(Placeholder(f"({draft.value(one.parameter, column, is_list=True)})"))
        if one.operator == "like":
            pattern = draft.value(one.parameter, column, type=_TEXT)
            return field.like(Placeholder(pattern + self._dialect.like_escape))
        value = Placeholder(draft.value(one.parameter, column))
        compare = {
            "eq": field.__eq__, "ne": field.__ne__, "lt": field.__lt__, "lte": field.__le__, "gt": field.__gt__,
            "gte": field.__ge__,
        }  # fmt: skip
        return compare[one.operator](value)

    def _insert(self, draft: _Draft, shape: Shape) -> str:
        columns = [column for column in draft.table.columns if column.name in shape.columns or column.required]
        if not columns:  # of which pypika makes nothing
            # It only writes an INSERT that has values: what stands before them is wanted.
            some = pypika.Query.into(draft.target).insert(1)
            return _sql(some, self._dialect).removesuffix("VALUES (1)") + self._dialect.default_row
        values = [Placeholder(draft.given(column)) for column in columns]
        insert = pypika.Query.into(draft.target).columns(*map(draft.field, columns)).insert(*values)
        return _sql(insert, self._dialect) + self._tail(draft.table, shape)

    def _tail(self, table: Table, shape: Shape) -> str:
        """What an INSERT does about a row that is there. pypika knows it for some dialects only."""
        conflict = shape.conflict
        if conflict is None:
            return ""
        key = [self._name(name) for name in conflict.columns]
        merged = [self._name(name) for name in shape.columns if name not in conflict.columns]
        if self._dialect.on_conflict:
            head = f" ON CONFLICT ({', '.join(key)}) DO "
            if conflict.resolution == "ignore":
                return head + "NOTHING"
            # Nothing to merge is no reason to give no row.
            return f"{head}UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in merged or key[:1])}"
        changes = [f"{name} = VALUES({name})" for name in merged] if conflict.resolution == "merge" else []
        if any(set(unique.columns) != set(conflict.columns) for unique in table.uniques):
            # Any unique key counts here. For the row of another one this is an error (NULL would be 0 in some keys).
            same = " AND ".join(f"{name} <=> VALUES({name})" for name in key)
            changes.insert(0, f"{key[0]} = IF({same}, {key[0]}, 1 DIV 0)")
        return f" ON DUPLICATE KEY UPDATE {', '.join(changes or [f'{key[0]} = {key[0]}'])}"

    def _name(self, name: str) -> str:
        quote = self._dialect.name_quote
        return quote + name.replace(quote, quote * 2) + quote

    def _updating(self, draft: _Draft, sent: Collection[str]) -> list[tuple[TableColumn, Any]]:
        columns = [column for column in draft.table.columns if column.name in sent]
        return [(column, Placeholder(draft.given(column))) for column in columns]

    def _replacing(self, draft: _Draft, sent: Collection[str]) -> list[tuple[TableColumn, Any]]:
        """Every column that can be written: as sent, else as a new row would have it."""
        changes = []
        for column in replaceable(draft.table):
            if column.name in sent or not (column.nullable or column.is_filled):
                value = draft.given(column)
            elif not column.is_filled:
                value = "NULL"
            elif self._dialect.default_in_update:
                value = "DEFAULT"
            else:
                value = f"({column.default})" if column.default is not None else "NULL"
            changes.append((column, Placeholder(value)))
        return changes

    def _changing(self, draft: _Draft, sql: str, verb: str) -> Query:
        if verb not in self._dialect.returning:
            return self._query(draft, sql, Cardinality.EXEC, Access.WRITE)
        # pypika has RETURNING for one dialect only.
        names = ",".join(self._name(column.name) for column in draft.table.columns)
        return self._query(draft, f"{sql} RETURNING {names}", Cardinality.RETURNING, Access.WRITE)

    def _query(self, draft: _Draft, sql: str, cardinality: Cardinality, access: Access) -> Query:
        statement, _ = build(sql, lex(sql, self._dialect).tokens)
        slots = [replace(p, name=draft.names[p.name]) if isinstance(p, Slot) else p for p in statement.parts]
        return Query(
            name=draft.name,
            cardinality=cardinality,
            access=access,
            statement=replace(statement, parts=tuple(slots)),
            parameters=tuple(draft.parameters),
            source=SourceFile(f"<table {draft.table.name}>", sql),
            offset=0,
        )


def replaceable(table: Table) -> list[TableColumn]:
    """The columns that PUT writes."""
    return [column for column in table.columns if not column.read_only and column.name not in table.primary_key]


def _sql(query: Any, dialect: Dialect) -> str:
    text: str = query.get_sql(quote_char=dialect.name_quote)
    return text


def _with_tie_breakers(table: Table, orders: Sequence[Order]) -> Iterable[Order]:
    """The order asked for, then the key, so that pages neither repeat nor lose a row."""
    sortable = [column.name for column in table.columns if column.type.kind not in _UNORDERED and not column.type.array]
    last = table.primary_key or tuple(
        sortable[:1] if not orders else ()
    )  # the engine adds the others to a page's order
    asked = {order.column for order in orders}
    return [*orders, *(Order(name) for name in last if name not in asked)]


class _Draft:
    """A statement in the making: its placeholders `:p1`, `:p2` … and the parameters that they stand for."""

    def __init__(self, table: Table, name: str) -> None:
        self.table = table
        self.name = name
        self.target = pypika.Table(table.name)
        self.parameters: list[Parameter] = []
        self.names: dict[str, str] = {}

    def field(self, column: TableColumn) -> Any:
        return pypika.Field(column.name, table=self.target)

    @property
    def all_columns(self) -> list[Any]:
        return [self.field(column) for column in self.table.columns]

    def keyed(self, query: Any) -> Any:
        """Only the row with the key."""
        for column in self.table.key_columns:
            query = query.where(self.field(column) == Placeholder(self.value(column.name, column)))
        return query

    def given(self, column: TableColumn) -> str:
        """A placeholder for a value that the column is to get."""
        rules = Rules(_allowed(column), length_max=column.length_max)
        return self._add(Parameter(column.name, column.type, nullable=column.nullable, rules=rules))

    def value(self, name: str, column: TableColumn, *, is_list: bool = False, type: SqlType | None = None) -> str:
        """A placeholder for a value that the column is compared with."""
        rules = Rules() if type else Rules(_allowed(column))
        return self._add(Parameter(name, type or column.type, rules=rules, is_list=is_list))

    def _add(self, parameter: Parameter) -> str:
        self.parameters.append(parameter)
        placeholder = f"p{len(self.parameters)}"
        self.names[placeholder] = parameter.name
        return ":" + placeholder


def _allowed(column: TableColumn) -> tuple[Literal, ...]:
    return tuple(Literal(value, quoted=True) for value in column.values)
