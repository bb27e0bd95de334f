"""The tables of a SQLite database, read in one hop on the lease's own connection: one in memory has no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from typing import Any

import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from sqlwright.engines.reflection import ColumnFacts, TableFacts, native_error, read_tables, set_facts
from sqlwright.engines.sqlite.catalogue import Catalogue
from sqlwright.engines.sqlite.hop import Hop

_ROW_IDS = ("rowid", "_rowid_", "oid")
"""What a row's number is called, unless a column has the name."""
_GENERATED = (2, 3)
"""What `hidden` says of a virtual and a stored generated column."""


def reflect(raw: sqlite3.Connection, hop: Hop, names: Collection[str] | None) -> sqlalchemy.MetaData:
    # Only a statement that runs notices that another session has changed the schema.
    hop.patiently(raw.execute, "SELECT 1 FROM sqlite_master").close()
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: _Lent(raw), poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            metadata = read_tables(connection, names, broken=_broken_views(raw))
    except DBAPIError as error:
        raise native_error(error) from error
    kinds, triggered = _kinds(raw), _triggered(raw)
    catalogue = Catalogue(raw)
    for table in list(metadata.tables.values()):
        hop.check()
        kind = kinds.get(table.name, "table")
        if kind == "shadow":  # where a virtual table keeps its data
            metadata.remove(table)
            continue
        facts = TableFacts(kind == "view", reads_back=table.name.lower() in triggered, last_row=_last_row(table))
        set_facts(table, facts)
        _describe(raw, catalogue, table)
        _add_uniques(raw, table)
    return metadata


def _broken_views(raw: sqlite3.Connection) -> set[str]:
    """Views of something that is gone: SQLite refuses to tell their columns, and no other's with them."""
    with closing(raw.execute("SELECT name FROM sqlite_master WHERE type = 'view'")) as cursor:
        views = [name for (name,) in cursor]
    return {name for name in views if not _tells_columns(raw, name)}


def _tells_columns(raw: sqlite3.Connection, name: str) -> bool:
    try:
        raw.execute("SELECT 1 FROM pragma_table_xinfo(?)", (name,)).close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return False
    return True


class _Lent:
    """The connection without what would touch its transaction or leave something behind in its session."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def _nothing(self, *_: Any, **__: Any) -> None: ...

    commit = rollback = close = create_function = _nothing


def _kinds(raw: sqlite3.Connection) -> dict[str, str]:
    with closing(raw.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")) as cursor:
        return dict(cursor.fetchall())


def _triggered(raw: sqlite3.Connection) -> set[str]:
    """Tables with triggers, in lower case. Their own changes of a row come after its RETURNING."""
    with closing(raw.execute("SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'")) as cursor:
        return {name.lower() for (name,) in cursor}


def _last_row(table: sqlalchemy.Table) -> str:
    # Triggers that insert rows of their own leave last_insert_rowid() as it was.
    taken = {column.name.lower() for column in table.columns}
    return next((f"{name} = last_insert_rowid()" for name in _ROW_IDS if name not in taken), "")


def _describe(raw: sqlite3.Connection, catalogue: Catalogue, table: sqlalchemy.Table) -> None:
    known = catalogue.table(table.name)
    with closing(raw.execute("SELECT name, dflt_value, hidden FROM pragma_table_xinfo(?)", (table.name,))) as cursor:
        facts = {name: (default, hidden) for name, default, hidden in cursor}
    for column in table.columns:
        default, hidden = facts[column.name]
        told = known[column.name.lower()]
        set_facts(
            column,
            ColumnFacts(
                type=told.type,
                # SQLite alone lets a key be NULL; such a row could not be asked for.
                nullable=not (told.not_null or column.primary_key),
                default=None if default is None or default.lower() == "null" else _literal(default),
                is_filled=default is not None or told.is_row_id,
                read_only=hidden in _GENERATED,
            ),
        )


def _add_uniques(raw: sqlite3.Connection, table: sqlalchemy.Table) -> None:
    """SQLAlchemy finds them by the words of the CREATE TABLE, and not all."""
    listed_ones = (sqlalchemy.UniqueConstraint, sqlalchemy.PrimaryKeyConstraint)
    known = [set(one.columns.keys()) for one in table.constraints if isinstance(one, listed_ones)]
    known += [set(index.columns.keys()) for index in table.indexes]
    listed = "SELECT name FROM pragma_index_list(?) WHERE `unique` AND NOT partial"
    with closing(raw.execute(listed, (table.name,))) as cursor:
        names = [name for (name,) in cursor]
    for name in names:
        with closing(raw.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (name,))) as cursor:
            columns = [column for (column,) in cursor]
        if set(columns) not in known and all(column in table.columns for column in columns):
            table.append_constraint(sqlalchemy.UniqueConstraint(*(table.columns[column] for column in columns)))


def _literal(default: str) -> str:
    """As it can stand in an expression: a name in quotes is taken for a string in DEFAULT only."""
    if default[:1] != '"' or default[-1:] != '"':
        return default
    return "'" + default[1:-1].replace('""', '"').replace("'", "''") + "'"
