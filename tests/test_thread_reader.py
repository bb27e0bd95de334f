"""Short reads on another thread than the loop's, with a session that is the pool's own again whenever it is needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqlwright.engines.base import Program
from sqlwright.query import Access, Result
from sqlwright.thread_reader import KEPT_SECONDS, ThreadReader
from workbench import Bench

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, name text);
INSERT INTO item VALUES (1, 'one');
""",
    "q/all.sql": """
-- name: item^
-- @param id int
SELECT id, name FROM item WHERE id = :id;

-- name: rename!
UPDATE item SET name = :name;
""",
}
ONE = b'{"id":1,"name":"one"}'


class Reading:
    def __init__(self, bench: Bench, reader: ThreadReader | None, program: Program) -> None:
        assert reader is not None
        self.bench = bench
        self.reader = reader
        self._program = program

    async def read(self) -> Result | None:
        return await asyncio.to_thread(self.reader.read, self._program, (1,), None)

    async def until_read(self) -> Result:
        for _ in range(200):
            result = await self.read()
            if result is not None:
                return result
            await asyncio.sleep(0.01)
        raise AssertionError("it is never read there")

    def sizes(self) -> tuple[int, int]:
        status = self.bench.database.status()["reader"][0]
        return status.size, status.idle


@pytest.fixture(params=[1, 4])
async def reading(
    request: pytest.FixtureRequest, sqlite_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> Reading:
    bench = await open_bench(sqlite_url, FILES, reader_pool_size=request.param)
    await bench.call("setup")
    await bench.call("q.item", {"id": 1})
    contract = await bench.contracts.get(bench.registry["q.item"])
    reader = bench.database.thread_reader()
    assert reader is not None
    return Reading(bench, reader, contract.program)


async def test_the_first_read_asks_for_a_session_and_the_next_has_it(reading: Reading) -> None:
    assert await reading.read() is None
    assert (await reading.until_read()).json == ONE


async def test_what_was_written_is_read(reading: Reading) -> None:
    await reading.until_read()
    for name in "abcdef":
        await reading.bench.call("q.rename", {"name": name})
        assert (await reading.until_read()).json == b'{"id":1,"name":"%b"}' % name.encode()


async def test_who_needs_a_session_has_it_at_once(reading: Reading) -> None:
    """Also where there is only the one that is kept here."""
    await reading.until_read()
    async with asyncio.timeout(KEPT_SECONDS / 2), reading.bench.database.lease(Access.READ):
        pass
    assert (await reading.until_read()).json == ONE


async def test_who_needs_a_session_that_is_in_use_has_it_afterwards(reading: Reading) -> None:
    await reading.until_read()
    begun, end = threading.Event(), threading.Event()

    def read_long() -> None:
        with reading.reader.together():
            begun.set()
            end.wait(10)

    running = asyncio.create_task(asyncio.to_thread(read_long))
    await asyncio.to_thread(begun.wait, 10)
    leases = [reading.bench.database.lease(Access.READ) for _ in range(reading.sizes()[0])]
    taking = [asyncio.create_task(lease.__aenter__()) for lease in leases]
    await asyncio.sleep(0.05)
    end.set()
    await running
    async with asyncio.timeout(KEPT_SECONDS / 2):
        await asyncio.gather(*taking)
    for lease in leases:
        await lease.__aexit__(None, None, None)


async def test_who_waits_behind_the_reader_has_the_session_next(
    sqlite_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> None:
    """Also where it was not known, when he came, that none would be left for him."""
    bench = await open_bench(sqlite_url, FILES, reader_pool_size=2, acquire_timeout_seconds=KEPT_SECONDS / 2)
    await bench.call("setup")
    await bench.call("q.item", {"id": 1})
    reading = Reading(
        bench, bench.database.thread_reader(), (await bench.contracts.get(bench.registry["q.item"])).program
    )
    for _ in range(3):
        held = [bench.database.lease(Access.READ) for _ in range(2)]
        for lease in held:
            await lease.__aenter__()
        await reading.read()  # asks, and stands in line
        others = [bench.database.lease(Access.READ) for _ in range(2)]
        waiting = [asyncio.create_task(lease.__aenter__()) for lease in others]
        await asyncio.sleep(0.02)
        for lease in held:
            await lease.__aexit__(None, None, None)
        await asyncio.gather(*waiting)
        for lease in others:
            await lease.__aexit__(None, None, None)
        await reading.until_read()


async def test_a_session_that_nobody_reads_from_goes_back(reading: Reading) -> None:
    await reading.until_read()
    size, idle = reading.sizes()
    assert idle == size - 1
    await asyncio.sleep(KEPT_SECONDS * 1.2)
    await reading.bench.assert_whole()


async def test_several_reads_see_one_state(reading: Reading) -> None:
    """And leave no transaction behind."""
    await reading.bench.call("q.rename", {"name": "one"})  # known from now on
    await reading.until_read()
    with reading.reader.together():
        before = reading.reader.read(reading._program, (1,), None)
        await reading.bench.call("q.rename", {"name": "two"})
        within = reading.reader.read(reading._program, (1,), None)
    after = await reading.until_read()
    assert before is not None
    assert within is not None
    assert (before.json, within.json, after.json) == (ONE, ONE, b'{"id":1,"name":"two"}')


async def test_a_read_that_takes_long_is_left_to_others(
    sqlite_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> None:
    count = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n) SELECT count(*) AS n FROM c"
    bench = await open_bench(sqlite_url, {"q/all.sql": f"-- name: count$\n-- @param n int\n{count}"})
    await bench.call("q.count", {"n": 1})
    reader = bench.database.thread_reader()
    contract = await bench.contracts.get(bench.registry["q.count"])
    assert reader is not None

    def read(n: int) -> Any:
        return reader.read(contract.program, (n,), None)

    while (await asyncio.to_thread(read, 5)) is None:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(read, 10_000_000) is None
    assert (await bench.call("q.count", {"n": 7})) == {"value": 7}
    await asyncio.sleep(KEPT_SECONDS * 1.2)
    await bench.assert_whole()


async def test_an_engine_that_does_not_read_at_once_has_no_such_reader(
    postgresql_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> None:
    bench = await open_bench(postgresql_url, {})
    assert bench.database.thread_reader() is None
