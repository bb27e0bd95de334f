"""What is told of a table: its paths, what can be done there, its columns and its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sqlwright.crud import Table
from sqlwright.http.service import TABLES_PATH

Methods = Mapping[str, tuple[str, ...]]
"""Kind of operation → the methods that do it, at one path."""
ROWS: Methods = {"list": ("GET", "HEAD"), "create": ("POST",)}
ITEM: Methods = {"get": ("GET", "HEAD"), "replace": ("PUT",), "update": ("PATCH",), "delete": ("DELETE",)}


def table_path(name: str) -> str:
    """Percent-encoded: tables have names that paths cannot."""
    return f"{TABLES_PATH}/{quote(name, safe='')}"


def row_path(table: Table) -> str | None:
    """With the key's columns in braces; None where rows have no path of their own."""
    if not methods_of(table, ITEM):
        return None
    return f"{table_path(table.name)}/{','.join(f'{{{name}}}' for name in table.primary_key)}"


def methods_of(table: Table, methods: Methods) -> tuple[str, ...]:
    return tuple(method for kind, names in methods.items() if kind in table.operations for method in names)


def describe_table(table: Table, root_path: str = "") -> dict[str, Any]:
    """As /tables shows it."""
    path, row = table_path(table.name), row_path(table)
    return {
        "name": table.name,
        "view": table.is_view,
        "url": root_path + path,
        "row_url": None if row is None else root_path + row,
        "methods": methods_of(table, ROWS),
        "row_methods": methods_of(table, ITEM),
        "operations": [kind for kind in (*ROWS, *ITEM) if kind in table.operations],
        "key": list(table.primary_key),
        "columns": [
            {
                "name": column.name,
                "type": str(column.type),
                "nullable": column.nullable,
                "default": column.default,
                "read_only": column.read_only,
            }
            for column in table.columns
        ],
    }
