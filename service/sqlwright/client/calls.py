"""What can be called, in a transaction or outside of one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sqlwright.client.names import Names
from sqlwright.client.parameters import plan_call
from sqlwright.client.source import Memory, Source
from sqlwright.contract import Contract
from sqlwright.errors import NoRow, RowMismatch, StatementFailed
from sqlwright.execute import Where, execute
from sqlwright.plan import Plan
from sqlwright.query import Access, Cardinality, Result
from sqlwright.registry import Registry
from sqlwright.rows import Into, Mapper, Row, mapper_of
from sqlwright.transaction import OpenTransaction

if TYPE_CHECKING:
    from sqlwright.client.stream import Stream
    from sqlwright.client.tables import TableCalls

T = TypeVar("T")

ITEMS_ON_LOOP_MAX = 2_000
"""Items of a bulk call up to here are made ready on the event loop, in some milliseconds; more in a thread."""
_ROWS = frozenset({Cardinality.MANY})
_ROW = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
_VALUE = frozenset({Cardinality.VALUE, Cardinality.INSERT})

Parameters = Mapping[str, Any] | Iterable[Mapping[str, Any]] | Any
"""Name → value; also a dataclass or a Pydantic model; an iterable of these for a bulk query."""


class Calls(ABC):
    """The calls that a `Client` and a `Transaction` share. All rows come, without pages."""

    def __init__(self, source: Source, memory: Memory) -> None:
        self._source = source
        self._memory = memory

    @property
    @abstractmethod
    def _where(self) -> Where: ...

    @property
    def q(self) -> Names:
        """Queries by attribute: `await db.q.artists.get(artist_id=1)` is `db.run("artists.get", {"artist_id": 1})`."""
        return Names(self)

    @property
    def registry(self) -> Registry:
        return self._source.registry

    async def run(
        self, name: str, parameters: Parameters = None, *, into: Into[Any] | None = None, timeout: float | None = None
    ) -> Any:
        """Call a query. What comes back follows from its cardinality: a list of rows; a row, or None where there is
        none; the value; the number of rows affected; None for a script.

        `into` makes each row (or the value, unless it is None) an object of a class, or calls a function with it.
        `timeout` is the statement's, in seconds, in place of the query's own.

        Raises `UnknownQuery`, `InvalidParameters` with all faults, `RowMismatch`, and every `DatabaseError`.
        """
        mapper = None if into is None else mapper_of(into)
        plan = await self._plan(name, parameters, timeout)
        contract = plan.contract
        if mapper is not None and contract.columns and contract.query.cardinality not in _VALUE:
            mapper.check(name, [column.name for column in contract.columns])  # before anything has happened
        try:
            result = await execute(self._where, plan)
        except NoRow:
            return None
        except StatementFailed:
            self._source.doubt(contract.query)
            raise
        return self._answer(plan, result, mapper)

    @overload
    async def rows(self, name: str, parameters: Parameters = None, *, timeout: float | None = None) -> list[Row]: ...

    @overload
    async def rows(
        self, name: str, parameters: Parameters = None, *, into: Into[T], timeout: float | None = None
    ) -> list[T]: ...

    async def rows(
        self, name: str, parameters: Parameters = None, *, into: Into[Any] | None = None, timeout: float | None = None
    ) -> list[Any]:
        """As `run`, for a query that gives rows. Raises TypeError for another one, and runs nothing."""
        self._require(name, _ROWS)
        found: list[Any] = await self.run(name, parameters, into=into, timeout=timeout)
        return found

    @overload
    async def row(self, name: str, parameters: Parameters = None, *, timeout: float | None = None) -> Row | None: ...

    @overload
    async def row(
        self, name: str, parameters: Parameters = None, *, into: Into[T], timeout: float | None = None
    ) -> T | None: ...

    async def row(
        self, name: str, parameters: Parameters = None, *, into: Into[Any] | None = None, timeout: float | None = None
    ) -> Any:
        """As `run`, for a query that gives one row or none. Raises TypeError for another one, and runs nothing."""
        self._require(name, _ROW)
        return await self.run(name, parameters, into=into, timeout=timeout)

    @overload
    def stream(
        self, name: str, parameters: Parameters = None, *, chunk_rows: int = 1000, timeout: float | None = None
    ) -> Stream[Row]: ...

    @overload
    def stream(
        self,
        name: str,
        parameters: Parameters = None,
        *,
        into: Into[T],
        chunk_rows: int = 1000,
        timeout: float | None = None,
    ) -> Stream[T]: ...

    def stream(
        self,
        name: str,
        parameters: Parameters = None,
        *,
        into: Into[Any] | None = None,
        chunk_rows: int = 1000,
        timeout: float | None = None,
    ) -> Stream[Any]:
        """`async for row in db.stream("tracks.all")`: rows of a query that reads, from a cursor of the database.

        At most `chunk_rows` are in memory at a time. The connection is given back at the end, and also when the loop is
        left early. `timeout` is that of each fetch, in seconds.
        """
        from sqlwright.client.stream import Stream

        if chunk_rows < 1:
            raise ValueError("chunk_rows is at least 1")
        self._require(name, _ROWS)
        if self.registry[name].access is not Access.READ:
            raise TypeError(f"{name} writes, so its rows cannot be streamed: take run")
        mapper = None if into is None else mapper_of(into)
        return Stream(self._where, lambda: self._plan(name, parameters, timeout), self._memory, mapper, chunk_rows)

    def table(self, name: str) -> TableCalls:
        """The rows of a table, by key: get list create update replace delete. Settings may name the `tables`."""
        from sqlwright.client.tables import TableCalls  # with pypika, for those who use it

        return TableCalls(self._memory, self._where, name)

    async def _plan(self, name: str, parameters: Any, timeout: float | None) -> Plan:
        source = self._source
        query = source.registry[name]
        contract = source.contracts.ready(query) or await source.contracts.get(query)
        items_max = source.settings.bulk_items_max

        def make() -> Plan:
            return plan_call(contract, parameters, items_max=items_max, timeout_seconds=timeout)

        is_long = query.cardinality is Cardinality.BULK and getattr(parameters, "__len__", int)() > ITEMS_ON_LOOP_MAX
        return await asyncio.to_thread(make) if is_long else make()

    def _require(self, name: str, cardinalities: frozenset[Cardinality]) -> None:
        cardinality = self.registry[name].cardinality
        if cardinality not in cardinalities:
            wanted = "rows" if cardinalities is _ROWS else "one row"
            otherwise = "rows" if cardinality in _ROWS else "row" if cardinality in _ROW else "run"
            raise TypeError(f"{name} does not give {wanted} (it is :{cardinality.value}): take {otherwise}")

    def _answer(self, plan: Plan, result: Result, mapper: Mapper | None) -> Any:
        contract = plan.contract
        cardinality = contract.query.cardinality
        if cardinality is Cardinality.SCRIPT:
            return None
        if cardinality in _ROWS or cardinality in _ROW:
            rows: list[Any] = self._memory.reader_of(contract).rows(result.json) if result.count else []
            if mapper is not None:
                rows = [self._mapped(mapper, contract, row) for row in rows]
            if cardinality in _ROWS:
                return rows
            return rows[0] if rows else None
        if cardinality in _VALUE:
            value = self._memory.reader_of(contract).value(result.json)
            return value if value is None or mapper is None else self._mapped(mapper, contract, value)
        return result.affected

    def _mapped(self, mapper: Mapper, contract: Contract, row: Any) -> Any:
        try:
            return mapper.row(contract.query.name, row)
        except RowMismatch as error:
            if contract.query.access is Access.WRITE and not isinstance(self._where, OpenTransaction):
                error.outcome = "applied"
            raise
