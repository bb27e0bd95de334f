"""A transaction that does nothing is ended: what it had locked is free, and its connection comes back."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqlwright.errors import DatabaseUnavailable, DeadlineExceeded, StatementTimeout
from sqlwright.query import Access
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]
LIMIT = 0.3
FILES = {
    "q.sql": """
-- name: setup#
CREATE TABLE item (n int PRIMARY KEY, size int NOT NULL);
INSERT INTO item VALUES (0, 0);

-- name: grow!
UPDATE item SET size = size + 1 WHERE n = 0;

-- name: size$
SELECT size FROM item WHERE n = 0;

-- name: sizes
SELECT size FROM item;

-- name: count_to$
-- @timeout 30s
-- @param rows int
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) SELECT count(*) FROM n;
"""
}


@pytest.fixture
async def bench(open_bench: Open, database_url: str) -> Bench:
    bench = await open_bench(
        database_url, FILES, idle_in_transaction_timeout_seconds=LIMIT, writer_pool_size=2, reader_pool_size=2
    )
    await bench.call("setup")
    for name in ("grow", "size"):  # described
        await bench.contracts.get(bench.registry[name])
    return bench


async def size(bench: Bench) -> Any:
    return (await bench.call("size"))["value"]


@pytest.mark.reliability(26)
@pytest.mark.parametrize("read_only", [False, True])
async def test_it_is_ended_and_what_it_locked_is_free(bench: Bench, read_only: bool) -> None:
    begun = time.monotonic()

    async def idle() -> None:
        async with bench.database.transaction(read_only=read_only) as tx:
            await bench.result("size" if read_only else "grow", where=tx)
            await asyncio.sleep(5)

    idling = asyncio.ensure_future(idle())
    await asyncio.sleep(0.1)
    await bench.call("grow")  # where it writes, this waits for the lock
    with pytest.raises(DeadlineExceeded, match=r"did nothing for longer than 0\.3 s") as ended:
        await idling
    assert time.monotonic() - begun < LIMIT + 0.5
    assert ended.value.outcome == "none"
    await bench.assert_whole()
    assert await size(bench) == 1


@pytest.mark.reliability(26)
async def test_a_swallowed_end_keeps_nothing(bench: Bench) -> None:
    with pytest.raises(DeadlineExceeded, match="did nothing"):
        async with bench.database.transaction() as tx:
            await bench.result("grow", where=tx)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(5)
    await bench.assert_whole()
    assert await size(bench) == 0


async def test_one_that_goes_on_does_not_idle(bench: Bench) -> None:
    async with bench.database.transaction(timeout_seconds=60) as tx:
        for _ in range(3):
            await bench.result("grow", where=tx)
            await asyncio.sleep(LIMIT * 0.6)
        async with tx.savepoint():
            await asyncio.sleep(LIMIT * 0.6)
        await asyncio.sleep(LIMIT * 0.6)
    assert await size(bench) == 3


async def test_a_long_statement_is_not_idle(bench: Bench) -> None:
    rows = 1000
    while True:
        begun = time.monotonic()
        async with bench.database.transaction(timeout_seconds=60) as tx:
            await bench.result("count_to", {"rows": rows}, where=tx)
        if time.monotonic() - begun > LIMIT * 2:
            return
        rows *= 2


@pytest.fixture(params=["postgresql", "mysql"])
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.mark.reliability(26)
async def test_the_server_ends_what_nobody_ends(open_bench: Open, server_url: str) -> None:
    """Where our own end does not come: a loop that is blocked, a process that is stopped."""
    bench = await open_bench(server_url, FILES, idle_in_transaction_timeout_seconds=0.1)
    await bench.call("setup")
    engine = bench.database.engine
    async with bench.database.lease(Access.WRITE) as lease:
        await engine.begin(lease, isolation=None, read_only=False, timeout_seconds=1)
        contract = await bench.contracts.get(bench.registry["grow"])
        await engine.run(lease, contract.program, [], window=None, timeout_seconds=1)
        await asyncio.sleep(0.1 + 1 + 1.5)  # MariaDB counts whole seconds
        with pytest.raises((DatabaseUnavailable, StatementTimeout)) as ended:
            await engine.commit(lease, timeout_seconds=1)
        assert ended.value.outcome == "none"
    await bench.assert_whole()
    assert await size(bench) == 0
