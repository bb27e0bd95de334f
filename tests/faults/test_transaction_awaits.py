"""Cancellation at every single await of a transaction, one after the other, and COMMITs that fail, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from awaits import LOOPS, Act, descriptors, every_await, nothing_is_open
from failing_commits import FailingCommit, failing_commit
from sqlwright.crud import Tables
from sqlwright.errors import SqlwrightError, TransactionFailed
from sqlwright.query import Access
from sqlwright.steps import Sources, look_up, plan_steps, read_draft, run_steps
from workbench import Bench

COMMITS = 1000
FILES = {
    "ledger.sql": """
-- name: setup#
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE entry (id int PRIMARY KEY, amount int NOT NULL);
INSERT INTO account VALUES (1, 0), (2, 0);

-- name: pay!
UPDATE account SET balance = balance + :amount WHERE id = :id;

-- name: slowly!
-- @timeout 4s
UPDATE account SET balance = balance + :amount WHERE id = :id;

-- name: balance$
SELECT balance FROM account WHERE id = :id;

-- name: total$
SELECT SUM(balance) FROM account;

-- name: enter*!
INSERT INTO entry (id, amount) VALUES (:id, :amount);

-- name: entries$
SELECT count(*) FROM entry;

-- name: clear!
DELETE FROM entry;

