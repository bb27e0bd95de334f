"""The COMMIT was acknowledged, and then its connection fails before it is whole again: that is a success."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy
from fault_proxy import FaultProxy
from served import ITEM_FILES as FILES
from served import serving
from server_sql import server_sql

from record_shop import run_script
from sqlwright.query import Access
from workbench import Bench

SCHEMA = "CREATE TABLE item (n int PRIMARY KEY)"
RESET = {"postgresql": b"UNLISTEN", "mysql": b"\x01\x00\x00\x00\x1f"}
"""In what is sent to a session after its use."""
ADD = "/queries/items/add"
MANY = "/queries/items/many"


@pytest.fixture(params=["postgresql", "mysql"])
def item_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    asyncio.run(run_script(url, SCHEMA))
    return url


@pytest.mark.reliability(22)
async def test_the_server_is_lost_while_the_session_is_reset(item_url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(item_url)
    await proxy.accept()
    async with (
        server_sql(item_url).connect(item_url) as execute,
        serving(proxy.address, tmp_path, FILES, writer_pool_size=1) as caller,
    ):
        await caller.until_whole(10)
        number = 0
        for delivered in (False, True):
            for path in (ADD, MANY, "/transaction"):
                await caller.until_whole()
                await asyncio.sleep(0.1)
                number += 1
                steps = {"steps": [{"query": "items.add", "params": {"n": number}}]}
                body = {ADD: {"n": number}, MANY: [{"n": number}]}.get(path, steps)
                accepted = proxy.accepted
                proxy.cut_at, proxy.cut_delivers = RESET[item_url.partition(":")[0]], delivered
                answer = await caller.http.post(path, json=body)
                assert answer.status_code == 200, answer.text
                await caller.until_whole()
                assert proxy.cut_at is None, "the session was not reset"
                assert proxy.accepted > accepted, "the connection was kept"
                assert await execute(f"SELECT n FROM item WHERE n = {number}")
    proxy.refuse()


@pytest.mark.reliability(22)
async def test_the_server_ends_the_session_after_the_commit(
    item_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> None:
    """By its own hand, between the answer to COMMIT and the release."""
    bench = await open_bench(item_url, FILES, writer_pool_size=1)
    engine = bench.database.engine
    contract = await bench.contracts.get(bench.registry["items.add"])
    asks, ends = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mysql": ("SELECT connection_id()", "KILL CONNECTION {}"),
    }[item_url.partition(":")[0]]
    async with server_sql(item_url).connect(item_url) as execute:
        async with bench.database.lease(Access.WRITE) as lease:
            opened = bench.database.opened
            await engine.begin(lease, isolation=None, read_only=False, timeout_seconds=1)
            await engine.run(lease, contract.program, [1], window=None, timeout_seconds=1)
            session = (await lease.fetch_one(sqlalchemy.text(asks)))[0]
            await engine.commit(lease, timeout_seconds=1)
            await execute(ends.format(session))
        await bench.assert_whole()
        assert bench.database.opened == opened
        assert (await bench.call("items.add", {"n": 2}))["affected"] == 1
        assert bench.database.opened == opened + 1
        assert len(await execute("SELECT n FROM item")) == 2


@pytest.mark.reliability(22, engine="sqlite")
async def test_a_sqlite_session_that_cannot_be_mended(
    sqlite_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> None:
    """Something of the caller's still runs on its thread, and does not end."""
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as raw:
        raw.execute(SCHEMA)
    bench = await open_bench(sqlite_url, FILES, acquire_timeout_seconds=4)
    engine = bench.database.engine
    contract = await bench.contracts.get(bench.registry["items.add"])
    async with bench.database.lease(Access.WRITE) as lease:
        opened = bench.database.opened
        await engine.begin(lease, isolation=None, read_only=False, timeout_seconds=1)
        await engine.run(lease, contract.program, [1], window=None, timeout_seconds=1)
        await engine.commit(lease, timeout_seconds=1)
        endless = asyncio.ensure_future(lease.raw_connection._execute(time.sleep, 2.5))
        await asyncio.sleep(0.05)
    assert (await bench.call("items.add", {"n": 2}))["affected"] == 1  # waits until the session is given up
    assert bench.database.opened == opened + 1
    await bench.assert_whole()
    assert (await bench.call("items.count"))["value"] == 2
    await endless
