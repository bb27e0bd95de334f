"""For the tests of the PostgreSQL engine: queries without a loader, and calls without the floors above."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.query import Access, Cardinality, Parameter, Query, Result, SourceFile, SqlType, Window
from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.sql.lexer import lex
from sqlwright.sql.statement import build

READ, WRITE = Access.READ, Access.WRITE
MANY, ONE, VALUE, EXEC = Cardinality.MANY, Cardinality.ONE, Cardinality.VALUE, Cardinality.EXEC
RETURNING, BULK, SCRIPT = Cardinality.RETURNING, Cardinality.BULK, Cardinality.SCRIPT


def make_query(
    sql: str, cardinality: Cardinality = MANY, access: Access = READ, lists: Sequence[str] = (), **declared: SqlType
) -> Query:
    """A query without a loader: every `:name` in the order in which it first stands in the text."""
    source = SourceFile("test.sql", sql)
    tokens = lex(sql, POSTGRESQL).tokens
    statement, _ = build(sql, [token for token in tokens if token.value != ";"])
    names: dict[str, bool] = {}
    for part in statement.parts:
        if hasattr(part, "name"):
            names[part.name] = names.get(part.name, False) or part.is_list
    parameters = tuple(Parameter(name, declared.get(name), is_list=is_list) for name, is_list in names.items())
    return Query("test", cardinality, access, statement, parameters, source, 0)


class Client:
    """Describe, compile, bind and run, as the floors above do."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url = url
        self.database = Database(Settings(database_url=url, **settings))
        self.engine = self.database.engine

    async def describe(self, query: Query) -> Any:
        async with self.database.lease(READ) as lease:
            return await self.engine.describe(lease, query)

    async def result(self, query: Query, *values: Any, window: Window | None = None, seconds: float = 5.0) -> Result:
        description = await self.describe(query)
        program = self.engine.compile(query, description)
        bound = [
            self.engine.bind(parameter, description.types[parameter.name], value)
            for parameter, value in zip(query.parameters, values, strict=True)
        ]
        async with self.database.lease(query.access) as lease:
            return await self.engine.run(lease, program, bound, window=window, timeout_seconds=seconds)

    async def rows(self, sql: str, *values: Any, access: Access = READ, **options: Any) -> Any:
        result = await self.result(make_query(sql, MANY, access), *values, **options)
        return json.loads(b"[" + result.json + b"]", parse_float=Decimal)

    async def value(self, sql: str, *values: Any, access: Access = READ) -> Any:
        result = await self.result(make_query(sql, VALUE, access), *values)
        return json.loads(result.json, parse_float=Decimal)

    async def execute(self, sql: str, *values: Any) -> int:
        return (await self.result(make_query(sql, EXEC, WRITE), *values)).affected

    async def script(self, sql: str) -> None:
        query = make_query(sql, SCRIPT, Access.SCRIPT)
        async with self.database.lease(Access.SCRIPT) as lease:
            await self.engine.run_script(lease, self.engine.compile(query), timeout_seconds=None)

    async def bulk(self, sql: str, items: list[list[Any]], seconds: float = 5.0) -> int:
        query = make_query(sql, BULK, WRITE)
        program = self.engine.compile(query, await self.describe(query))
        async with self.database.lease(WRITE) as lease:
            return (await self.engine.run_bulk(lease, program, items, timeout_seconds=seconds)).affected

    async def assert_whole(self) -> None:
        for _ in range(300):
            pools = [status for group in self.database.status().values() for status in group]
            if all(pool.size == pool.idle and not pool.waiting and not pool.mending for pool in pools):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.database.status())
