"""A read without a task: on a session that is lent to it, told once, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import garbage
from sqlwright import batching as module
from sqlwright.batching import Batching
from sqlwright.errors import MoreThanOneRow, ResultError, SqlwrightError, StatementTimeout
from sqlwright.lone import Lone
from sqlwright.query import Access, Result
from sqlwright.time_limit import TimeLimits
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]
Said = Result | Exception | None

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, name text);
INSERT INTO item VALUES (1, 'one'), (2, 'two'), (3, NULL);
""",
    "q.sql": """
-- name: item :one
-- @param id int
SELECT id, name FROM item WHERE id = :id;

-- name: only :one
-- @param id int
SELECT id FROM item WHERE id >= :id;

-- name: planned :one
-- @param id int
-- @plan-mode generic
SELECT id FROM item WHERE id = :id;

-- name: inverse$
-- @param n int
SELECT 12 / :n AS n;

-- name: counted$
-- @param n int
-- @timeout 20s
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n) SELECT count(*) AS n FROM c;

-- name: counted_soon$
-- @param n int
-- @timeout 0.1s
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n) SELECT count(*) AS n FROM c;

-- name: set$
-- @param value text
SELECT set_config('sqlwright.test', :value, false);
""",
}
FAR = 200_000_000
"""Counting to it takes longer than anybody waits."""


@pytest.fixture
async def bench(open_bench: Open, postgresql_url: str) -> Bench:
    return await opened(open_bench, postgresql_url)


async def opened(open_bench: Open, url: str, connections: int = 1) -> Bench:
    bench = await open_bench(url, FILES, reader_pool_size=connections)
    await bench.call("setup")
    for name, value in (("item", 1), ("only", 3), ("planned", 1), ("inverse", 1), ("counted", 1), ("counted_soon", 1)):
        await bench.call(name, {bench.registry[name].parameters[0].name: value})
        measured(bench, name).item_seconds = 1e-4
    return bench


def measured(bench: Bench, name: str) -> Any:
    contract = bench.contracts.ready(bench.registry[name])
    assert contract is not None
    return contract.program.measured


class Ear:
    def __init__(self) -> None:
        self.said: list[Said] = []
        self._heard = asyncio.Event()

    def __call__(self, said: Said) -> None:
        self.said.append(said)
        self._heard.set()

    async def hear(self) -> Said:
        async with asyncio.timeout(10):
            await self._heard.wait()
        await asyncio.sleep(0.01)
        assert len(self.said) == 1
        return self.said[0]


def begin(bench: Bench, name: str, value: Any, ear: Ear, *, opens: bool = False) -> bool:
    contract = bench.contracts.ready(bench.registry[name])
    assert contract is not None
    batching = bench.database.batching
    assert isinstance(batching, Batching)
    seconds = contract.timeout_seconds
    return batching.join(contract.program, [value], None, seconds, ear, opens=opens)


async def whole(bench: Bench) -> None:
    """Nothing is lent, waits, or is still kept in mind."""
    await bench.assert_whole()
    batching = bench.database.batching
    assert batching is not None
    assert batching.is_idle
    assert not batching._time_limits._running


async def test_it_runs_at_once_and_makes_no_task(bench: Bench) -> None:
    tasks = asyncio.all_tasks()
    ear = Ear()
    assert begin(bench, "item", 2, ear)
    assert asyncio.all_tasks() == tasks
    assert not ear.said  # not from in there
    said = await ear.hear()
    assert isinstance(said, Result)
    assert said.json == b'{"id":2,"name":"two"}'
    assert said.together == 1
    assert 0 < said.database_seconds < 5
    await whole(bench)


async def test_who_comes_meanwhile_lines_up(bench: Bench) -> None:
    ears = [Ear() for _ in range(6)]
    for ear in ears:
        assert begin(bench, "item", 1, ear)
    said = [await ear.hear() for ear in ears]
    assert [each.together for each in said if isinstance(each, Result)] == [1, 5, 5, 5, 5, 5]
    await whole(bench)


async def test_without_a_free_connection_it_is_left_to_others(bench: Bench) -> None:
    ear = Ear()
    async with bench.database.lease(Access.READ):
        assert not begin(bench, "item", 1, ear)
    assert not ear.said
    await whole(bench)


async def test_what_is_not_known_to_be_cheap_is_left_to_others(bench: Bench) -> None:
    measured(bench, "item").item_seconds = 0.5
    assert not begin(bench, "item", 1, Ear())
    await bench.call("set", {"value": "x"})
    measured(bench, "set").item_seconds = 1e-4
    assert not begin(bench, "set", "x", Ear())  # it leaves something behind
    await whole(bench)


async def test_an_error_is_told_and_the_session_lives(bench: Bench) -> None:
    opened = bench.database.opened
    ear = Ear()
    assert begin(bench, "inverse", 0, ear)
    said = await ear.hear()
    assert isinstance(said, SqlwrightError)
    assert not isinstance(said, ResultError)
    assert await bench.call("inverse", {"n": 3}) == {"value": 4}
    assert bench.database.opened == opened
    await whole(bench)


