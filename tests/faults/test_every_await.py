"""Cancellation at every single await of a call, one after the other, on real databases and both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy

from awaits import LOOPS, Act, descriptors, every_await, nothing_is_open
from sqlwright.query import Access
from workbench import Bench

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO item VALUES (0, 0);
""",
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: page
SELECT id, n FROM item ORDER BY id;

-- name: raise<!
UPDATE item SET n = n + 1 WHERE id = 0 RETURNING n;

-- name: slowly
-- @timeout 4s
SELECT id FROM item;

-- name: three*!
INSERT INTO item (id, n) VALUES (:id, 0);

-- name: script#
DELETE FROM item WHERE id > 0;
INSERT INTO item VALUES (1, 0), (2, 0), (3, 0);
DELETE FROM item WHERE id > 0;
""",
}
ITEM = sqlalchemy.table("item", sqlalchemy.column("id"))
BULK = [{"id": 1}, {"id": 2}, {"id": 3}]


async def read(bench: Bench) -> None:
    await bench.call("items.page")


async def read_with_own_timeout(bench: Bench) -> None:
    await bench.call("items.slowly")


async def read_in_a_line(bench: Bench) -> None:
    """Behind others of the same query, and with them in one statement."""
    contract = await bench.contracts.get(bench.registry["items.page"])
    contract.program.measured.item_seconds = 1e-5
    others = [asyncio.ensure_future(bench.call("items.page")) for _ in range(3)]
    try:
        await asyncio.sleep(0)
        await bench.call("items.page")
    finally:
        await asyncio.gather(*others)


async def write(bench: Bench) -> None:
    await bench.call("items.raise")


async def bulk(bench: Bench) -> None:
    await bench.call("items.three", BULK)


async def script(bench: Bench) -> None:
    await bench.call("items.script")


async def describe(bench: Bench) -> None:
    async with bench.database.lease(Access.READ) as lease:
        await bench.database.engine.describe(lease, bench.registry["items.raise"])


async def contract(bench: Bench) -> None:
    query = bench.registry["items.page"]
    bench.contracts.forget(query)
    await bench.contracts.get(query)


async def lease_only(bench: Bench) -> None:
    for access in (Access.READ, Access.WRITE):
        async with bench.database.lease(access):
            pass


async def core(bench: Bench) -> None:
    async with bench.database.lease(Access.WRITE) as lease:
        await lease.execute(sqlalchemy.delete(ITEM).where(ITEM.c.id > 0))


async def first_use(bench: Bench) -> None:
    """A pool that has no connection yet."""
    async with fresh(bench) as other, other.database.lease(Access.READ):
        pass


async def close(bench: Bench) -> None:
    async with fresh(bench) as other:
        async with other.database.lease(Access.READ), other.database.lease(Access.WRITE):
            pass
        await other.database.close()


@contextlib.asynccontextmanager
async def fresh(bench: Bench) -> AsyncIterator[Bench]:
    other = Bench(bench.settings.database_url, bench.folder, reader_pool_size=1, writer_pool_size=1)
    await other.database.open()
    try:
        yield other
    finally:
        await asyncio.shield(asyncio.ensure_future(other.database.close()))


ACTS: list[Act] = [
    read,
    read_with_own_timeout,
    read_in_a_line,
    write,
    bulk,
    script,
    describe,
    contract,
    lease_only,
    core,
    first_use,
    close,
]


async def scenario(url: str, folder: Path, act: Act, late: bool) -> None:
    # On the event loop a short read would never suspend.
    bench = Bench(url, folder, reader_pool_size=1, writer_pool_size=1, acquire_timeout_seconds=5, short_reads="thread")
    await bench.database.open()
    try:
        bench.write(FILES)
        await bench.call("setup")
        for warm_up in (read, read_with_own_timeout, write, script):
            await warm_up(bench)
        await bench.contracts.get(bench.registry["items.three"])

        async def check() -> None:
            await bench.assert_whole()
            # With one connection a pool, anything left open would be met here: a lock, a transaction, a lost place.
            count = (await bench.call("items.count"))["value"]
            assert count in (1, 4), "half a transaction"
            await bench.call("items.raise")
            await bench.call("items.script")
            await bench.assert_whole()
            assert all(pool.size <= 1 for pools in bench.database.status().values() for pool in pools)

        await every_await(bench, act, late, check, may_be_one=act is lease_only)
        await nothing_is_open(url)
    finally:
        await bench.database.close()


@pytest.mark.reliability(30)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_cancelled_at_every_await(database_url: str, tmp_path: Path, act: Act, late: bool, loop: str) -> None:
    (tmp_path / "queries").mkdir()
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.sleep(0))  # uvloop keeps descriptors of its own from its first use on
    threads, files = threading.active_count(), descriptors()
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario(database_url, tmp_path / "queries", act, late))
    deadline = time.monotonic() + 2  # a thread that has said its last word still needs a moment to end
    while (threading.active_count() > threads or descriptors() > files) and time.monotonic() < deadline:
        time.sleep(0.001)
    # Fewer is fine: what a test before this one had left may have ended meanwhile.
    assert threading.active_count() <= threads
    assert descriptors() <= files
    assert not (tmp_path / "test.db-wal").exists()
