"""The tables of a MariaDB or MySQL database: SQLAlchemy for the constraints, the catalogue for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import sqlalchemy
from sqlalchemy.dialects.mysql import ENUM

from sqlwright.engines.inference.catalogue import JSON
from sqlwright.engines.mysql.backend import MySQLLease
from sqlwright.engines.mysql.fetched import Row
from sqlwright.engines.mysql.types import column_type
from sqlwright.engines.reflection import Borrowed, ColumnFacts, SchemaReader, TableFacts, set_facts
from sqlwright.query import SqlType

_COLUMNS = """
SELECT table_name, column_name, column_type, data_type, is_nullable, column_default, extra, character_maximum_length
FROM information_schema.columns WHERE table_schema = database()
"""
_VIEWS = "SELECT table_name FROM information_schema.views WHERE table_schema = database()"
_FILLED = """
SELECT DISTINCT event_object_table FROM information_schema.triggers
WHERE event_object_schema = database() AND action_timing = 'BEFORE' AND event_manipulation = 'INSERT'
"""
_CHECKS = """
SELECT t.table_name, c.constraint_name, c.check_clause
FROM information_schema.check_constraints c JOIN information_schema.table_constraints t
  ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name
WHERE c.constraint_schema = database() AND t.constraint_type = 'CHECK'
"""
_COUNTED = frozenset({"char", "varchar", "binary", "varbinary"})
"""Types whose length is one that somebody gave them."""


async def reflect(lease: MySQLLease, reader: SchemaReader, names: Collection[str] | None) -> sqlalchemy.MetaData:
    session = lease.session
    lent = Borrowed(session, ignored=("commit", "rollback", "close", "ensure_closed", "autocommit", "ping"))
    metadata = await reader.read(lent, names, _spelled)
    views = {row[0] for row in (await session.fetch(_VIEWS)).rows}
    filled = {row[0] for row in (await session.fetch(_FILLED)).rows}
    checks: dict[str, list[tuple[str, str | None, tuple[str, ...]]]] = defaultdict(list)
    for table, name, text in (await session.fetch(_CHECKS)).rows:
        checks[table].append((name, text, ()))
    for name, found in metadata.tables.items():
        set_facts(found, TableFacts(name in views, name in filled, tuple(checks[name])))
        for index in found.indexes:
            index.name = sqlalchemy.quoted_name(_spelled(index.name or ""), quote=None)
        found.primary_key.name = "PRIMARY"  # so the server calls it when it tells of a value that is there twice
    for row in (await session.fetch(_COLUMNS)).rows:
        table, name = row[:2]
        if table not in metadata.tables:
            continue
        if name not in metadata.tables[table].columns:
            # A name with a line break, which SQLAlchemy cannot read: better no table than one without a column.
            metadata.remove(metadata.tables[table])
        else:
            # MariaDB's JSON is a text with a rule.
            rule = "json_valid(`" + name.replace("`", "``") + "`)"
            is_json = (name, rule) in {(found, text) for found, text, _ in checks[table]}
            column = metadata.tables[table].columns[name]
            set_facts(column, _column_facts(column, row, JSON if is_json else column_type(row[2])))
    return metadata


def _spelled(name: str) -> str:
    """SQLAlchemy reads SHOW CREATE TABLE and leaves backticks doubled."""
    return name.replace("``", "`")


def _column_facts(column: sqlalchemy.Column[Any], row: Row, type: SqlType | None) -> ColumnFacts:
    _, _, _, name, nullable, default, extra, length = row
    extra = extra.lower()
    has_default = default is not None and default.lower() != "null"  # MariaDB writes it out
    return ColumnFacts(
        type=type,
        nullable=nullable == "YES",
        default=default if has_default else None,
        is_filled=has_default or "auto_increment" in extra or "default_generated" in extra,
        read_only="generated" in extra.replace("default_generated", ""),
        values=tuple(column.type.enums) if isinstance(column.type, ENUM) else (),
        length_max=int(length) if length and name.lower() in _COUNTED else None,
    )