-- name: again!
-- @isolation serializable
UPDATE account SET balance = balance WHERE id = :id;
""",
}
ENTRIES = [{"id": n, "amount": n} for n in range(1, 4)]


async def value(bench: Bench, name: str, body: object = None, where: Any = None) -> Any:
    return json.loads((await bench.result(name, body, where=where))[1].json)


async def transfer(bench: Bench, tx: Any) -> None:
    """Reads, writes, a savepoint that is kept, one that is undone, a call with its own timeout and a bulk call."""
    before = await value(bench, "balance", {"id": 1}, tx)
    await bench.result("pay", {"id": 1, "amount": -5}, where=tx)
    async with tx.savepoint():
        await bench.result("slowly", {"id": 2, "amount": 5}, where=tx)
        assert await value(bench, "balance", {"id": 1}, tx) == before - 5
    with contextlib.suppress(ZeroDivisionError):
        async with tx.savepoint():
            await bench.result("pay", {"id": 2, "amount": 1000}, where=tx)
            raise ZeroDivisionError
    await bench.result("enter", ENTRIES, where=tx)
    await value(bench, "total", where=tx)


async def committed(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await transfer(bench, tx)


async def isolated(bench: Bench) -> None:
    async with bench.database.transaction(isolation="serializable") as tx, tx.transaction():
        await bench.result("pay", {"id": 1, "amount": -5}, where=tx)
        await bench.result("pay", {"id": 2, "amount": 5}, where=tx)
        await bench.result("enter", ENTRIES, where=tx)


async def rolled_back(bench: Bench) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with bench.database.transaction() as tx:
            await transfer(bench, tx)
            raise ZeroDivisionError


async def failed(bench: Bench) -> None:
    with contextlib.suppress(TransactionFailed):
        async with bench.database.transaction() as tx:
            await transfer(bench, tx)
            with contextlib.suppress(SqlwrightError):
                await bench.result("enter", ENTRIES, where=tx)


async def read_only(bench: Bench) -> None:
    async with bench.database.transaction(read_only=True, isolation="repeatable_read") as tx:
        await value(bench, "total", where=tx)
        async with tx.savepoint():
            await value(bench, "balance", {"id": 1}, tx)


async def several_tasks(bench: Bench) -> None:
    async with bench.database.transaction() as tx, asyncio.TaskGroup() as tasks:
        for amount, account in ((-5, 1), (5, 2)):
            tasks.create_task(bench.result("pay", {"id": account, "amount": amount}, where=tx))
        tasks.create_task(bench.result("enter", ENTRIES, where=tx))


async def query_with_isolation(bench: Bench) -> None:
    await bench.result("again", {"id": 1})


async def steps(bench: Bench) -> None:
    """What `POST /transaction` does."""
    pays = [{"query": "pay", "params": {"id": account, "amount": amount}} for amount, account in ((-5, 1), (5, 2))]
    body = {"steps": [{"query": "balance", "params": {"id": 1}}, *pays, {"query": "enter", "params": ENTRIES}]}
    sources = Sources(bench.registry.__getitem__, bench.contracts, Tables(bench.database, bench.settings))
    draft = read_draft(body, 50)
    planned = plan_steps(draft, *await look_up(draft, sources), bench.settings)
    await run_steps(bench.database, planned, timeout_seconds=10)


async def pinned(bench: Bench) -> None:
    async with bench.database.pinned() as database:
        async with database.transaction() as tx:
            await transfer(bench, tx)
        await bench.result("pay", {"id": 1, "amount": 1}, where=database)


ACTS: list[Act] = [
    committed,
    isolated,
    rolled_back,
    failed,
    read_only,
    several_tasks,
    query_with_isolation,
    steps,
    pinned,
]


async def commit_fails(bench: Bench, failing: FailingCommit) -> None:
    try:
        async with bench.database.transaction() as tx:
            await bench.result("pay", {"id": 1, "amount": 1}, where=tx)
            await bench.result("orphan", {"id": 1}, where=tx)
            failing.spoil()
    except failing.error:
        return
    finally:
        failing.mend()
    raise AssertionError("it was committed")


async def assert_ledger(bench: Bench) -> None:
    """All or nothing, nothing is held, and the pools serve: with one connection each, whatever is left is met here."""
    await bench.assert_whole()
    assert all(pool.size <= 1 for pools in bench.database.status().values() for pool in pools)
    assert await value(bench, "total") == 0, "half a transfer"
    entries = await value(bench, "entries")
    assert entries in (0, len(ENTRIES)), "half a transaction"
    moved = -(await value(bench, "balance", {"id": 1}))
    assert (moved % 5, bool(moved)) == (0, bool(entries)), "a part of a transaction"
    async with bench.database.transaction() as tx:
        await bench.result("pay", {"id": 1, "amount": moved}, where=tx)
        await bench.result("pay", {"id": 2, "amount": -moved}, where=tx)
        await bench.result("clear", where=tx)
    await bench.assert_whole()


async def scenario(
    url: str, folder: Path, files: dict[str, str], work: Callable[[Bench], Awaitable[None]], scripts: list[str]
) -> None:
    bench = Bench(url, folder, reader_pool_size=1, writer_pool_size=1, acquire_timeout_seconds=5)
    await bench.database.open()
    try:
        bench.write(files)
        for script in scripts:
            await bench.call(script)
        for query in bench.registry:
            await bench.contracts.get(query)
        for access in (Access.READ, Access.WRITE):
            async with bench.database.lease(access):
                pass
        await work(bench)
    finally:
        await bench.database.close()


@pytest.mark.reliability(30)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_cancelled_at_every_await(database_url: str, tmp_path: Path, act: Act, late: bool, loop: str) -> None:
    async def work(bench: Bench) -> None:
        await every_await(bench, act, late, lambda: assert_ledger(bench))
        await nothing_is_open(database_url)

    held_alone(tmp_path, loop, lambda folder: scenario(database_url, folder, FILES, work, ["setup"]))


@pytest.mark.reliability(30)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_cancelled_at_every_await_of_a_commit_that_fails(
    database_url: str, tmp_path: Path, late: bool, loop: str
) -> None:
    failing = failing_commit(database_url)

    async def work(bench: Bench) -> None:
        async def check() -> None:
            await assert_ledger(bench)
            assert await value(bench, "orphans") == 0

        await every_await(bench, lambda bench: commit_fails(bench, failing), late, check)
        await nothing_is_open(database_url)

    scripts = ["setup", "orphans_setup"]
    held_alone(tmp_path, loop, lambda folder: scenario(failing.url, folder, FILES | failing.files, work, scripts))


@pytest.mark.reliability(23)
def test_a_thousand_commits_fail(database_url: str, tmp_path: Path) -> None:
    failing = failing_commit(database_url)

    async def work(bench: Bench) -> None:
        opened = bench.database.opened
        for _ in range(COMMITS if failing.keeps_connection else COMMITS // 10):
            await commit_fails(bench, failing)
        await assert_ledger(bench)
        assert await value(bench, "orphans") == 0
        assert bench.database.opened == opened or not failing.keeps_connection, "a connection was thrown away"
        await nothing_is_open(database_url)

    scripts = ["setup", "orphans_setup"]
    held_alone(tmp_path, "uvloop", lambda folder: scenario(failing.url, folder, FILES | failing.files, work, scripts))


def held_alone(tmp_path: Path, loop: str, run: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """Run it on a loop of its own: afterwards no thread, descriptor or log file is left."""
    folder = tmp_path / "queries"
    folder.mkdir()
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.sleep(0))  # uvloop keeps descriptors of its own from its first use on
    threads, files = threading.active_count(), descriptors()
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run(folder))
    deadline = time.monotonic() + 2  # a thread that has said its last word still needs a moment to end
    while (threading.active_count() > threads or descriptors() > files) and time.monotonic() < deadline:
        time.sleep(0.001)
    # Fewer is fine: what a test before this one had left may have ended meanwhile.
    assert threading.active_count() <= threads
    assert descriptors() <= files
    assert not (tmp_path / "test.db-wal").exists()
