"""The SQLite engine: runs compiled queries on sessions of its pools, over aiosqlite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlwright.address import Address
from sqlwright.config import Settings
from sqlwright.engines.base import Engine, PoolSizes, Program
from sqlwright.engines.sqlite.bind import bind
from sqlwright.engines.sqlite.compile import KEEPS_SESSION, SQLiteProgram, compile_query
from sqlwright.engines.sqlite.describe import describe
from sqlwright.engines.sqlite.errors import breaks_connection, translate
from sqlwright.engines.sqlite.hop import Work
from sqlwright.engines.sqlite.run import read, write, write_many
from sqlwright.engines.sqlite.script import run_script
from sqlwright.engines.sqlite.session import SQLiteLease
from sqlwright.errors import SqlwrightError
from sqlwright.query import Access, Description, Parameter, Query, Result, SqlType, Values, Window
from sqlwright.sql.dialect import SQLITE

T = TypeVar("T")


class SQLiteEngine(Engine):
    dialect = SQLITE
    backend = "sqlwright.engines.sqlite.session:SQLiteBackend"
    # SQLite has one writer at a time: a second connection would only wait for the first one's lock.
    pool_sizes = PoolSizes(reader=4, writer=1, writer_max=1)

    def __init__(self, settings: Settings) -> None:
        self._big_numbers_as_text = settings.big_numbers == "string"
        self._describe_timeout_seconds = settings.statement_timeout_seconds

    def has_one_pool(self, address: Address) -> bool:
        return address.in_memory

    def compile(self, query: Query, description: Description | None = None) -> SQLiteProgram:
        return compile_query(query, description, big_numbers_as_text=self._big_numbers_as_text)

    async def describe(self, lease: SQLiteLease, query: Query) -> Description:
        return await _call(
            lease,
            Access.READ,
            self._describe_timeout_seconds,
            lambda raw, hop: describe(raw, hop, query),
        )

    def bind(self, parameter: Parameter, type: SqlType, value: Any) -> Any:  # noqa: ARG002 - the interface
        return bind(type, value)

    def translate(self, error: BaseException, access: Access) -> SqlwrightError | None:
        return translate(error, access)

    async def run(
        self, lease: SQLiteLease, program: Program, values: Values, *, window: Window | None, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, SQLiteProgram)
        access = program.query.access
        if access is Access.READ:
            guarded = not lease.read_only
            return await _call(
                lease,
                access,
                timeout_seconds,
                lambda raw, hop: read(raw, hop, program, values, window, guarded=guarded),
            )
        _wear(lease, program.query)
        return await _call(lease, access, timeout_seconds, lambda raw, hop: write(raw, hop, program, values))

    async def run_bulk(
        self, lease: SQLiteLease, program: Program, items: Sequence[Values], *, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, SQLiteProgram)
        if not items:
            return Result()
        _wear(lease, program.query)
        return await _call(lease, Access.WRITE, timeout_seconds, lambda raw, hop: write_many(raw, hop, program, items))

    async def run_script(self, lease: SQLiteLease, program: Program, *, timeout_seconds: float | None) -> Result:
        lease.session.worn = True
        query = program.query
        return await _call(lease, Access.SCRIPT, timeout_seconds, lambda raw, hop: run_script(raw, hop, query))


def _wear(lease: SQLiteLease, query: Query) -> None:
    if query.statement.verb not in KEEPS_SESSION:
        lease.session.worn = True


async def _call(lease: SQLiteLease, access: Access, timeout_seconds: float | None, work: Work[T]) -> T:
    """One hop, with the driver's errors as ours."""
    try:
        return await lease.session.call(work, timeout_seconds)
    except Exception as error:
        lease.broken = lease.broken or breaks_connection(error)
        translated = translate(error, access)
        if translated is None or translated is error:
            raise
        raise translated from error
