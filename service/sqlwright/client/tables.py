"""The rows of one table, by key: the facade of `/tables` from Python."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from sqlwright.client.calls import ITEMS_ON_LOOP_MAX
from sqlwright.client.parameters import put_json_value
from sqlwright.client.source import Memory
from sqlwright.crud import Operation, Resolution, Table, Tables, perform
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters, NoRow, RowMismatch
from sqlwright.execute import Where
from sqlwright.parameters import FAULTS_MAX
from sqlwright.query import Access
from sqlwright.rows import Into, Row, fields_of, is_plain, mapper_of
from sqlwright.transaction import OpenTransaction

T = TypeVar("T")

_OPERATOR_VALUES = frozenset({"isnull", "like"})
"""Operators whose value is not one of the column."""


class TableCalls:
    """`key` is the one value of the primary key, a tuple in the key's order, or a mapping of column → value. `values`
    is a mapping, a dataclass, or a Pydantic model, of which only what was set is taken.

    Raises `UnknownTable`, `InvalidParameters` for a column or a value that is wrong, and every `DatabaseError`, with
    the columns concerned in its `faults`.
    """

    def __init__(self, memory: Memory, where: Where, name: str) -> None:
        self._memory = memory
        self._where = where
        self._name = name

    @overload
    async def get(self, key: Any) -> Row | None: ...

    @overload
    async def get(self, key: Any, *, into: Into[T]) -> T | None: ...

    async def get(self, key: Any, *, into: Into[Any] | None = None) -> Any:
        """The row, None where there is none."""
        tables, table = await self._table()
        try:
            return await self._row(await tables.get(table.name, _key(table, key)), into)
        except NoRow:
            return None

    @overload
    async def list(
        self, filters: Mapping[str, Any] | None = None, *, sort: str | Sequence[str] = (), limit: int | None = None
    ) -> list[Row]: ...

    @overload
    async def list(
        self,
        filters: Mapping[str, Any] | None = None,
        *,
        into: Into[T],
        sort: str | Sequence[str] = (),
        limit: int | None = None,
    ) -> list[T]: ...

    async def list(
        self,
        filters: Mapping[str, Any] | None = None,
        *,
        into: Into[Any] | None = None,
        sort: str | Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Any]:
        """Every row that fits, or the first `limit` of them.

        `filters` are `{"column": value}` and `{"column__op": value}` with ne lt lte gt gte like in isnull. `sort` is a
        column, or several; `-` before a name turns its order round.
        """
        tables, table = await self._table()
        faults: list[ParameterFault] = []
        values = dict(filters or {})
        for name in list(values):
            _put_filter(table, values, name, faults)
        _refuse(faults)
        order = (sort,) if isinstance(sort, str) else tuple(sort)
        operation = await tables.list(table.name, values, sort=order, limit=limit, paged=False)
        rows: Any = await self._rows(operation, into)
        return rows  # type: ignore[no-any-return]  # a list

    @overload
    async def create(self, values: Any) -> Row: ...

    @overload
    async def create(self, values: Any, *, into: Into[T]) -> T: ...

    async def create(self, values: Any, *, into: Into[Any] | None = None) -> Any:
        """The new row, with what the database filled in."""
        tables, table = await self._table()
        return await self._row(await tables.create(table.name, _values(table, values)), into)

    async def create_many(
        self, rows: Iterable[Any], *, duplicates: Resolution | None = None, on: Sequence[str] = ()
    ) -> int:
        """Many new rows, all or nothing: how many. `duplicates` says what becomes of a row whose key is there already:
        "merge" gives that one the new row's values, "ignore" leaves it as it is. The key is the primary one, or the
        unique one of the columns `on`.

        An error that is about one row has its `index`.
        """
        tables, table = await self._table()
        listed = list(rows)
        if len(listed) > ITEMS_ON_LOOP_MAX:
            values = await asyncio.to_thread(_values_of_many, table, listed)
        else:
            values = _values_of_many(table, listed)
        operation = await tables.create_many(table.name, values, resolution=duplicates, on=on)
        return (await perform(self._where, operation))[1].affected

    @overload
    async def update(self, key: Any, values: Any) -> Row: ...

    @overload
    async def update(self, key: Any, values: Any, *, into: Into[T]) -> T: ...

    async def update(self, key: Any, values: Any, *, into: Into[Any] | None = None) -> Any:
        """The row after only these values were changed. Raises `NoRow` where there is none."""
        tables, table = await self._table()
        return await self._row(await tables.update(table.name, _key(table, key), _values(table, values)), into)

    @overload
    async def replace(self, key: Any, values: Any) -> Row: ...

    @overload
    async def replace(self, key: Any, values: Any, *, into: Into[T]) -> T: ...

    async def replace(self, key: Any, values: Any, *, into: Into[Any] | None = None) -> Any:
        """The row after all of it was replaced: what is not in `values` gets its default. Raises `NoRow`."""
        tables, table = await self._table()
        return await self._row(await tables.replace(table.name, _key(table, key), _values(table, values)), into)

    async def delete(self, key: Any) -> bool:
        """True when a row was deleted, False where there was none."""
        tables, table = await self._table()
        try:
            await perform(self._where, await tables.delete(table.name, _key(table, key)))
        except NoRow:
            return False
        return True

    async def _table(self) -> tuple[Tables, Table]:
        tables = self._memory.tables
        return tables, await tables.table(self._name)

    async def _row(self, operation: Operation, into: Into[Any] | None) -> Any:
        return (await self._rows(operation, into))[0]

    async def _rows(self, operation: Operation, into: Into[Any] | None) -> Any:
        mapper = None if into is None else mapper_of(into)
        contract = operation.plans[-1].contract
        if mapper is not None and contract.columns:
            mapper.check(contract.query.name, [column.name for column in contract.columns])
        plan, result = await perform(self._where, operation)
        rows: Any = self._memory.reader_of(plan.contract).rows(result.json) if result.count else []
        if mapper is None:
            return rows
        try:
            return [mapper.row(plan.contract.query.name, row) for row in rows]
        except RowMismatch as error:
            writes = any(each.access is Access.WRITE for each in operation.plans)
            if writes and not isinstance(self._where, OpenTransaction):
                error.outcome = "applied"
            raise


def _refuse(faults: Sequence[ParameterFault]) -> None:
    if faults:
        raise InvalidParameters(faults)


def _values(table: Table, values: Any) -> dict[str, Any]:
    """JSON values by column; names that are no column are left for the facade to refuse."""
    found = fields_of(values)
    if found is None:
        raise TypeError(f"the values of {table.name} are a mapping of column → value, not {type(values).__name__}")
    faults: list[ParameterFault] = []
    for name in list(found):
        if name in table.by_name:
            put_json_value(found, name, table.by_name[name].type, faults)
    _refuse(faults)
    return found


def _values_of_many(table: Table, rows: Sequence[Any]) -> list[object]:
    found: list[object] = []
    faults: list[ParameterFault] = []
    for index, row in enumerate(rows):
        try:
            found.append(row if is_plain(row) else _values(table, row))
        except InvalidParameters as error:
            faults += [replace(fault, index=index) for fault in error.faults]
            if len(faults) >= FAULTS_MAX:
                break
    _refuse(faults[:FAULTS_MAX])
    return found


def _key(table: Table, key: Any) -> Any:
    if isinstance(key, Mapping):
        return _values(table, key)
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) != len(table.primary_key):
        return parts  # the facade says what it takes
    values = dict(zip(table.primary_key, parts, strict=True))
    return _values(table, values)


def _put_filter(table: Table, values: dict[str, Any], name: str, faults: list[ParameterFault]) -> None:
    column = table.by_name.get(name)
    operator = ""
    if column is None or "__" in name:
        head, _, after = name.rpartition("__")
        if head in table.by_name:
            column, operator = table.by_name[head], after
    if column is not None and operator not in _OPERATOR_VALUES:
        put_json_value(values, name, column.type, faults, is_list=operator == "in")
