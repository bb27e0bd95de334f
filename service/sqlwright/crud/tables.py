"""The facade: an operation on a table, validated and planned. Nothing here runs it; `perform` does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from sqlwright.config import Settings
from sqlwright.contract import Contract
from sqlwright.crud.body import check_key, collect, read_columns
from sqlwright.crud.conflict import Resolution, conflict_of, not_a_key
from sqlwright.crud.filters import Asked, read_query_string, read_values
from sqlwright.crud.keys import Key, read_key
from sqlwright.crud.many import Rows, create_many
from sqlwright.crud.operation import Operation, ReadBack, key_of
from sqlwright.crud.prepared import Prepared, PreparedStatements
from sqlwright.crud.schema import Schema
from sqlwright.crud.statements import Shape, replaceable
from sqlwright.crud.table import Kind, Table
from sqlwright.database import Database
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters, MethodNotAllowed, QueryInvalid
from sqlwright.parameters import FAULTS_MAX, Call, Validator
from sqlwright.plan import Plan, make_plan
from sqlwright.query import Kind as QueryKind
from sqlwright.query import Window

_Build = Callable[[Table], Awaitable[Operation]]


class Tables:
    """The tables that the settings allow. Every operation raises `UnknownTable`, `InvalidParameters` with all faults of
    the call, `MethodNotAllowed` for a view or a table without a key, and what a lease raises when the database has to
    be asked and is away.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._dialect = database.engine.dialect
        self._items_max = settings.bulk_items_max
        self._statements = PreparedStatements(database, settings)
        self._schema = Schema(database, settings.tables, self._statements.forget)

    async def names(self) -> list[str]:
        """Tables and views that are allowed and exist."""
        return list(await self._schema.tables())

    async def missing(self) -> list[str]:
        """Names in the settings that no table has."""
        return await self._schema.missing()

    def doubt(self) -> None:
        """Look again before the next call: the database may be another one now."""
        self._schema.doubt()
        self._statements.forget_all()

    async def table(self, name: str) -> Table:
        return await self._schema.table(name)

    async def list_from_query_string(self, name: str, raw: bytes) -> Operation:
        """`?column=v&column__op=v&sort=-a,b&limit=10&next=…`"""

        async def build(table: Table) -> Operation:
            asked = read_query_string(table, raw)
            return await self._list(table, asked, lambda v: v.from_query_string(asked.rest), paged=True)

        return await self._build(name, "list", build)

    async def stream_from_query_string(self, name: str, raw: bytes) -> Operation:
        """The same for rows that come as one answer: all of them, or as many as the window of its plan says."""

        async def build(table: Table) -> Operation:
            asked = read_query_string(table, raw)
            return await self._list(table, asked, lambda v: v.streamed().from_query_string(asked.rest), paged=False)

        return await self._build(name, "list", build)

    async def list(
        self,
        name: str,
        filters: Mapping[str, object] | None = None,
        *,
        sort: Sequence[str] = (),
        limit: int | None = None,
        next: str | None = None,
        paged: bool = True,
    ) -> Operation:
        """Filters are JSON values. `paged` False gives every row, or the first `limit`."""

        async def build(table: Table) -> Operation:
            asked = read_values(table, filters or {}, sort)
            page = {name: value for name, value in (("limit", limit), ("next", next)) if value is not None}
            return await self._list(table, asked, lambda v: v.from_json({**asked.values, **page}), paged=paged)

        return await self._build(name, "list", build)

    async def get(self, name: str, key: Key) -> Operation:
        async def build(table: Table) -> Operation:
            return self._operation(table, "get", (), await self._get(table, key))

        return await self._build(name, "get", build)

    async def create(
        self, name: str, values: object, *, resolution: Resolution | None = None, on: Sequence[str] = ()
    ) -> Operation:
        """A row with the values that were sent; the others are the database's. `resolution` is what is done where
        another row has its key: the primary key, or the unique one of the columns `on`."""

        async def build(table: Table) -> Operation:
            conflict = conflict_of(table, resolution, on)
            given, faults = read_columns(table, values)
            sent = tuple(name for name in table.by_name if name in given)
            prepared = await self._prepared(table, "create", Shape(sent, conflict=conflict))
            bound = collect(faults, lambda: prepared.body.from_json(given).values)
            if faults:
                raise InvalidParameters(faults[:FAULTS_MAX])
            operation = self._operation(table, "create", sent, _plan(prepared.contract, bound))
            another_key = self._dialect.another_key if conflict is not None else ""
            read_back = await self._read_back(table)
            return replace(operation, read_back=read_back, conflict=conflict, another_key=another_key)

        return await self._build(name, "create", build)

    async def create_many(
        self, name: str, rows: Rows, *, resolution: Resolution | None = None, on: Sequence[str] = ()
    ) -> Operation:
        """Many rows, all or nothing, in their order. Where rows give values for other columns than the one before, a
        statement of its own begins; but for columns that have no default it makes no difference."""

        async def build(table: Table) -> Operation:
            conflict = conflict_of(table, resolution, on)
            made = await create_many(table, self._prepared, rows, conflict, self._items_max)
            # ON DUPLICATE KEY counts a change twice, and what it leaves as it is.
            made = replace(made, doubt=self._doubt(table))
            if conflict is None or self._dialect.on_conflict:
                return made
            return replace(made, another_key=self._dialect.another_key, affected=len(rows))

        return await self._build(name, "create", build)

    async def update(self, name: str, key: Key, values: object) -> Operation:
        """Only what was sent is changed; nothing sent gives the row as it is."""
        return await self._build(name, "update", lambda table: self._change(table, "update", key, values))

    async def replace(self, name: str, key: Key, values: object) -> Operation:
        """What was not sent becomes what it would be in a new row."""
        return await self._build(name, "replace", lambda table: self._change(table, "replace", key, values))

    async def delete(self, name: str, key: Key) -> Operation:
        async def build(table: Table) -> Operation:
            prepared = await self._statements.get(table, "delete", Shape())
            bound = read_key(table, key, prepared.key)
            return self._operation(table, "delete", (), _plan(prepared.contract, bound))

        return await self._build(name, "delete", build)

    # --- how they are made ------------------------------------------------------------------------------------------

    async def _build(self, name: str, kind: Kind, build: _Build) -> Operation:
        """Build an operation; once more when the table turns out to have changed since it was reflected."""
        table = await self._schema.table(name)
        try:
            return await _allowed(table, kind, build)
        except (QueryInvalid, InvalidParameters) as error:
            fresh = await self._schema.fresh(table) if _speaks_of_change(error) else None
            if fresh is None:
                raise
        return await _allowed(fresh, kind, build)

    async def _prepared(self, table: Table, kind: str, shape: Shape) -> Prepared:
        """Raises `InvalidParameters` where the database does not take the key of a conflict: it holds for some rows
        only, for one."""
        try:
            return await self._statements.get(table, kind, shape)
        except QueryInvalid:
            if shape.conflict is None or await self._schema.fresh(table) is not None:
                raise
            raise InvalidParameters([not_a_key(table, shape.conflict.columns)]) from None

    async def _get(self, table: Table, key: Key) -> Plan:
        prepared = await self._statements.get(table, "get", Shape())
        return _plan(prepared.contract, read_key(table, key, prepared.key))

    async def _read_back(self, table: Table) -> ReadBack | None:
        if not table.reads_back or not (table.primary_key or table.last_row):
            return None
        prepared = await self._statements.get(table, "get" if table.primary_key else "last", Shape())

        def plan(body: bytes) -> Plan | None:
            try:
                return _plan(prepared.contract, read_key(table, key_of(table, body), prepared.key))
            except InvalidParameters:
                return None  # a key that is not of its column's type

        return plan

    async def _list(self, table: Table, asked: Asked, read: Callable[[Validator], Call], *, paged: bool) -> Operation:
        shape = Shape(filters=tuple(asked.filters), orders=tuple(asked.orders))
        try:
            prepared = await self._statements.get(table, "list", shape)
        except QueryInvalid:
            if shape == Shape() or await self._schema.fresh(table) is not None:
                raise
            # The table is as it was, so it is a type that the database cannot compare or sort.
            raise InvalidParameters([*asked.faults, *_incomparable(table, asked)]) from None
        faults = asked.faults
        try:
            call = read(prepared.body)
        except InvalidParameters as error:
            raise InvalidParameters([*faults, *error.faults][:FAULTS_MAX]) from None
        if faults:
            raise InvalidParameters(faults[:FAULTS_MAX])
        plan = make_plan(prepared.contract, call, paged=paged or call.next is not None)
        if plan.window is None and call.limit is not None:
            plan = replace(plan, window=Window(call.limit))
        return self._operation(table, "list", (), plan)

    async def _change(self, table: Table, kind: Literal["update", "replace"], key: Key, values: object) -> Operation:
        given, faults = read_columns(table, values, fixed=table.primary_key)
        own = {name: given.pop(name) for name in table.primary_key if name in given}
        sent = tuple(name for name in table.by_name if name in given)
        writes = bool(sent) or (kind == "replace" and bool(replaceable(table)))
        prepared = await self._statements.get(table, kind if writes else "get", Shape(sent))
        place = collect(faults, lambda: read_key(table, key, prepared.key))
        check_key(table, own, place, prepared.key_columns, faults)
        bound = collect(faults, lambda: prepared.body.from_json(given).values)
        if faults:
            raise InvalidParameters(faults[:FAULTS_MAX])
        plans = [_plan(prepared.contract, (*bound, *place))]
        if writes and (table.reads_back or "update" not in self._dialect.returning):
            plans.append(await self._get(table, key))
        return self._operation(table, kind, sent, *plans)

    def _operation(self, table: Table, kind: Kind, sent: Sequence[str], *plans: Plan) -> Operation:
        return Operation(table, kind, plans, tuple(sent), self._doubt(table))

    def _doubt(self, table: Table) -> Callable[[], None]:
        def doubt() -> None:
            self._schema.doubt()
            self._statements.forget({table.name})

        return doubt


async def _allowed(table: Table, kind: Kind, build: _Build) -> Operation:
    if kind not in table.operations:
        why = "is a view" if table.is_view else "has no primary key"
        raise MethodNotAllowed(f"{table.name} {why}: {kind} cannot be done with it", ())
    return await build(table)


def _speaks_of_change(error: QueryInvalid | InvalidParameters) -> bool:
    return isinstance(error, QueryInvalid) or any(fault.code == "unknown" for fault in error.faults)


def _incomparable(table: Table, asked: Asked) -> Sequence[ParameterFault]:
    detail = "the database cannot compare the values of this column that way"
    filters = [(one.parameter, one.column) for one in asked.filters]
    names = filters + [("sort", order.column) for order in asked.orders]
    odd = [parameter for parameter, name in names if table.by_name[name].type.kind is QueryKind.OTHER]
    return [ParameterFault("query", name, "operator", detail) for name in odd or [name for name, _ in names]]


def _plan(contract: Contract, values: Sequence[object]) -> Plan:
    return make_plan(contract, Call(tuple(values)), paged=False)
