"""Bulk calls on PostgreSQL: many items in one statement over arrays where that means the same as one item after the
other, else many executions in one round trip; and which item it is that fails.

An INSERT over arrays differs from INSERTs one by one where something looks at the table between two of them: a trigger
after each, a foreign key to the table itself, a function that sees the table as it was when the statement began. The
catalogue tells, at each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import asyncpg

from sqlwright.engines.bulk import ONE_BY_ONE_MAX, speaks_of_item
from sqlwright.engines.postgres import transaction
from sqlwright.engines.postgres.arrays import Arrays
from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.errors import translate
from sqlwright.engines.postgres.run import prepared
from sqlwright.engines.postgres.session import Session
from sqlwright.engines.postgres.types import array_literal
from sqlwright.errors import DatabaseError, SerializationFailure, SqlwrightError
from sqlwright.query import Access, Result, Values

T = TypeVar("T")

CHUNK_ITEMS = 10_000
"""Items of one statement: what is made of them is in memory at a time."""
_SAVEPOINT = "sqlwright_items"
_NEXT = f"RELEASE SAVEPOINT {_SAVEPOINT}; SAVEPOINT {_SAVEPOINT}"
_UPSERT_TWICE = "ExecOnConflictUpdate"
# A trigger before each row sees what came before it in the same statement, unless its function is STABLE.
MEANS_THE_SAME = """
SELECT c.relkind IN ('r', 'p') AND NOT c.relhasrules AND NOT c.relrowsecurity
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class p ON p.oid = t.relid
    WHERE p.relkind NOT IN ('r', 'p'))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 20 <> 0
      AND (g.tgtype & 3 <> 3 OR f.provolatile = 's')
      AND (g.tgrelid = c.oid OR g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid))))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint k
    WHERE k.conrelid = c.oid
      AND (k.contype = 'f' AND k.confrelid = c.oid OR k.condeferrable AND NOT k.condeferred))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
    WHERE f.provolatile = 's' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend e
        WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = f.oid AND e.deptype = 'e')
      AND (f.proname = ANY ($2::text[]) OR EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid = f.oid
          AND d.classid IN ('pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_constraint'::regclass,
            'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_cast'::regclass))))
FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($1)
"""


class Guarded(Protocol):
    """Awaits with the driver's errors as ours, and not for ever."""

    def __call__(self, work: Awaitable[T], *, undone: bool) -> Awaitable[T]: ...


SetUp = Callable[[Session, float], Awaitable[None]]


