"""The PostgreSQL engine: runs compiled queries on sessions of its pools, over asyncpg."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from sqlwright.config import Settings
from sqlwright.engines import outage
from sqlwright.engines.base import ConnectionsMax, Engine, PoolSizes, Program
from sqlwright.engines.binder import Binder
from sqlwright.engines.pace import Pace
from sqlwright.engines.postgres import transaction
from sqlwright.engines.postgres.batch import batch_key, can_be_one, compile_proven, run_many
from sqlwright.engines.postgres.bulk import Bulk
from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.describe import describe
from sqlwright.engines.postgres.errors import translate
from sqlwright.engines.postgres.explain import explain, explain_and_undo
from sqlwright.engines.postgres.limits import connections_max
from sqlwright.engines.postgres.run import fetch, run, run_free, set_up
from sqlwright.engines.postgres.script import run_script
from sqlwright.engines.postgres.session import PostgresLease, Session
from sqlwright.engines.postgres.stream import stream
from sqlwright.engines.postgres.types import binder
from sqlwright.errors import (
    DatabaseUnavailable,
    Outcome,
    OutcomeUnknown,
    SqlwrightError,
    StatementTimeout,
)
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
from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.time_limit import TimeLimits

if TYPE_CHECKING:
    from sqlwright.engines.reflection import SchemaReader

T = TypeVar("T")

ANSWER_GRACE_SECONDS = 0.4
"""How much longer than its timeout a statement may stay unanswered before the connection is given up."""
_IDLE_HINT = "the server also ends a transaction that does nothing for longer than idle_in_transaction_timeout_seconds"


class PostgresEngine(Engine):
    dialect = POSTGRESQL
    backend = "sqlwright.engines.postgres.session:PostgresBackend"
    pool_sizes = PoolSizes(reader=10, writer=5)
    limits_connections = True

    def __init__(self, settings: Settings) -> None:
        self._big_numbers_as_text = settings.big_numbers == "string"
        self._statement_timeout_seconds = settings.statement_timeout_seconds
        self._pooled = settings.pooler == "transaction"
        self.starts_reads = not self._pooled
        self._time_limits = TimeLimits()

    def compile(self, query: Query, description: Description | None = None) -> PostgresProgram:
        return compile_proven(query, description, big_numbers_as_text=self._big_numbers_as_text)

    async def describe(self, lease: PostgresLease, query: Query) -> Description:
        work = describe(lease.raw_connection, query, big_numbers_as_text=self._big_numbers_as_text)
        return await self._ask(lease, work)

    async def explain(
        self, lease: PostgresLease, program: Program, values: Values, *, analyze: bool, timeout_seconds: float
    ) -> Explanation:
        assert isinstance(program, PostgresProgram)
        session, joins = lease.raw_connection, lease.in_transaction
        if joins and analyze:
            await self._join(lease, program.query.access, timeout_seconds)

        async def work() -> Explanation:
            await set_up(session, timeout_seconds)
            if analyze:
                return await explain_and_undo(session, program, values, joins=joins)
            return await explain(session, program, values, analyze=False)

        return await self._guarded(lease, program.query.access, timeout_seconds, work(), undone=True)

    async def _ask(self, lease: PostgresLease, work: Awaitable[T]) -> T:
        """What is asked about the database, within the usual time."""

        async def within() -> T:
            await set_up(lease.session, self._statement_timeout_seconds)
            return await work

        return await self._guarded(lease, Access.READ, self._statement_timeout_seconds, within())

    async def connections_max(self, lease: PostgresLease) -> ConnectionsMax | None:
        return await self._ask(lease, connections_max(lease.raw_connection))

    async def reflect(self, lease: PostgresLease, names: Collection[str] | None) -> Any:
        # SQLAlchemy's reflection, for those who serve tables.
        from sqlwright.engines.postgres.reflect import reflect  # noqa: PLC0415

        return await self._ask(lease, reflect(lease, self._schema_reader, names))

    @cached_property
    def _schema_reader(self) -> SchemaReader:
        from sqlwright.engines.reflection import SchemaReader  # noqa: PLC0415

        return SchemaReader("postgresql+asyncpg")

    def binder(self, type: SqlType) -> Binder:
        return binder(type)

    def translate(self, error: BaseException, access: Access) -> SqlwrightError | None:
        return translate(error, access)

    async def run(
        self, lease: PostgresLease, program: Program, values: Values, *, window: Window | None, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, PostgresProgram)
        if lease.in_transaction or self._pooled:
            return await self._once(
                lease, program, timeout_seconds, lambda: run(lease.session, program, values, window, timeout_seconds)
            )
        # The same in fewer steps: this is the way of nearly every call.
        session = lease.session
        before, session.touched = session.touched, True
        limit = self._time_limits.limit(timeout_seconds + ANSWER_GRACE_SECONDS)
        try:
            with limit:
                result = await run(session, program, values, window, timeout_seconds)
        except Exception as error:
            _raise_ours(lease, program.query.access, error, expired=limit.expired, undone=False)
        if program.keeps_session:
            session.touched = before
        return result

    def start_read(
        self, session: Session, program: Program, values: Values, window: Window | None, timeout_seconds: float
    ) -> Coroutine[Any, None, Result]:
        assert isinstance(program, PostgresProgram)
        return run_free(session, program, values, window, timeout_seconds)

    def batch_key(self, program: Program, values: Values, window: Window | None) -> Hashable:
        assert isinstance(program, PostgresProgram)
        return batch_key(program, values) if can_be_one(program, window) else None

    async def run_many(
        self,
        lease: PostgresLease,
        program: Program,
        items: Sequence[Values],
        *,
        window: Window | None,
        timeout_seconds: float,
    ) -> list[Result]:
        assert isinstance(program, PostgresProgram)

        def alone(values: Values) -> Awaitable[Result]:
            return self.run(lease, program, values, window=window, timeout_seconds=timeout_seconds)

        async def fetched(sql: str, arguments: Values) -> list[Any]:
            await set_up(lease.session, timeout_seconds, program.query.plan_mode)
            return (await fetch(lease.session, sql, arguments))[0]

        def together(sql: str, arguments: Values) -> Awaitable[list[Any]]:
            return self._once(lease, program, timeout_seconds, lambda: fetched(sql, arguments))

        return await run_many(program, items, window, alone=alone, together=together)

    async def _once(
        self, lease: PostgresLease, program: PostgresProgram, timeout_seconds: float, work: Callable[[], Awaitable[T]]
    ) -> T:
        """One statement: in the open transaction, else alone (behind a pooler in one with our settings)."""
        access, session = program.query.access, lease.session
        before, session.touched = session.touched, True
        if lease.in_transaction:
            await self._join(lease, access, timeout_seconds)
        if lease.in_transaction or not self._pooled:
            result = await self._guarded(lease, access, timeout_seconds, work(), undone=lease.in_transaction)
            if program.keeps_session:
                session.touched = before
            return result

        async def begun() -> T:
            await transaction.begin(session, None, read_only=access is Access.READ)
            return await work()

        result = await self._guarded(lease, access, timeout_seconds, begun(), undone=True)
        await self._guarded(lease, access, timeout_seconds, transaction.commit(session, timeout_seconds))
        session.touched = False
        return result

    def stream(
        self,
        lease: PostgresLease,
        program: Program,
        values: Values,
        *,
        chunk_rows: int,
        timeout_seconds: float | None,
        chunk_bytes: int = UNBOUNDED,
        separator: str = ",",
    ) -> AsyncGenerator[Result, None]:
        assert isinstance(program, PostgresProgram)

        def guarded(work: Awaitable[T]) -> Awaitable[T]:
            return self._guarded(lease, Access.READ, timeout_seconds, work)

        async def ready() -> None:
            if lease.in_transaction:
                await self._join(lease, Access.READ, self._statement_timeout_seconds)
            await guarded(set_up(lease.raw_connection, timeout_seconds))

        pace = Pace(chunk_rows, chunk_bytes)
        return stream(lease, program, values, pace=pace, separator=separator, ready=ready, guarded=guarded)

    async def run_bulk(
        self, lease: PostgresLease, program: Program, items: Sequence[Values], *, timeout_seconds: float
    ) -> Result:
        assert isinstance(program, PostgresProgram)
        if lease.in_transaction:
            await self._join(lease, Access.WRITE, timeout_seconds)

        def guarded(work: Awaitable[T], *, undone: bool) -> Awaitable[T]:
            return self._guarded(lease, Access.WRITE, timeout_seconds, work, undone=undone)

        bulk = Bulk(lease.raw_connection, program, items, timeout_seconds, pooled=self._pooled)
        return await bulk.call(guarded, set_up, joins=lease.in_transaction)

    async def run_script(self, lease: PostgresLease, program: Program, *, timeout_seconds: float | None) -> Result:
        async def work() -> Result:
            assert isinstance(program, PostgresProgram)
            await set_up(lease.raw_connection, timeout_seconds)
            await run_script(lease.raw_connection, program)
            return Result()

        return await self._guarded(lease, Access.SCRIPT, timeout_seconds, work())

    async def begin(
        self, lease: PostgresLease, *, isolation: Isolation | None, read_only: bool, timeout_seconds: float
    ) -> None:
        session = lease.raw_connection

        async def work() -> None:
            await set_up(session, self._statement_timeout_seconds)
            await transaction.begin(session, isolation, read_only=read_only)

        await self._guarded(lease, Access.READ, timeout_seconds, work())
        lease.in_transaction = True

    async def commit(self, lease: PostgresLease, *, timeout_seconds: float) -> None:
        access = Access.READ if lease.read_only else Access.WRITE
        await self._guarded(lease, access, timeout_seconds, transaction.commit(lease.raw_connection, timeout_seconds))
        lease.in_transaction = False

    async def rollback(self, lease: PostgresLease, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.rollback(lease.raw_connection))
        lease.in_transaction = False

    async def try_write(self, lease: PostgresLease, *, timeout_seconds: float) -> None:
        session = lease.raw_connection

        async def work() -> None:
            await set_up(session, self._statement_timeout_seconds)
            await transaction.write_nothing(session)

        await self._guarded(lease, Access.WRITE, timeout_seconds, work())

    async def savepoint(self, lease: PostgresLease, name: str, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.savepoint(lease.raw_connection, name))

    async def release_savepoint(self, lease: PostgresLease, name: str, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.release_savepoint(lease.raw_connection, name))

    async def rollback_to_savepoint(self, lease: PostgresLease, name: str, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.rollback_to_savepoint(lease.raw_connection, name))

    async def allow_writes(self, lease: PostgresLease, *, timeout_seconds: float) -> None:
        await self._join(lease, Access.WRITE, timeout_seconds)

    async def stay_idle(self, lease: PostgresLease, *, timeout_seconds: float) -> None:
        await self._control(lease, timeout_seconds, transaction.stay_idle(lease.raw_connection))

    async def _join(self, lease: PostgresLease, access: Access, timeout_seconds: float) -> None:
        """Make an open transaction such that a statement of this kind can run in it, and no other."""
        session = lease.raw_connection
        if access is not Access.READ:
            if session.reads_only:
                await self._control(lease, timeout_seconds, transaction.allow_writes(session))
        elif not lease.read_only and not session.reads_only:
            await self._control(lease, timeout_seconds, transaction.keep_from_writing(session))

    async def _control(self, lease: PostgresLease, timeout_seconds: float, work: Awaitable[None]) -> None:
        """What changes nothing that is kept."""
        await self._guarded(lease, Access.READ, timeout_seconds, work, undone=True)

    async def _guarded(
        self,
        lease: PostgresLease,
        access: Access,
        timeout_seconds: float | None,
        work: Awaitable[T],
        *,
        undone: bool = False,
    ) -> T:
        """Await `work` with the driver's errors as ours, and stop waiting when the server does not answer.

        The server itself stops a statement that takes too long; this is for one that cannot. `undone` says that an
        open transaction will be rolled back whatever happens, so that no outcome is unknown.
        """
        limit = None if timeout_seconds is None else timeout_seconds + ANSWER_GRACE_SECONDS
        guard = self._time_limits.limit(limit)
        try:
            with guard:
                return await work
        except Exception as error:
            _raise_ours(lease, access, error, expired=guard.expired, undone=undone)


def _raise_ours(lease: PostgresLease, access: Access, error: Exception, *, expired: bool, undone: bool) -> NoReturn:
    """The driver's error as ours, and what it says about the session and its server."""
    if expired:
        lease.broken = not undone
        outcome: Outcome = "none" if undone or access is Access.READ else "unknown"
        raise StatementTimeout("the database did not answer in time", outcome=outcome) from error
    translated = translate(error, access)
    if isinstance(translated, OutcomeUnknown) and undone:
        translated = translate(error, Access.READ)
    if outage.speaks_of_server(translated):
        lease.distrust()
    if lease.in_transaction and isinstance(translated, DatabaseUnavailable):
        translated.hint = _IDLE_HINT
    try:
        if translated is None or translated is error:
            raise error
        raise translated from error
    finally:
        del translated, error  # its traceback leads back here: a cycle would keep all of the call
