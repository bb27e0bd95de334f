"""Transactions on SQLite: it ends one by itself, it can have one connection, and its writers come one by one."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqlwright.errors import (
    DatabaseUnavailable,
    ForeignKeyViolation,
    SqlwrightError,
    StatementTimeout,
    TransactionFailed,
)
from sqlwright.query import Access
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]

FILES = {
    "setup.sql": "-- name: setup#\nCREATE TABLE item (id integer PRIMARY KEY, note text);",
    "q.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item (id, note) VALUES (:id, :note);

-- name: flood!
-- @timeout 200ms
WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n)
INSERT INTO item (id, note) SELECT i, 'x' FROM n;
""",
}


@pytest.fixture
async def bench(open_bench: Open, sqlite_url: str) -> Bench:
    bench = await open_bench(sqlite_url, FILES)
    await bench.call("setup")
    return bench


async def add(bench: Bench, where: Any, id: int, note: str = "x") -> None:
    await bench.result("add", {"id": id, "note": note}, where=where)


async def count(bench: Bench, where: Any = None) -> int:
    return int(json.loads((await bench.result("count", where=where))[1].json))


async def fill_up(where: Any) -> None:
    """From here on the database cannot grow."""
    async with where.lease(Access.WRITE) as lease:
        await lease.session.call(lambda raw, _: raw.execute("PRAGMA max_page_count=1").close(), 1)


@pytest.mark.reliability(24, 27, engine="sqlite")
@pytest.mark.parametrize("swallowed", [False, True])
async def test_a_full_disk_ends_all_of_it(bench: Bench, swallowed: bool) -> None:
    """SQLite rolls back by itself then; what would come after it must not be committed on its own."""
    with pytest.raises(TransactionFailed if swallowed else DatabaseUnavailable):
        async with bench.database.transaction() as tx:
            await add(bench, tx, 1)
            await fill_up(tx)
            with contextlib.suppress(DatabaseUnavailable if swallowed else ZeroDivisionError):
                async with tx.savepoint():
                    await add(bench, tx, 2, "x" * 100_000)
            with contextlib.suppress(TransactionFailed):
                await add(bench, tx, 3)
    await bench.assert_whole()
    assert await count(bench) == 0


async def test_an_interrupted_write_ends_all_of_it(bench: Bench) -> None:
    with pytest.raises(TransactionFailed):
        async with bench.database.transaction() as tx:
            await add(bench, tx, 1)
            with pytest.raises(StatementTimeout):
                async with tx.savepoint():
                    await bench.result("flood", where=tx)
            with pytest.raises(TransactionFailed):
                await add(bench, tx, 2)
    await bench.assert_whole()
    assert await count(bench) == 0


async def test_a_statement_does_not_run_beside_a_transaction_that_is_gone(bench: Bench) -> None:
    """The engine itself refuses, whoever asks."""
    engine = bench.database.engine
    contract = await bench.contracts.get(bench.registry["add"])
    async with bench.database.lease(Access.WRITE) as lease:
        await engine.begin(lease, isolation=None, read_only=False, timeout_seconds=1)
        await lease.session.call(lambda raw, _: raw.execute("ROLLBACK").close(), 1)
        for attempt in (
            lambda: engine.run(lease, contract.program, [1, "x"], window=None, timeout_seconds=1),
            lambda: engine.run_bulk(lease, contract.program, [[1, "x"]], timeout_seconds=1),
            lambda: engine.savepoint(lease, "s1", timeout_seconds=1),
            lambda: engine.release_savepoint(lease, "s1", timeout_seconds=1),
            lambda: engine.rollback_to_savepoint(lease, "s1", timeout_seconds=1),
            lambda: engine.commit(lease, timeout_seconds=1),
        ):
            with pytest.raises(TransactionFailed):
                await attempt()
        await engine.rollback(lease, timeout_seconds=1)
    assert await count(bench) == 0


@pytest.mark.reliability(23, engine="sqlite")
async def test_a_refused_commit_is_rolled_back_by_the_engine(bench: Bench) -> None:
    """Not only by the release of the connection."""
    engine = bench.database.engine
    async with bench.database.lease(Access.WRITE) as lease:

        def orphan(raw: sqlite3.Connection, _: Any) -> None:
            raw.execute("CREATE TABLE child (item_id REFERENCES item DEFERRABLE INITIALLY DEFERRED)").close()
            raw.execute("INSERT INTO child VALUES (77)").close()

        await engine.begin(lease, isolation=None, read_only=False, timeout_seconds=1)
        await lease.session.call(orphan, 1)
        with pytest.raises(ForeignKeyViolation):
            await engine.commit(lease, timeout_seconds=1)
        assert not lease.session.raw.in_transaction
        await engine.rollback(lease, timeout_seconds=1)


async def test_readers_go_on_beside_a_writer(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await add(bench, tx, 1)
        assert await count(bench) == 0
        async with bench.database.transaction(read_only=True) as reader:
            assert await count(bench, reader) == 0
    assert await count(bench) == 1


@pytest.mark.reliability(26, engine="sqlite")
async def test_a_transaction_waits_for_another_program_and_then_gives_up(open_bench: Open, sqlite_url: str) -> None:
    bench = await open_bench(sqlite_url, FILES, lock_timeout_seconds=0.2)
    await bench.call("setup")
    path = sqlite_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SqlwrightError, match="lock"):
            async with bench.database.transaction():
                pass
        await bench.assert_whole()
        asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
        async with bench.database.transaction() as tx:
            await add(bench, tx, 1)
    assert await count(bench) == 1


async def test_a_database_in_memory(open_bench: Open) -> None:
    """Its only connection is asked about statements while a transaction holds it."""
    bench = await open_bench(":memory:", FILES)
    await bench.call("setup")
    async with bench.database.transaction() as tx:
        await add(bench, tx, 1)
        assert await count(bench, tx) == 1
    with pytest.raises(ZeroDivisionError):
        async with bench.database.transaction() as tx:
            await add(bench, tx, 2)
            bench.contracts.forget(bench.registry["count"])
            assert await count(bench, tx) == 2
            raise ZeroDivisionError
    async with bench.database.transaction(read_only=True) as tx:
        assert await count(bench, tx) == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), bench.database.transaction() as tx:
            await add(bench, tx, 2)
            await bench.result("flood", where=tx)
    assert await count(bench) == 1
    await bench.assert_whole()
