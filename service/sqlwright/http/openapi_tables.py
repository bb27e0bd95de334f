"""What OpenAPI says of tables: for each its rows' path and the path of one row."""

from __future__ import annotations

from typing import Any

from sqlwright.config import Settings
from sqlwright.crud import Table, TableColumn
from sqlwright.crud.filters import OPERATORS, RESERVED, operators_of
from sqlwright.http.schemas import (
    PROBLEM,
    ROW_CONTENT,
    Schema,
    columns_schema,
    object_schema,
    page_parameters,
    parameter_schema,
)
from sqlwright.http.table_catalogue import ITEM, ROWS, Methods, row_path, table_path
from sqlwright.query import Column, Kind, Literal, Parameter, Rules, SqlType

_TEXT = SqlType("text", Kind.TEXT)
_METHODS = {kind: names[0].lower() for methods in (ROWS, ITEM) for kind, names in methods.items()}
_SUMMARIES = {
    "list": "Rows of {}", "create": "A new row of {}", "get": "One row of {}", "replace": "One row of {}, whole",
    "update": "Some columns of one row of {}", "delete": "One row of {} less",
}  # fmt: skip

_UPSERT = [
    {
        "name": "Prefer", "in": "header", "schema": {"type": "string"},
        "description": "rows whose key is there already: resolution=merge-duplicates or resolution=ignore-duplicates",
    },
    {
        "name": "on_conflict", "in": "query", "schema": {"type": "string"},
        "description": "the columns of a unique key to take for that, instead of the primary key: a,b",
    },
]  # fmt: skip


class TablePaths:
    """Writes the path items of one table."""

    def __init__(self, table: Table, settings: Settings) -> None:
        self._table = table
        self._settings = settings
        self._big_as_text = settings.big_numbers == "string"
        self._row = columns_schema(
            (Column(c.name, c.type, c.nullable) for c in table.columns), big_as_text=self._big_as_text
        )
        for column in table.columns:
            if column.values and "enum" not in self._row["properties"][column.name]:
                self._row["properties"][column.name]["enum"] = [*column.values, *([None] if column.nullable else [])]

    def paths(self) -> dict[str, Any]:
        table = self._table
        found = {table_path(table.name): self._operations(ROWS)}
        path = row_path(table)
        if path is not None:
            found[path] = self._operations(ITEM)
        return found

    def _operations(self, methods: Methods) -> dict[str, Any]:
        return {_METHODS[kind]: self._operation(kind) for kind in methods if kind in self._table.operations}

    def _operation(self, kind: str) -> dict[str, Any]:
        name = self._table.name
        operation: dict[str, Any] = {
            "operationId": f"tables.{name}.{kind}",
            "tags": [f"tables.{name}"],
            "summary": _SUMMARIES[kind].format(name),
        }
        if kind == "list":
            operation["parameters"] = self._list_parameters()
        elif kind in ITEM:
            operation["parameters"] = [self._path_parameter(column) for column in self._table.key_columns]
        if kind in ("create", "replace", "update"):
            body = self._body(kind)
            content: dict[str, Any] = {"application/json": {"schema": body}}
            if kind == "create":
                content = self._many(body)
                operation["parameters"] = _UPSERT
            operation["requestBody"] = {"required": bool(body["required"]), "content": content}
        return {**operation, "responses": {**self._success(kind), "default": PROBLEM}}

    def _success(self, kind: str) -> dict[str, Any]:
        if kind == "delete":
            return {"204": {"description": "It is gone"}}
        schema = self._row
        if kind == "list":
            schema = object_schema(
                {"data": {"type": "array", "items": self._row}, "next": {"type": ["string", "null"]}}
            )
        content = {"application/json": {"schema": schema}, **(ROW_CONTENT if kind == "list" else {})}
        answer: dict[str, Any] = {"description": "OK", "content": content}
        if kind != "create":
            return {"200": answer}
        many = object_schema({"affected": {"type": "integer"}})
        answer["content"] = {"application/json": {"schema": {"anyOf": [schema, many]}}}
        if self._table.primary_key:
            answer["headers"] = {"Location": {"description": "path of the row", "schema": {"type": "string"}}}
        return {"201": answer}

    def _many(self, row: Schema) -> dict[str, Any]:
        """A new row, or many."""
        rows = {"type": "array", "items": row, "maxItems": self._settings.bulk_items_max}
        text = {"type": "string"}
        return {
            "application/json": {"schema": {"anyOf": [row, rows]}},
            "application/x-ndjson": {"schema": text},
            "text/csv": {"schema": text},
        }

    def _body(self, kind: str) -> Schema:
        """`create` and `replace` say which columns must be there; of a key, that it is the row's own."""
        key = self._table.primary_key
        columns = [c for c in self._table.columns if not c.read_only or (kind != "create" and c.name in key)]
        required = {
            "create": [c.name for c in columns if c.required],
            "replace": [c.name for c in columns if c.name not in key and not (c.nullable or c.is_filled)],
            "update": [],
        }
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {c.name: self._given(c) for c in columns},
            "required": required[kind],
        }

    def _given(self, column: TableColumn) -> Schema:
        rules = Rules(_allowed(column), length_max=column.length_max)
        parameter = Parameter(column.name, column.type, nullable=column.nullable, rules=rules)
        return parameter_schema(parameter, big_as_text=self._big_as_text)

    def _path_parameter(self, column: TableColumn) -> dict[str, Any]:
        return {"name": column.name, "in": "path", "required": True, "schema": self._compared(column, "eq")}

    def _list_parameters(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        for column in self._table.columns:
            for operator in operators_of(column):
                plain = operator == "eq" and not _is_taken(column.name)
                name = column.name if plain else f"{column.name}__{operator}"
                entries.append({"name": name, "in": "query", "schema": self._compared(column, operator)})
        order = "columns, the first counting most, with - before one for its other direction: -a,b"
        entries.append({"name": "sort", "in": "query", "description": order, "schema": {"type": "string"}})
        return [*entries, *page_parameters(self._settings.page_rows, self._settings.page_rows_max)]

    def _compared(self, column: TableColumn, operator: str) -> Schema:
        if operator == "isnull":
            return {"type": "boolean"}
        type_ = _TEXT if operator == "like" else column.type
        rules = Rules() if operator == "like" else Rules(_allowed(column))
        parameter = Parameter(column.name, type_, rules=rules, is_list=operator == "in")
        return parameter_schema(parameter, big_as_text=self._big_as_text, in_query=True)


def _allowed(column: TableColumn) -> tuple[Literal, ...]:
    return tuple(Literal(value, quoted=True) for value in column.values)


def _is_taken(name: str) -> bool:
    """Names that a query string reads in another way."""
    return name in RESERVED or name.rpartition("__")[2] in OPERATORS
