"""What a SQLite database knows of its tables, and what a declared type means here."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing

from sqlwright.engines.inference.catalogue import TableColumn
from sqlwright.query import Kind, SqlType
from sqlwright.sql.dialect import SQLITE

_SCALE = re.compile(r"\(\s*\d+\s*,\s*(\d+)\s*\)")
_UNKNOWN = frozenset({"", "any", "num"})
INTEGER = SqlType("integer", Kind.INT8)
_JSON_FUNCTIONS = (
    "json", "json_array", "json_object", "json_group_array", "json_group_object", "json_set", "json_insert",
    "json_replace", "json_remove", "json_patch",
)  # fmt: skip
_ROW_ID_NAMES = ("rowid", "oid", "_rowid_")


class Catalogue:
    """Asked on a session's thread; remembers what it has looked up."""

    dialect = SQLITE
    integer = INTEGER
    json_functions = _JSON_FUNCTIONS

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._tables: dict[str, Mapping[str, TableColumn]] = {}

    def table(self, name: str) -> Mapping[str, TableColumn]:
        """Columns of a table or view by name in lower case, in their order; empty where there is no such table."""
        name = name.lower()
        if name not in self._tables:
            self._tables[name] = self._look_up(name)
        return self._tables[name]

    def names(self) -> list[str]:
        """Tables and views."""
        with closing(self._raw.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")) as cursor:
            return [name for (name,) in cursor]

    def declared_type(self, declared: str) -> SqlType | None:
        return declared_type(declared)

    def _look_up(self, table: str) -> dict[str, TableColumn]:
        facts = 'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)'
        with closing(self._raw.execute(facts, (table,))) as cursor:
            rows = cursor.fetchall()
        keys = [name for name, _, _, pk, _ in rows if pk]
        columns = {}
        for name, declared, not_null, pk, hidden in rows:
            is_row_id = bool(pk) and len(keys) == 1 and declared.lower() == "integer" and self._has_row_id_key(table)
            is_not_null = bool(not_null) or is_row_id
            columns[name.lower()] = TableColumn(name, declared_type(declared), is_not_null, not hidden, is_row_id)
        if rows:
            for name in _ROW_ID_NAMES:
                columns.setdefault(name, TableColumn(name, INTEGER, False, False))
        return columns

    def _has_row_id_key(self, table: str) -> bool:
        """INTEGER PRIMARY KEY is the row's own number; INTEGER PRIMARY KEY DESC is a column that takes NULL."""
        with closing(self._raw.execute("SELECT origin FROM pragma_index_list(?)", (table,))) as cursor:
            return all(origin != "pk" for (origin,) in cursor)


def declared_type(declared: str) -> SqlType | None:
    """A declared type; None where it tells nothing about the values. SQLite takes any words as a type."""
    name = " ".join(declared.lower().split())
    if name in _UNKNOWN:
        return None
    kind = SQLITE.kind(name)
    base = name.split("(")[0].strip()
    if kind is Kind.ANY or (kind is Kind.NUMERIC and base not in SQLITE.types):
        # Words that SQLite does not know, like `enum`, have numeric affinity, yet what they hold may be text.
        return None
    scale = _SCALE.search(name) if kind is Kind.NUMERIC else None
    return SqlType(name, kind, scale=int(scale.group(1)) if scale else None)
