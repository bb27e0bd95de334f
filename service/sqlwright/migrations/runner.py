"""Runs what is pending, one file at a time, under a lock.

Every file has a session of its own: it is locked, the history is read again, at most one file runs, and the session
goes back to its pool, which resets it. So nothing that a file sets leaks into the next one, and runners that meet take
turns.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.errors import SettingsError, SqlwrightError
from sqlwright.migrations.apply import patiently, record_applied, run_file
from sqlwright.migrations.bookkeeping import Bookkeeping
from sqlwright.migrations.files import Migration, read_migrations
from sqlwright.migrations.history import Entry, State, compare, refuse_what_is_wrong
from sqlwright.query import Access

WAIT_SECONDS = 60.0
"""How long another runner is waited for."""

Progress = Callable[[str, int, int], None]
"""Called with the name of the file that begins, how many are done, and how many there are to do."""


async def initialise(database: Database, settings: Settings, *, wait_seconds: float = WAIT_SECONDS) -> bool:
    """Make what sqlwright itself keeps in the database. True when something was made, False when all was there."""
    async with _locked(database, settings, wait_seconds) as books:
        return await _initialised(books, wait_seconds)


async def look(database: Database, settings: Settings, folder: Path) -> list[Entry]:
    """The files and the history, compared. Changes nothing, and takes no lock.

    Raises `LoadError`, `SettingsError` and `DatabaseUnavailable`.
    """
    migrations = read_migrations(folder, database.engine.dialect)
    async with database.lease(Access.READ) as lease:
        books = Bookkeeping(database.engine, lease, settings)
        return compare(migrations, await books.records() if await books.is_initialised() else {})


async def migrate(
    database: Database,
    settings: Settings,
    folder: Path,
    *,
    wait_seconds: float = WAIT_SECONDS,
    progress: Progress | None = None,
    done: list[Migration] | None = None,
) -> list[Migration]:
    """Run what is pending, in the order of its numbers; gives what was run, and not what another runner did meanwhile.

    `done` is the list to put it into, for who wants to know it although a later file fails.

    Raises `LoadError` before anything runs: wrong files, an applied file that has changed, one that was not finished.
    Raises `QueryInvalid` with a diagnostic at the statement that failed: earlier files stay, later ones have not run.
    Raises `LockTimeout` when another runner is at it for too long, `SettingsError` and `DatabaseUnavailable`.
    """
    migrations = read_migrations(folder, database.engine.dialect)
    done = [] if done is None else done
    while True:
        async with _locked(database, settings, wait_seconds) as books:
            await _initialised(books, wait_seconds)
            entries = compare(migrations, await books.records())
            refuse_what_is_wrong(entries)
            pending = [e.migration for e in entries if e.state is State.PENDING and e.migration is not None]
            if not pending:
                return done
            if progress is not None:
                progress(pending[0].name, len(done), len(done) + len(pending))
            if await run_file(books, pending[0], wait_seconds):
                done.append(pending[0])


async def resolve(
    database: Database,
    settings: Settings,
    folder: Path,
    number: int,
    verdict: Literal["applied", "undone"],
    *,
    wait_seconds: float = WAIT_SECONDS,
) -> Entry:
    """Say by hand what became of a migration, without running it; gives it as it was before.

    "applied": it is all there (finished by hand, or older than the history). "undone": nothing of it is there.
    Raises `SettingsError` when there is no such migration, or nothing to say about it.
    """
    migrations = read_migrations(folder, database.engine.dialect)
    async with _locked(database, settings, wait_seconds) as books:
        await _initialised(books, wait_seconds)
        entries = {entry.number: entry for entry in compare(migrations, await books.records())}
        entry = entries.get(number)
        if entry is None:
            raise SettingsError(f"there is no migration {number} in {folder}, and none was run")
        if verdict == "applied" and entry.migration is None:
            raise SettingsError(f"the migration {number} is not in {folder}", hint="only `--forget` can be said of it")
        if entry.record is not None:
            await books.forget(number)
        if verdict == "applied" and entry.migration is not None:
            await record_applied(books, entry.migration)
        return entry


@asynccontextmanager
async def _locked(database: Database, settings: Settings, wait_seconds: float) -> AsyncIterator[Bookkeeping]:
    """A session of the writer's pool that no other runner shares the database with."""
    if settings.pooler != "none":
        hint = "give DATABASE_URL the database's own address for it, and leave SQLWRIGHT_POOLER out"
        raise SettingsError(
            "migrations need a session of their own, which a pooler in transaction mode has not", hint=hint
        )
    async with database.lease(Access.SCRIPT) as lease:
        books = Bookkeeping(database.engine, lease, settings)
        await patiently(books.lock, wait_seconds)
        try:
            yield books
        finally:
            # After a cancellation the pool's own task resets the session, or ends it: that frees the lock too.
            if not lease.in_transaction:
                with contextlib.suppress(SqlwrightError):
                    await books.unlock()


async def _initialised(books: Bookkeeping, wait_seconds: float) -> bool:
    async def once() -> tuple[bool]:
        return (await books.initialise(),)

    return (await patiently(once, wait_seconds))[0]
