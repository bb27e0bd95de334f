"""A contract: a query as the connected database understands it, described once and kept until the query changes.

The database may be down when the service starts, or refuse a statement today and take it tomorrow; so contracts are
made when they are first needed, one description at a time per query, and a refusal is asked again after a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.engines.base import Engine, Program
from sqlwright.errors import QueryInvalid
from sqlwright.parameters import Validator, compile_validator
from sqlwright.query import Cardinality, Column, Description, Kind, Parameter, Query, SqlType

REFUSAL_KEPT_SECONDS = 1.0
"""How long a refusal of the database is believed before it is asked again."""

UNTYPED = SqlType("", Kind.ANY)


@dataclass(frozen=True, slots=True)
class Contract:
    """What a call of a query needs: nothing here is looked up again while the query stays as it is."""

    query: Query
    parameters: tuple[Parameter, ...]
    """With their types filled in: declared, else told by the database, else Kind.ANY."""
    columns: tuple[Column, ...]
    program: Program
    validator: Validator
    timeout_seconds: float
    page_rows: int
    page_rows_max: int
    page_bytes_max: int
    together: bool = False
    """Calls that wait for each other may run as one statement."""


class Contracts:
    """Contracts by query name, bounded by the registry they are asked for."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._ready: dict[str, Contract] = {}
        self._refused: dict[str, tuple[Query, QueryInvalid, float]] = {}
        self._describing: dict[str, tuple[Query, asyncio.Task[Contract]]] = {}

    def ready(self, query: Query) -> Contract | None:
        """The contract if it is already there: a dictionary access."""
        contract = self._ready.get(query.name)
        return contract if contract is not None and contract.query is query else None

    async def get(self, query: Query) -> Contract:
        """The contract, described now if need be.

        Raises `QueryInvalid` when the database refuses the statement, and what a lease raises when it is away.
        """
        contract = self.ready(query)
        if contract is not None:
            return contract
        refused = self._refused.get(query.name)
        if refused is not None and refused[0] is query and time.monotonic() - refused[2] < REFUSAL_KEPT_SECONDS:
            raise refused[1].with_traceback(None)  # else each of its callers would be kept by it, one after the other
        # Shielded: many calls may wait for one description, and one that leaves must not take it from the others.
        # The task has no name here: its error would lead to it by the frame of this function, and keep all of it.
        return await asyncio.shield(self._begin(query))

    def _begin(self, query: Query) -> asyncio.Task[Contract]:
        described, task = self._describing.get(query.name, (None, None))
        if task is None or described is not query:  # one for the version before a reload does not count
            task = asyncio.get_running_loop().create_task(self._describe(query))
            self._describing[query.name] = (query, task)
            task.add_done_callback(lambda done: self._described(query.name, done))
        return task

    def _described(self, name: str, task: asyncio.Task[Contract]) -> None:
        if self._describing.get(name, (None, None))[1] is task:
            del self._describing[name]
        if not task.cancelled():
            task.exception()  # seen, also when every caller has left meanwhile

    async def _describe(self, query: Query) -> Contract:
        try:
            contract = await self._make(query)
        except QueryInvalid as error:
            self._refused[query.name] = (query, error, time.monotonic())
            self._ready.pop(query.name, None)
            raise
        self._refused.pop(query.name, None)
        self._ready[query.name] = contract
        return contract

    async def _make(self, query: Query) -> Contract:
        description = Description({})
        if query.cardinality is not Cardinality.SCRIPT:
            async with self._database.describing() as lease:
                description = await self._database.engine.describe(lease, query)
        return make_contract(query, description, self._database.engine, self._settings)

    @property
    def invalid(self) -> Mapping[str, QueryInvalid]:
        """Queries that the database refuses, by name."""
        return {name: error for name, (_, error, _) in self._refused.items()}

    def pending(self, queries: Iterable[Query]) -> int:
        """How many queries are neither described nor refused yet."""
        return sum(1 for q in queries if self.ready(q) is None and self._refused.get(q.name, (None,))[0] is not q)

    def forget(self, query: Query) -> None:
        """Describe anew at the next call: the database said something that the contract does not expect."""
        self._ready.pop(query.name, None)

    def forget_all(self) -> None:
        """The database may be another one now: a restored copy, a new primary."""
        self._ready.clear()
        self._refused.clear()

    def drop(self, query: Query) -> None:
        """Keep nothing of it."""
        self._ready.pop(query.name, None)
        self._refused.pop(query.name, None)

    def keep_only(self, queries: Iterable[Query]) -> None:
        """Drop what a new registry no longer has."""
        names = {query.name for query in queries}
        for name in [name for name in self._ready if name not in names]:
            del self._ready[name]
        for name in [name for name in self._refused if name not in names]:
            del self._refused[name]


def make_contract(query: Query, description: Description, engine: Engine, settings: Settings) -> Contract:
    """Pure: what the file and the database say about a query, put together."""
    parameters = tuple(
        replace(parameter, type=description.types.get(parameter.name) or parameter.type or UNTYPED)
        for parameter in query.parameters
    )
    page_rows = query.page_rows or settings.page_rows
    page_rows_max = query.page_rows_max or max(settings.page_rows_max, page_rows)
    program = engine.compile(query, description)
    return Contract(
        query=query,
        parameters=parameters,
        columns=description.columns,
        program=program,
        validator=compile_validator(
            query,
            parameters,
            engine.binder,
            page_rows_max=page_rows_max,
            big_numbers_as_text=settings.big_numbers == "string",
        ),
        timeout_seconds=query.timeout_seconds or settings.statement_timeout_seconds,
        page_rows=min(page_rows, page_rows_max),
        page_rows_max=page_rows_max,
        page_bytes_max=settings.page_bytes_max,
        together=bool(program.many) and query.batch and query.isolation is None,
    )
