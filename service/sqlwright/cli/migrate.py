"""Run the numbered .sql files of a folder that have not run on this database, in order, each once.

  migrations/001_customers.sql              runs on every kind of database
  migrations/002_search.postgresql.sql      runs on this kind only, and instead of 002_search.sql

A file and its record are one transaction (but see below); a runner that comes second waits. The first failure stops
everything: earlier files stay, that one is rolled back. A file that was applied must not change: write another one.

`-- @no_transaction` at the top of a file commits each of its statements by itself, as CREATE INDEX CONCURRENTLY needs
it. MariaDB and MySQL do that at every CREATE, ALTER and DROP. Such a file that fails half-way must be mended by hand;
nothing runs until --mark-applied or --forget says what became of it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from sqlwright.cli import options, output, session
from sqlwright.cli.progress import progress
from sqlwright.config import Settings
from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import LoadError, QueryInvalid, SettingsError, SqlwrightError

if TYPE_CHECKING:
    from sqlwright.database import Database
    from sqlwright.migrations import Entry, Migration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="of the files, as --migrations")
    parser.add_argument("--migrations", metavar="DIR", help="of the files (migrations) [SQLWRIGHT_MIGRATIONS]")
    parser.add_argument("--dry-run", action="store_true", help="tell what would run, and change nothing")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for another runner (60)")
    parser.add_argument("--json", action="store_true", help="for programs: {ok, applied, migrations, diagnostics}")
    by_hand = parser.add_mutually_exclusive_group()
    by_hand.add_argument("--mark-applied", type=int, metavar="NUMBER", help="record a migration without running it")
    by_hand.add_argument("--forget", type=int, metavar="NUMBER", help="take a migration's record away: it runs again")


def run(arguments: argparse.Namespace) -> int:
    if arguments.folder is not None:
        if arguments.migrations is not None:
            raise SettingsError(f"two folders are named: {arguments.folder} and --migrations {arguments.migrations}")
        arguments.migrations = arguments.folder
    settings = options.settings_of(arguments).model_copy(update={"read_urls": ()})
    options.dialect_of(settings)
    if not 0 <= arguments.wait <= 86_400:
        raise SettingsError(f"--wait {arguments.wait:g}: from 0 to 86400 seconds")
    outcome = asyncio.run(_migrate(settings, arguments))
    if arguments.json:
        output.json_result(outcome.record())
    elif outcome.entries:
        output.table(("migration", "state", "applied at"), [outcome.row(entry) for entry in outcome.entries])
    elif outcome.error is None:
        output.message(
            f"there are no migrations in {settings.migrations}", hint="a migration is a file: 001_what_it_does.sql"
        )
    sys.stdout.flush()
    if outcome.error is not None:
        raise outcome.error
    return 0


class _Outcome:
    """What was run, what stopped it, and how the files and the history stand after that."""

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.applied: set[int] = set()
        """Numbers of those that this run has applied, and no other that may be at it."""
        self.entries: list[Entry] = []
        self.error: SqlwrightError | None = None

    @property
    def new(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.state == "applied" and entry.number in self.applied]

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        if isinstance(self.error, LoadError):
            return self.error.diagnostics
        if isinstance(self.error, QueryInvalid) and self.error.diagnostic is not None:
            return (self.error.diagnostic,)
        return ()

    def state(self, entry: Entry) -> str:
        failed = any(entry.migration and entry.migration.source.path == d.file for d in self.diagnostics)
        return "failed" if failed and entry.state == "pending" else entry.state.value

    def row(self, entry: Entry) -> tuple[str, str, str]:
        state = self.state(entry)
        if state == "pending" and self.dry_run:
            state = "would run"
        elif entry in self.new:
            state = "applied now"
        when = entry.record.applied_at if entry.record is not None else None
        return entry.name, state, when or ""

    def record(self) -> dict[str, Any]:
        keys = ("severity", "file", "line", "column", "code", "message", "hint")
        return {
            "ok": self.error is None,
            "dry_run": self.dry_run,
            "applied": [entry.name for entry in self.new],
            "migrations": [
                {
                    "number": entry.number,
                    "name": entry.name,
                    "file": None if entry.migration is None else entry.migration.source.path,
                    "state": self.state(entry),
                    "applied_at": None if entry.record is None else entry.record.applied_at,
                }
                for entry in self.entries
            ],
            "error": None if self.error is None else str(self.error),
            "diagnostics": [{key: getattr(d, key) for key in keys} for d in self.diagnostics],
        }


async def _migrate(settings: Settings, arguments: argparse.Namespace) -> _Outcome:
    from sqlwright.migrations import look, refuse_what_is_wrong, resolve

    outcome, folder, wait = _Outcome(dry_run=arguments.dry_run), settings.migrations, arguments.wait
    async with session.open_database(settings) as (database, _):
        try:
            outcome.entries = await look(database, settings, folder)
            if arguments.dry_run:
                refuse_what_is_wrong(outcome.entries)
            elif arguments.mark_applied is not None:
                marked = await resolve(database, settings, folder, arguments.mark_applied, "applied", wait_seconds=wait)
                outcome.applied = {marked.number} if marked.state != "applied" else set()
            elif arguments.forget is not None:
                await resolve(database, settings, folder, arguments.forget, "undone", wait_seconds=wait)
            else:
                await _run(database, settings, wait, outcome)
        except SqlwrightError as error:
            outcome.error = error
        if not arguments.dry_run and not isinstance(outcome.error, SettingsError):
            try:
                outcome.entries = await look(database, settings, folder)
            except SqlwrightError as error:  # away, or the files are wrong: told already
                outcome.error = outcome.error or error
    return outcome


async def _run(database: Database, settings: Settings, wait: float, outcome: _Outcome) -> None:
    from sqlwright.migrations import migrate

    done: list[Migration] = []
    try:
        async with progress("migrating") as advance:
            await migrate(database, settings, settings.migrations, wait_seconds=wait, progress=advance, done=done)
    finally:
        outcome.applied = {migration.number for migration in done}
