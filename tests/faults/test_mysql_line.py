"""What fails on the way to MariaDB: whatever is said about a write is true, and the pool is whole afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fault_proxy import FaultProxy

import sqlwright
from mariadb_server import connect, execute
from record_shop import write_files
from sqlwright.errors import DatabaseError, DatabaseUnavailable, StatementTimeout
from workbench import Bench

FILES = {
    "q.sql": """
-- name: setup#
CREATE TABLE tally (id int PRIMARY KEY, n int NOT NULL);
CREATE TABLE item (id int PRIMARY KEY);
INSERT INTO tally VALUES (1, 0);
-- name: add!
UPDATE tally SET n = n + 1 WHERE id = 1;
-- name: n$
SELECT n FROM tally;
-- name: load*!
INSERT INTO item (id) VALUES (:id);
-- name: slow$
-- @timeout 300ms
SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = -1;
""",
}
ITEMS = [{"id": n} for n in range(400)]
CUT_BYTES_MAX = 400


@pytest.fixture
async def proxy(mysql_url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(mysql_url)
    await proxy.accept()
    yield proxy
    proxy.thaw()
    proxy.refuse()


@pytest.fixture
async def bench(open_bench: Any, proxy: FaultProxy) -> Bench:
    settings = {"reader_pool_size": 1, "writer_pool_size": 1, "statement_timeout_seconds": 1}
    bench: Bench = await open_bench(proxy.address, FILES, **settings)
    await bench.call("setup")
    await bench.call("n")
    await bench.contracts.get(bench.registry["add"])
    await bench.contracts.get(bench.registry["load"])
    await bench.assert_whole()
    return bench


async def test_cut_after_every_byte_the_outcome_is_told_truly(bench: Bench, proxy: FaultProxy, mysql_url: str) -> None:
    def stored() -> int:
        count: int = execute(mysql_url, "SELECT n FROM tally")[0][0]
        return count

    seen = set()
    for size in (*range(30), *range(30, CUT_BYTES_MAX, 17)):
        await bench.call("add")  # on a connection that is there
        await bench.assert_whole()
        before = stored()
        proxy.cut_after = size
        outcome = "applied"
        try:
            await bench.call("add")
        except DatabaseError as error:
            outcome = error.outcome
        proxy.cut_after = None
        await bench.assert_whole()
        seen.add(outcome)
        assert stored() - before in {"none": (0,), "unknown": (0, 1), "applied": (1,)}[outcome]
    assert seen == {"unknown", "applied"}


async def test_a_bulk_call_that_is_cut_is_kept_whole_or_not_at_all(
    bench: Bench, proxy: FaultProxy, mysql_url: str
) -> None:
    for size in (0, 5, 20, 300, 2500, 4300, 4500):
        proxy.cut_after = size
        try:
            await bench.call("load", ITEMS)
        except DatabaseError as error:
            outcome = error.outcome
        else:
            outcome = "applied"
        proxy.cut_after = None
        await bench.assert_whole()
        stored = execute(mysql_url, "SELECT COUNT(*) FROM item")[0][0]
        assert stored in {"none": (0,), "unknown": (0, len(ITEMS)), "applied": (len(ITEMS),)}[outcome]
        execute(mysql_url, "DELETE FROM item")


async def test_a_line_that_is_dead_is_given_up_in_time(bench: Bench, proxy: FaultProxy) -> None:
    proxy.freeze()
    with pytest.raises(StatementTimeout) as late:
        await bench.call("add")
    assert late.value.outcome == "unknown"
    proxy.thaw()
    await bench.assert_whole()
    assert (await bench.call("n"))["value"] in (0, 1)
    assert await bench.call("add") == {"affected": 1}


async def test_what_the_server_does_not_stop_itself_is_stopped_from_here(
    bench: Bench, proxy: FaultProxy, mysql_url: str
) -> None:
    task = asyncio.create_task(bench.call("slow"))
    running = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT COUNT(*) FROM seq%'"
    for _ in range(100):
        if execute(mysql_url, running):
            break
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bench.assert_whole()
    assert not execute(mysql_url, running)


async def test_a_server_that_comes_back_is_used_again(bench: Bench, proxy: FaultProxy) -> None:
    proxy.refuse()
    for name in ("n", "add"):
        with pytest.raises(DatabaseUnavailable) as away:
            await bench.call(name)
        assert away.value.outcome == "none"
    await bench.assert_whole()
    await proxy.accept()
    await asyncio.sleep(1.0)  # within that it is found
    assert await bench.call("add") == {"affected": 1}
    assert await bench.call("n") == {"value": 1}


async def until_there_is_room(bench: Bench) -> None:
    """The server counts a connection for a moment after it was closed."""
    for _ in range(200):
        try:
            assert await bench.call("n") == {"value": 0}
        except DatabaseUnavailable:
            await asyncio.sleep(0.02)
        else:
            return
    raise AssertionError("the server is still full")


async def test_a_server_that_is_full_is_unavailable(bench: Bench, mysql_url: str) -> None:
    await bench.database.close()
    name = mysql_url.rpartition("/")[2]
    execute(mysql_url, f"CREATE USER {name}; GRANT ALL ON {name}.* TO {name} WITH MAX_USER_CONNECTIONS 1")
    try:
        limited = mysql_url.replace("root:@", f"{name}:@")
        other = Bench(limited, bench.folder)
        other.load()
        await other.database.open()
        with closing(connect(limited)), pytest.raises(DatabaseUnavailable):
            await other.call("n")
        await until_there_is_room(other)
        await other.database.close()
    finally:
        execute(mysql_url, f"DROP USER {name}")


def test_a_line_that_is_lost_inside_a_transaction(mysql_url: str, tmp_path: Path) -> None:
    """Under the loop of `serve`, where writing to a connection that is closed raises."""

    async def lose(db: sqlwright.Client, proxy: FaultProxy) -> None:
        async with db.transaction() as tx:
            await tx.run("add")
            proxy.reset()
            await asyncio.sleep(0.1)
            await tx.run("add")

    async def work() -> None:
        queries = write_files(tmp_path, FILES)
        proxy = FaultProxy(mysql_url)
        await proxy.accept()
        try:
            async with sqlwright.connect(proxy.address, queries=queries) as db:
                await db.run("setup")
                with pytest.raises(DatabaseUnavailable) as caught:
                    await lose(db, proxy)
                assert caught.value.outcome == "none"
                assert await db.run("n") == 0
        finally:
            proxy.refuse()

    uvloop.run(work())