class Bulk:
    """One bulk call on a session. Of the database's errors it raises that of the first item that fails, with its index.

    Where that cannot be told (there was no time left for it, it does not fail again), the error is raised as it came.
    """

    def __init__(
        self,
        session: Session,
        program: PostgresProgram,
        items: Sequence[Values],
        timeout_seconds: float,
        *,
        pooled: bool,
    ) -> None:
        self._session = session
        self._sql = program.sql
        self._arrays = program.arrays
        self._items = items
        self._timeout_seconds = timeout_seconds
        self._pooled = pooled

    async def call(self, guarded: Guarded, set_up: SetUp, *, joins: bool) -> Result:
        """Execute all items: in a transaction of their own, so that whatever happens before COMMIT has certainly
        changed nothing; or in the one that is open, where the call `joins` it."""
        if not self._items:
            return Result()
        session, seconds = self._session, self._timeout_seconds

        async def work() -> int:
            if not joins and self._pooled:
                await transaction.begin(session, None, read_only=False)
            await set_up(session, seconds)
            if not joins and not self._pooled:
                await session.execute("BEGIN")
            return await self._run()

        affected = await guarded(work(), undone=True)
        if not joins:
            try:
                await guarded(transaction.commit(session, seconds), undone=False)
            except DatabaseError as error:
                if speaks_of_item(error):
                    with suppress(SqlwrightError):  # the call's own error is the one to tell
                        await guarded(self._locate_deferred(error), undone=True)
                raise
        return Result(affected=affected)

    async def _run(self) -> int:
        """Execute all items in the transaction that is open: the rows affected."""
        end_at = asyncio.get_running_loop().time() + self._timeout_seconds
        session, items = self._session, self._items
        if self._arrays is not None and (len(items) <= ONE_BY_ONE_MAX or not await self._means_the_same(self._arrays)):
            self._arrays = None
        affected = 0
        await session.execute(f"SAVEPOINT {_SAVEPOINT}")
        for start in range(0, len(items), CHUNK_ITEMS):
            if start:
                await session.execute(_NEXT)
            end = min(start + CHUNK_ITEMS, len(items))
            try:
                affected += await self._send(start, end)
            except Exception as error:
                raise await self._located(error, start, end, end_at) from error
        await session.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        return affected

    async def _locate_deferred(self, error: DatabaseError) -> None:
        """Note which item broke a constraint that was checked when all was done. The transaction has ended."""
        session = self._session
        await transaction.rollback(session)
        await transaction.begin(session, None, read_only=False)
        await session.execute(f"SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT {_SAVEPOINT}")
        end_at = asyncio.get_running_loop().time() + self._timeout_seconds
        found = await self._bisect(0, len(self._items), end_at)
        # Where it is another error, a later item would have mended it: who it really is cannot be told.
        if found is not None and _words(found[1]) == _words(error.__cause__):
            error.index = found[0]
        await transaction.rollback(session)

    async def _means_the_same(self, arrays: Arrays) -> bool:
        statement = await self._session.statement(MEANS_THE_SAME)
        return bool(await statement.fetchval(arrays.table, list(arrays.functions)))

    async def _send(self, start: int, end: int) -> int:
        items = self._items[start:end]
        if self._arrays is not None:
            try:
                return await self._send_arrays(self._arrays, items)
            except asyncpg.CardinalityViolationError as error:
                if error.server_source_function != _UPSERT_TWICE:
                    raise
                # Two items are about one row. One after the other, they may be.
                await self._session.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        statement = await prepared(self._session, self._sql)
        return len(await self._attempt(self._sql, statement.fetchmany(items)))

    async def _send_arrays(self, arrays: Arrays, items: Sequence[Values]) -> int:
        columns: list[Sequence[Any]] = list(zip(*items, strict=True))
        for number, as_text in enumerate(arrays.as_text):
            if as_text:
                columns[number] = [None if value is None else array_literal(value) for value in columns[number]]
        statement = await prepared(self._session, arrays.sql)
        await self._attempt(arrays.sql, statement.fetch(*columns))
        return int(statement.get_statusmsg().rpartition(" ")[2])

    async def _attempt(self, sql: str, work: Any) -> Any:
        try:
            return await work
        except (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError) as error:
            self._session.statements.pop(sql, None)
            raise SerializationFailure("the schema was changed while the transaction ran") from error

    async def _located(self, error: Exception, start: int, end: int, end_at: float) -> Exception:
        """The error as ours, of the first item that fails; as it came where that cannot be told."""
        translated = translate(error, Access.READ)
        if not speaks_of_item(translated):
            return error
        await self._session.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        found = await self._bisect(start, end, end_at)
        if found is None:
            return error
        index, cause = found
        located = translate(cause, Access.READ)
        assert located is not None, "it speaks of an item"
        located.index = index
        located.__cause__ = cause
        return located

    async def _bisect(self, start: int, end: int, end_at: float) -> tuple[int, Exception] | None:
        """The first item of `items[start:end]` that fails, and how, where those before `start` are in."""
        error: Exception | None = None
        try:
            async with asyncio.timeout_at(end_at):
                while error is None or end - start > 1:
                    middle = (start + end + 1) // 2 if end - start > 1 else end
                    try:
                        await self._send(start, middle)
                    except Exception as failed:
                        if not speaks_of_item(translate(failed, Access.READ)):
                            return None
                        await self._session.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
                        end, error = middle, (failed if middle - start == 1 else None)
                    else:
                        if middle == end:
                            return None  # it does not fail any more
                        start, error = middle, None
                        await self._session.execute(_NEXT)
        except TimeoutError:
            return None
        return start, error.with_traceback(None)  # which leads back here: a cycle


def _words(error: BaseException | None) -> tuple[Any, ...]:
    """What the server says of an error."""
    names = ("sqlstate", "message", "detail", "schema_name", "table_name", "constraint_name")
    return tuple(getattr(error, name, None) for name in names)
