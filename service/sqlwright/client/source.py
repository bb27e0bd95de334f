"""What calls are made with: a running service is one, and so is what `connect` opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlwright.config import Settings
from sqlwright.contract import Contract, Contracts
from sqlwright.database import Database
from sqlwright.query import Query
from sqlwright.registry import Registry
from sqlwright.rows import RowReader

if TYPE_CHECKING:
    from sqlwright.crud import Tables

READERS_MAX = 1024
"""Readers of rows that are kept; beyond, all are made again as they are needed."""


class Source(Protocol):
    """Its parts are looked up at every call, so that any of them may be swapped."""

    settings: Settings

    @property
    def database(self) -> Database: ...

    @property
    def contracts(self) -> Contracts: ...

    @property
    def registry(self) -> Registry: ...

    def doubt(self, query: Query) -> None:
        """The database refused the statement of a query that it had described."""


class Memory:
    """What a client and its transactions make once: the readers of rows, and the tables."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._big_numbers_as_text = source.settings.big_numbers == "string"
        self._kept: dict[int, tuple[Contract, RowReader]] = {}
        self._tables: tuple[Database, Tables] | None = None

    @property
    def tables(self) -> Tables:
        """Those that the settings name; all where they name none: HTTP serves none then, but a program is trusted."""
        from sqlwright.crud import Tables  # with pypika, for those who use it

        database = self._source.database
        if self._tables is None or self._tables[0] is not database:
            settings = self._source.settings
            chosen = settings if settings.tables else settings.model_copy(update={"tables": ("*",)})
            self._tables = database, Tables(database, chosen)
        return self._tables[1]

    def reader_of(self, contract: Contract) -> RowReader:
        # By identity, which is cheaper than comparing; the contract is kept, so that no other one gets its number.
        kept = self._kept.get(id(contract))
        if kept is None:
            if len(self._kept) >= READERS_MAX:
                self._kept.clear()
            kept = contract, RowReader(contract.columns, big_numbers_as_text=self._big_numbers_as_text)
            self._kept[id(contract)] = kept
        return kept[1]
