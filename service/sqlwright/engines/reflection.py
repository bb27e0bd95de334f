"""Tables read with SQLAlchemy Core over a lease of ours: what every engine's `reflect` shares.

SQLAlchemy tells names, keys and constraints. What it does not tell exactly, or spells differently for each database,
an engine asks its catalogue for and leaves in `info`: `TableFacts` of a table and `ColumnFacts` of a column.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from sqlwright.query import SqlType

_KEY = "sqlwright"
_OURS = "sqlwright_"
"""Begins the names of our own bookkeeping tables, which `*` does not mean."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """`default` is SQL text. `is_filled`: the database has a value for who gives none; `read_only`: it alone has one.

    `values` are those of an enumeration; `length_max` is enforced by the database, in characters (bytes of bytes).
    """

    type: SqlType | None
    nullable: bool
    default: str | None = None
    is_filled: bool = False
    read_only: bool = False
    values: tuple[str, ...] = ()
    length_max: int | None = None
    comparable: bool = True
    """A filter can compare its values with one that is given."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    is_view: bool = False
    may_fill: bool = False
    """A trigger runs before rows are inserted and may give values to columns that must have one."""
    checks: tuple[tuple[str, str | None, tuple[str, ...]], ...] = ()
    """Rules by name: their text, or None and the columns that they are about."""
    reads_back: bool = False
    """Triggers may change a row after RETURNING has given it: what is stored has to be read."""
    last_row: str = ""
    """SQL: the condition that the row fulfils which the connection has inserted last."""


def set_facts(item: sqlalchemy.Table | sqlalchemy.Column[Any], facts: TableFacts | ColumnFacts) -> None:
    item.info[_KEY] = facts


def table_facts(table: sqlalchemy.Table) -> TableFacts:
    facts: TableFacts = table.info[_KEY]
    return facts


def column_facts(column: sqlalchemy.Column[Any]) -> ColumnFacts:
    facts: ColumnFacts = column.info[_KEY]
    return facts


def is_wanted(name: str, names: Collection[str] | None) -> bool:
    return name in names if names is not None else not name.lower().startswith(_OURS)


def read_tables(
    connection: sqlalchemy.Connection,
    names: Collection[str] | None,
    spelled: Callable[[str], str] = str,
    broken: Collection[str] = (),
) -> sqlalchemy.MetaData:
    """Tables and views of the default schema but those that are `broken`. Tables that they refer to are not followed.

    `spelled` gives a column's name as the database has it, where SQLAlchemy has not.
    """

    def wanted(name: str, _: object) -> bool:
        return is_wanted(name, names) and name not in broken

    metadata = sqlalchemy.MetaData()

    @sqlalchemy.event.listens_for(metadata, "column_reflect")
    def spell(_inspector: object, _table: object, column: dict[str, Any]) -> None:
        column["name"] = spelled(column["name"])

    with warnings.catch_warnings():
        # Types and indexes that SQLAlchemy does not know: the catalogue tells us their names.
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        metadata.reflect(connection, views=True, resolve_fks=False, only=wanted)
    return metadata


class SchemaReader:
    """`read_tables` over an asynchronous driver's connections, each lent for as long as that takes.

    One for each database, kept: SQLAlchemy's caches hold every dialect that they have met, with all the statements made
    for it, and a dialect for each reading would fill them up.
    """

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._lent: ContextVar[Any] = ContextVar("lent")
        self._engine: AsyncEngine | None = None

    async def read(
        self, connection: Any, names: Collection[str] | None, spelled: Callable[[str], str] = str
    ) -> sqlalchemy.MetaData:
        """`connection` is the driver's, `Borrowed`. Raises the driver's errors."""
        self._engine = engine = self._engine or self._make()
        token = self._lent.set(connection)
        try:
            async with engine.connect() as opened:
                return await opened.run_sync(_look_again, names, spelled)
        except BaseException as error:
            self._engine = None
            if isinstance(error, DBAPIError):
                raise native_error(error) from error
            raise
        finally:
            self._lent.reset(token)

    def _make(self) -> AsyncEngine:
        async def lend(*_: Any, **__: Any) -> Any:
            return self._lent.get()

        return create_async_engine(
            f"{self._driver}://", async_creator=lend, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )


def _look_again(
    connection: sqlalchemy.Connection, names: Collection[str] | None, spelled: Callable[[str], str]
) -> sqlalchemy.MetaData:
    connection.dialect.initialize(connection)  # the server may be another one than the last time
    return read_tables(connection, names, spelled)


def native_error(error: DBAPIError) -> BaseException:
    """The driver's own exception inside SQLAlchemy's."""
    cause: BaseException = error.orig or error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return cause


class Borrowed:
    """A driver's connection, lent to SQLAlchemy: it can run statements, and leaves session and transaction alone.

    A lease may stand in a transaction of ours, which a well-meant ROLLBACK of a pool would end.
    """

    def __init__(self, connection: Any, *, ignored: Collection[str]) -> None:
        self._connection = connection
        for name in ignored:
            setattr(self, name, _nothing_awaited)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def _nothing_awaited(*_: Any, **__: Any) -> None:
    """In place of an asynchronous method."""
