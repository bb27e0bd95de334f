"""Statements of tables, described and kept: the rarest used go when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlwright.config import Settings
from sqlwright.contract import Contract, Contracts
from sqlwright.crud.statements import Shape, Statements
from sqlwright.crud.table import ONE_ROW, Table
from sqlwright.database import Database
from sqlwright.parameters import Validator, compile_validator
from sqlwright.query import Parameter, Query


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that is ready. The values of `body` come before those of `key`."""

    contract: Contract
    body: Validator
    """Of the columns given, or of the filters."""
    key: Validator
    key_columns: Mapping[str, Validator]
    """A validator for each column of the key alone."""


@dataclass(slots=True, eq=False)
class _Entry:
    table: Table
    query: Query
    prepared: Prepared | None = None


class PreparedStatements:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._engine = database.engine
        self._settings = settings
        self._contracts = Contracts(database, settings)
        self._statements = Statements(database.engine.dialect)
        self._entries: OrderedDict[tuple[str, str, Shape], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, table: Table, kind: str, shape: Shape) -> Prepared:
        """Raises `QueryInvalid` when the database refuses the statement: the table is no longer as it was."""
        place = (table.name, kind, shape)
        entry = self._entries.get(place)
        if entry is None or entry.table is not table:
            # Here before it is described, so that all who ask meanwhile wait for one description.
            self._drop(place)
            entry = self._entries[place] = _Entry(table, self._statements.query(table, kind, shape))
            while len(self._entries) > self._settings.table_statements_max:
                self._drop(next(iter(self._entries)))
        else:
            self._entries.move_to_end(place)
        if entry.prepared is None:
            try:
                contract = await self._contracts.get(entry.query)
            except BaseException:
                if self._entries.get(place) is entry:
                    self._drop(place)
                raise
            entry.prepared = self._prepared(table, kind, contract)
            if self._entries.get(place) is not entry:
                self._contracts.drop(entry.query)  # it went while it was described
        return entry.prepared

    def forget_all(self) -> None:
        for place in list(self._entries):
            self._drop(place)

    def forget(self, names: Collection[str]) -> None:
        """Drop the statements of these tables."""
        for place in [place for place in self._entries if place[0] in names]:
            self._drop(place)

    def _drop(self, place: tuple[str, str, Shape]) -> None:
        entry = self._entries.pop(place, None)
        if entry is not None:
            self._contracts.drop(entry.query)

    def _prepared(self, table: Table, kind: str, contract: Contract) -> Prepared:
        count = len(contract.parameters) - (len(table.primary_key) if kind in ONE_ROW else 0)
        body, key = contract.parameters[:count], contract.parameters[count:]
        return Prepared(
            contract,
            self._validator(contract, body) if key else contract.validator,
            self._validator(contract, key),
            {parameter.name: self._validator(contract, (parameter,)) for parameter in key},
        )

    def _validator(self, contract: Contract, parameters: Sequence[Parameter]) -> Validator:
        return compile_validator(
            contract.query,
            parameters,
            self._engine.binder,
            page_rows_max=contract.page_rows_max,
            big_numbers_as_text=self._settings.big_numbers == "string",
        )
