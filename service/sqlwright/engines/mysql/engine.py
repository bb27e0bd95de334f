"""The MariaDB and MySQL engine: runs compiled queries on sessions of its pools, over aiomysql."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlwright.config import Settings
from sqlwright.engines.base import ConnectionsMax, Engine, PoolSizes, Program
from sqlwright.engines.binder import Binder
from sqlwright.engines.mysql import run, transaction
from sqlwright.engines.mysql.backend import MySQLLease
from sqlwright.engines.mysql.bind import binder
from sqlwright.engines.mysql.bulk import write_many
from sqlwright.engines.mysql.compile import MySQLProgram, compile_query
from sqlwright.engines.mysql.describe import describe
from sqlwright.engines.mysql.errors import translate
from sqlwright.engines.mysql.explain import explain
from sqlwright.engines.mysql.guard import guarded
from sqlwright.engines.mysql.limits import connections_max
from sqlwright.engines.mysql.script import run_script
from sqlwright.engines.mysql.stream import stream
from sqlwright.errors import MoreThanOneRow, SqlwrightError
from sqlwright.query import (
    UNBOUNDED,
    Access,
    Description,
    Explanation,
    Isolation,
    Query,
    Result,
    SqlType,
    Values,
    Window,
)
from sqlwright.sql.dialect import MYSQL

if TYPE_CHECKING:
    from sqlwright.engines.reflection import SchemaReader


class MySQLEngine(Engine):
    dialect = MYSQL
    backend = "sqlwright.engines.mysql.backend:MySQLBackend"
    pool_sizes = PoolSizes(reader=10, writer=5)
    limits_connections = True

    def __init__(self, settings: Settings) -> None:
        self._big_numbers_as_text = settings.big_numbers == "string"
        self._describe_timeout_seconds = settings.statement_timeout_seconds

    def compile(self, query: Query, description: Description | None = None) -> MySQLProgram:
        return compile_query(query, description, big_numbers_as_text=self._big_numbers_as_text)

    async def describe(self, lease: MySQLLease, query: Query) -> Description:
        work = describe(lease.session, query, big_numbers_as_text=self._big_numbers_as_text)
        return await guarded(lease, Access.READ, self._describe_timeout_seconds, work)

    def binder(self, type: SqlType) -> Binder:
        return binder(type)

    def translate(self, error: BaseException, access: Access) -> SqlwrightError | None:
        return translate(error, access)

    async def run(
        self, lease: MySQLLease, program: Program, values: Values, *, window: Window | None, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, MySQLProgram)
        if program.query.access is Access.READ:
            return await self._read(lease, program, values, window, timeout_seconds)
        session = lease.session
        if lease.in_transaction:
            transaction.refuse_committing(program.query.statement.verb)
            work = run.write(session, program, values, timeout_seconds)
            result = await guarded(lease, Access.WRITE, timeout_seconds, work, undone=True)
            transaction.refuse_ending(session)
            return result
        if run.needs_transaction(program):
            return await self._write_undoably(lease, program, values, timeout_seconds)
        return await guarded(lease, Access.WRITE, timeout_seconds, run.write(session, program, values, timeout_seconds))

    async def run_many(
        self,
        lease: MySQLLease,
        program: Program,
        items: Sequence[Values],
        *,
        window: Window | None,
        timeout_seconds: float,
    ) -> list[Result]:
        assert isinstance(program, MySQLProgram)
        if not (lease.in_transaction and lease.only_reads) or (window is not None and not program.windowed):
            return await super().run_many(lease, program, items, window=window, timeout_seconds=timeout_seconds)
        work = run.read_many(lease.session, program, items, window, timeout_seconds)
        return await guarded(lease, Access.READ, timeout_seconds * len(items), work)

    async def _read(
        self, lease: MySQLLease, program: MySQLProgram, values: Values, window: Window | None, timeout_seconds: float
    ) -> Result:
        session = lease.session
        if lease.in_transaction and not lease.only_reads:
            work = run.read_in_writing(session, program, values, window, timeout_seconds)
            result = await guarded(lease, Access.READ, timeout_seconds, work)
            transaction.refuse_ending(session)
            return result
        alone = not (lease.in_transaction or lease.read_only)
        if alone:  # on a session that can write
            await self._control(lease, timeout_seconds, transaction.begin(session, None, read_only=True))
        work = run.read(session, program, values, window, timeout_seconds)
        result = await guarded(lease, Access.READ, timeout_seconds, work)
        if alone:
            await self._control(lease, timeout_seconds, transaction.rollback(session))
        return result

    async def _write_undoably(
        self, lease: MySQLLease, program: MySQLProgram, values: Values, timeout_seconds: float
    ) -> Result:
        session = lease.session
        await self._control(lease, timeout_seconds, transaction.begin(session, None, read_only=False))
        work = run.write(session, program, values, timeout_seconds)
        try:
            result = await guarded(lease, Access.WRITE, timeout_seconds, work, undone=True)
        except MoreThanOneRow as error:
            await self._control(lease, timeout_seconds, transaction.rollback(session))
            raise MoreThanOneRow("the statement gave more than one row; nothing was changed") from error
        await guarded(lease, Access.WRITE, timeout_seconds, transaction.commit(session))
        return result

    async def run_bulk(
        self, lease: MySQLLease, program: Program, items: Sequence[Values], *, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, MySQLProgram)
        if not items:
            return Result()
        session = lease.session
        if lease.in_transaction:
            transaction.refuse_committing(program.query.statement.verb)
        # Not BEGIN: after a deadlock, which ends a transaction, what was sent already must not commit itself.
        await self._control(lease, timeout_seconds, transaction.stop_committing(session))
        work = write_many(session, program, items, timeout_seconds)
        result = await guarded(lease, Access.WRITE, timeout_seconds, work, undone=True)
        if not lease.in_transaction:
            await guarded(lease, Access.WRITE, timeout_seconds, session.fetch("COMMIT"))
        return result

    async def run_script(self, lease: MySQLLease, program: Program, *, timeout_seconds: float | None) -> Result:
        work = run_script(lease.session, program.query, timeout_seconds, joins=lease.in_transaction)
        return await guarded(lease, Access.SCRIPT, timeout_seconds, work)

    async def begin(
        self, lease: MySQLLease, *, isolation: Isolation | None, read_only: bool, timeout_seconds: float
    ) -> None:
        only_reads = read_only or lease.read_only
        work = transaction.begin(lease.session, isolation, read_only=only_reads)
        await self._control(lease, timeout_seconds, work)
        lease.in_transaction, lease.only_reads = True, only_reads

    async def commit(self, lease: MySQLLease, *, timeout_seconds: float) -> None:
        access = Access.READ if lease.only_reads else Access.WRITE
        await guarded(lease, access, timeout_seconds, transaction.commit(lease.session))
        lease.in_transaction = False

    async def rollback(self, lease: MySQLLease, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.rollback(lease.session))
        lease.in_transaction = False

    async def savepoint(self, lease: MySQLLease, name: str, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.savepoint(lease.session, name))

    async def release_savepoint(self, lease: MySQLLease, name: str, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.release_savepoint(lease.session, name))

    async def rollback_to_savepoint(self, lease: MySQLLease, name: str, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.rollback_to_savepoint(lease.session, name))

    async def stop(self, lease: MySQLLease, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, lease.stop())

    async def stay_idle(self, lease: MySQLLease, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.stay_idle(lease.session))

    def stream(
        self,
        lease: MySQLLease,
        program: Program,
        values: Values,
        *,
        chunk_rows: int,
        timeout_seconds: float | None,
        chunk_bytes: int = UNBOUNDED,
        separator: str = ",",
    ) -> AsyncGenerator[Result, None]:
        assert isinstance(program, MySQLProgram)
        return stream(
            lease,
            program,
            values,
            chunk_rows=chunk_rows,
            chunk_bytes=chunk_bytes,
            separator=separator,
            timeout_seconds=timeout_seconds,
        )

    async def explain(
        self, lease: MySQLLease, program: Program, values: Values, *, analyze: bool, timeout_seconds: float
    ) -> Explanation:
        assert isinstance(program, MySQLProgram)
        work = explain(lease, program, values, analyze=analyze, timeout_seconds=timeout_seconds)
        return await guarded(lease, program.query.access, timeout_seconds, work, undone=True)

    async def connections_max(self, lease: MySQLLease) -> ConnectionsMax | None:
        work = connections_max(lease.session, lease.raw_connection.thread_id())
        return await guarded(lease, Access.READ, self._describe_timeout_seconds, work)

    async def reflect(self, lease: MySQLLease, names: Collection[str] | None) -> Any:
        # SQLAlchemy's reflection, for those who serve tables.
        from sqlwright.engines.mysql.reflect import reflect  # noqa: PLC0415

        work = reflect(lease, self._schema_reader, names)
        return await guarded(lease, Access.READ, self._describe_timeout_seconds, work)

    @cached_property
    def _schema_reader(self) -> SchemaReader:
        from sqlwright.engines.reflection import SchemaReader  # noqa: PLC0415

        return SchemaReader("mysql+aiomysql")

    async def _control(self, lease: MySQLLease, timeout_seconds: float, work: Awaitable[None]) -> None:
        """What changes nothing that is kept."""
        await guarded(lease, Access.READ, timeout_seconds, work, undone=True)
