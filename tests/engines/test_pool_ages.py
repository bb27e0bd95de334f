"""Connections that are old or unneeded are closed, and nobody notices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_pool import Link, Links, make, settle, taken

from sqlwright.query import Access
from workbench import Bench

Open = Any


async def until(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


@pytest.fixture
def links() -> Links:
    return Links()


async def test_what_was_not_needed_for_long_is_closed_but_for_the_warmest(links: Links) -> None:
    pool = make(links, size=3, idle_seconds=0.2)
    connections = await taken(pool, 3)
    for connection in connections:
        pool.release(connection)
    await until(lambda: pool.status.size == 1)
    assert {link.number for link in links.closed} == {0, 1}
    assert await pool.acquire() is connections[2]


async def test_what_is_in_use_is_never_unneeded(links: Links) -> None:
    pool = make(links, size=2, idle_seconds=0.05)
    first, second = await taken(pool, 2)
    await asyncio.sleep(0.3)
    assert links.closed == []
    pool.release(first)
    pool.release(second)
    await until(lambda: pool.status.size == 1)


async def test_an_old_connection_is_closed_when_it_comes_back(links: Links) -> None:
    pool = make(links, lifetime_seconds=0.05)
    (old,) = await taken(pool, 1)
    await asyncio.sleep(0.1)
    assert old.alive  # whoever has it keeps it
    pool.release(old)
    assert pool.status.size == 0
    await settle()
    assert links.closed == [old]
    (fresh,) = await taken(pool, 1)
    assert fresh is not old


async def test_an_old_connection_is_closed_while_it_is_free(links: Links) -> None:
    pool = make(links, lifetime_seconds=0.1)
    (old,) = await taken(pool, 1)
    pool.release(old)
    await until(lambda: links.closed == [old])
    assert pool.status.size == 0


async def test_who_waits_gets_a_new_one_in_the_place_of_an_old_one(links: Links) -> None:
    pool = make(links, size=1, lifetime_seconds=0.05)
    (old,) = await taken(pool, 1)
    waiter = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0.1)
    pool.release(old)
    fresh = await asyncio.wait_for(waiter, 5)
    assert fresh is not old
    assert isinstance(fresh, Link)
    assert fresh.alive


async def test_closing_waits_for_those_that_are_being_closed(links: Links) -> None:
    pool = make(links, lifetime_seconds=0.01)
    (old,) = await taken(pool, 1)
    await asyncio.sleep(0.05)
    event = asyncio.Event()
    links.before_close = event.wait
    pool.release(old)
    closing = asyncio.create_task(pool.close())
    await settle()
    assert not closing.done()
    event.set()
    await closing
    assert links.closed == [old]


async def test_calls_go_on_over_connections_that_are_replaced(open_bench: Open, database_url: str) -> None:
    files = {"one.sql": "-- name: one$\nSELECT 1 AS one;"}
    bench: Bench = await open_bench(
        database_url, files, reader_pool_size=2, connection_lifetime_seconds=0.05, connection_idle_seconds=0.05
    )
    for _ in range(40):
        answers = await asyncio.gather(*(bench.call("one") for _ in range(4)))
        assert answers == [{"value": 1}] * 4
        await asyncio.sleep(0.01)
    assert bench.database.opened > 3
    await bench.assert_whole()


async def test_a_database_in_memory_keeps_its_only_connection(open_bench: Open, tmp_path: Path) -> None:
    del tmp_path
    files = {
        "make.sql": "-- name: make!\nCREATE TABLE t (n int);",
        "count.sql": "-- name: count$\nSELECT count(*) AS n FROM t;",
    }
    bench: Bench = await open_bench(
        "sqlite:///:memory:", files, connection_lifetime_seconds=0.01, connection_idle_seconds=0.01
    )
    await bench.call("make")
    await asyncio.sleep(0.2)
    assert await bench.call("count") == {"value": 0}
    async with bench.database.lease(Access.READ):
        pass