async def test_errors_leave_nothing_to_collect(bench: Bench) -> None:
    async def fail() -> None:
        ear = Ear()
        assert begin(bench, "inverse", 0, ear)
        await ear.hear()

    await fail()
    await asyncio.sleep(0.1)
    with garbage.kept() as kept:
        await fail()
        await asyncio.sleep(0.1)  # the session is reset
    assert not kept & {"Lone", "InvalidValue", "DivisionByZeroError", "traceback", "_Line"}


async def test_a_pool_that_is_being_closed_lends_nothing(open_bench: Open, postgresql_url: str) -> None:
    bench = await opened(open_bench, postgresql_url, connections=2)
    async with bench.database.lease(Access.READ), bench.database.lease(Access.READ):
        pass  # so that there are two
    pool = bench.database._readers[0].pool
    assert pool is not None
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    assert not begin(bench, "item", 1, Ear())
    await closing
    assert pool.status.size == 0


async def test_what_the_query_says_of_its_rows_holds(bench: Bench) -> None:
    ear = Ear()
    assert begin(bench, "only", 1, ear)
    assert isinstance(await ear.hear(), MoreThanOneRow)
    await whole(bench)


async def test_it_takes_the_session_that_plans_as_it_wants(open_bench: Open, postgresql_url: str) -> None:
    bench = await opened(open_bench, postgresql_url, connections=2)
    pool = bench.database._readers[0].pool
    assert pool is not None
    async with bench.database.lease(Access.READ), bench.database.lease(Access.READ):
        pass  # so that there are two
    for name in ("planned", *("item", "planned") * 3):
        ear = Ear()
        assert begin(bench, name, 1, ear)
        await ear.hear()
        assert sorted(str(session.plan_mode) for session in pool._free) == ["auto", "generic"]
    await whole(bench)


async def test_the_servers_own_limit_of_time_is_told(bench: Bench) -> None:
    ear = Ear()
    assert begin(bench, "counted_soon", FAR, ear)
    assert isinstance(await ear.hear(), StatementTimeout)
    assert await bench.call("item", {"id": 1}) == {"id": 1, "name": "one"}
    await whole(bench)


async def test_one_that_takes_long_is_stopped_and_runs_as_others_do(bench: Bench) -> None:
    ear = Ear()
    assert begin(bench, "counted", FAR, ear)
    before = asyncio.get_running_loop().time()
    assert await ear.hear() is None  # which says: run it alone
    assert asyncio.get_running_loop().time() - before >= module.PATIENCE_SECONDS / 2
    assert not measured(bench, "counted").is_cheap  # so that the next one does not begin like this
    assert await bench.call("item", {"id": 1}) == {"id": 1, "name": "one"}  # it no longer runs on the only session
    await whole(bench)


async def test_a_connection_that_is_cut_is_told_and_thrown_away(bench: Bench) -> None:
    ear = Ear()
    assert begin(bench, "counted", FAR, ear)
    pool = bench.database._readers[0].pool
    assert pool is not None
    for session in pool._lent:
        session.terminate()
    said = await ear.hear()
    assert said is None or isinstance(said, SqlwrightError)
    assert await bench.call("item", {"id": 1}) == {"id": 1, "name": "one"}
    await whole(bench)


# --- the coroutine ----------------------------------------------------------------------------------------------


async def outcome(work: Coroutine[Any, None, Any], limit_seconds: float = 10.0) -> Result | BaseException:
    limits = TimeLimits()
    told: asyncio.Future[Result | BaseException] = asyncio.get_running_loop().create_future()
    Lone(limits, work, told.set_result).start(limit_seconds)
    assert not told.done()
    async with asyncio.timeout(5):
        found = await told
    assert not limits._running
    return found


async def test_all_that_a_coroutine_may_wait_for() -> None:
    async def nothing() -> Result:
        return Result(count=1)

    async def turns() -> Result:
        for _ in range(3):
            await asyncio.sleep(0)
        return Result(count=2)

    async def futures() -> Result:
        await asyncio.sleep(0.001)
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.001))
        return Result(count=3)

    found = [await outcome(work()) for work in (nothing, turns, futures)]
    assert [each.count for each in found if isinstance(each, Result)] == [1, 2, 3]


async def test_what_a_coroutine_raises() -> None:
    async def at_once() -> Result:
        raise ValueError

    async def later() -> Result:
        await asyncio.sleep(0.001)
        raise KeyError

    assert isinstance(await outcome(at_once()), ValueError)
    assert isinstance(await outcome(later()), KeyError)


async def test_the_limit_holds_also_when_it_comes_between_two_waits() -> None:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[None] = loop.create_future()
    limits = TimeLimits()

    async def two() -> Result:
        await first
        await loop.create_future()
        return Result()

    told: asyncio.Future[Result | BaseException] = loop.create_future()
    Lone(limits, two(), told.set_result).start(0.0)
    first.set_result(None)
    limits._look()  # in the same turn of the loop
    assert isinstance(await asyncio.wait_for(told, 2), asyncio.CancelledError)
    assert not limits._running


async def test_at_the_limit_it_is_told_as_a_task_would_be() -> None:
    mended = []

    async def long() -> Result:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            mended.append(True)
        return Result()

    assert isinstance(await outcome(long(), 0.01), asyncio.CancelledError)
    assert mended == [True]
