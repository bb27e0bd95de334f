"""Runs one file, whole or not at all where the engine can.

Where it can undo it, a file and its row in the history are one transaction. Where it cannot (MariaDB commits at every
DDL statement; VACUUM, CREATE INDEX CONCURRENTLY), the row is written before, counts the statements that are done, and
stays unfinished when one fails: nobody goes on past that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from sqlwright.errors import DatabaseUnavailable, LockTimeout, OutcomeUnknown, QueryInvalid, SqlwrightError
from sqlwright.migrations.bookkeeping import Bookkeeping
from sqlwright.migrations.files import Migration
from sqlwright.migrations.statements import Step

T = TypeVar("T")

ROLLED_BACK = "nothing of this file is applied: mend it, and run `sqlwright migrate` again"
_PAUSE_SECONDS = 0.1


async def run_file(books: Bookkeeping, migration: Migration, wait_seconds: float) -> bool:
    """False when another runner was faster. Raises as `runner.migrate` says."""
    if migration.script.atomic:
        return await _run_atomic(books, migration, wait_seconds)
    return await _run_stepwise(books, migration)


async def patiently(ask: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `ask` gives as soon as that is something. It finds others in its way, and is asked again, for so long."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + seconds
    while True:
        cause: LockTimeout | None = None
        try:
            if (answer := await ask()) is not False:
                return answer
        except LockTimeout as error:
            cause = error
        if loop.time() >= give_up_at:
            raise LockTimeout(
                f"another `sqlwright migrate`, or a long write, kept this database locked for {seconds:g} s",
                hint="wait until it is through, or give it longer: --wait SECONDS",
            ) from cause
        await asyncio.sleep(_PAUSE_SECONDS)


async def _run_atomic(books: Bookkeeping, migration: Migration, wait_seconds: float) -> bool:
    """False when another runner was faster: there are engines where only this transaction is the lock."""
    engine, lease, script = books.engine, books.lease, migration.script
    seconds = books.control_seconds
    for step in script.before:
        await _run_step(books, migration, step, ROLLED_BACK)
    await patiently(lambda: engine.begin(lease, isolation=None, read_only=False, timeout_seconds=seconds), wait_seconds)
    try:
        known = migration.number in await books.records()
        if not known:
            await engine.allow_writes(lease, timeout_seconds=seconds)
            for step in script.inside:
                await _run_step(books, migration, step, ROLLED_BACK)
            await record_applied(books, migration)
        await _commit(books, migration, seconds)
    except SqlwrightError:
        if lease.in_transaction:
            with contextlib.suppress(SqlwrightError):
                await engine.rollback(lease, timeout_seconds=seconds)
        raise
    if not known:
        for step in script.after:
            await _run_step(books, migration, step, "the file itself is applied; this statement is not done")
    return not known


async def _commit(books: Bookkeeping, migration: Migration, seconds: float) -> None:
    """A deferred constraint speaks here: of no statement, but of this file."""
    try:
        await books.engine.commit(books.lease, timeout_seconds=seconds)
    except (DatabaseUnavailable, OutcomeUnknown):
        raise
    except SqlwrightError as error:
        script = migration.script
        last = [*script.before, *script.inside, *script.after][-1]
        raise _failed(migration, last, error, ROLLED_BACK) from error


async def _run_stepwise(books: Bookkeeping, migration: Migration) -> bool:
    """Statement by statement. What is done when one fails stays done, and the history says how far it came."""
    steps = migration.script.inside
    await books.record_started(migration.number, migration.name, migration.checksum)
    for done, step in enumerate(steps):
        state = (
            f"{done} of the {len(steps)} statements of this file are done and stay, this one is not: "
            f"finish it by hand and say `sqlwright migrate --mark-applied {migration.number}`, "
            f"or undo it and say `--forget {migration.number}`"
        )
        await _run_step(books, migration, step, state)
        await books.record_step(migration.number, done + 1)
    await books.record_finished(migration.number)
    return True


async def record_applied(books: Bookkeeping, migration: Migration) -> None:
    steps = len(migration.script.inside)
    await books.record_applied(migration.number, migration.name, migration.checksum, steps)


async def _run_step(books: Bookkeeping, migration: Migration, step: Step, state: str) -> None:
    """Raises `QueryInvalid` that points at the statement, with `state` as its hint; `DatabaseUnavailable` as it is."""
    program = books.engine.compile(step.query(migration.source))
    try:
        # Without a limit: to rewrite a large table takes what it takes. Waiting for locks has one all the same.
        await books.engine.run_script(books.lease, program, timeout_seconds=None)
    except DatabaseUnavailable:
        raise
    except OutcomeUnknown as error:
        if not migration.script.atomic:
            raise _failed(migration, step, error, state) from error
        raise DatabaseUnavailable(
            f"the connection to the database was lost in {migration.name}: nothing of this file is applied",
            native_code=error.native_code,
            native_message=error.native_message,
        ) from error
    except SqlwrightError as error:
        raise _failed(migration, step, error, state) from error


def _failed(migration: Migration, step: Step, error: SqlwrightError, state: str) -> QueryInvalid:
    told = error.diagnostic if isinstance(error, QueryInvalid) else None
    if told is None:
        message = getattr(error, "native_message", "") or str(error)
        length = len(migration.source.text[step.start : step.end].partition("\n")[0])
        told = migration.source.diagnostic(error.code, step.start, message, error.hint, length=length)
    hint = "; ".join(filter(None, (told.hint, state)))
    return QueryInvalid(f"the migration {migration.name} failed", replace(told, hint=hint))
