"""What the reading of statements asks about a database's tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlwright.query import Kind, SqlType
from sqlwright.sql.dialect import Dialect

TEXT = SqlType("text", Kind.TEXT)
JSON = SqlType("json", Kind.JSON)


@dataclass(frozen=True, slots=True)
class TableColumn:
    name: str
    type: SqlType | None
    not_null: bool
    is_listed: bool
    """An INSERT without a list of columns gives it a value."""
    is_row_id: bool = False
    """It is the row's own number: SQLite finds one where none is given."""


class Catalogue(Protocol):
    """Each engine has one. Its answers are there at once: nothing here waits for a database."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def integer(self) -> SqlType:
        """What counts and limits are."""

    @property
    def json_functions(self) -> Collection[str]:
        """Functions whose result is JSON."""

    def table(self, name: str) -> Mapping[str, TableColumn]:
        """Columns of a table or view by name in lower case, in their order; empty where there is no such table."""

    def names(self) -> Iterable[str]:
        """Tables and views."""

    def declared_type(self, declared: str) -> SqlType | None:
        """A type as a column's declaration or a CAST writes it; None where it tells nothing about the values."""
