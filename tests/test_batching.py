"""Calls that wait for each other run as one statement: each gets its own, whatever happens to the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from sqlwright.errors import AcquireTimeout, SqlwrightError, TooManyWaiting
from sqlwright.query import Access, Result
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, name text);
INSERT INTO item VALUES (1, 'one'), (2, 'two'), (3, NULL), (4, 'four');
""",
    "q.sql": """
-- name: item :one?
-- @param id int
SELECT id, name FROM item WHERE id = :id;

-- name: from_id
-- @param id int
-- @limit 2
SELECT id, name FROM item WHERE id >= :id ORDER BY id;

-- name: absolute$
-- @param n bigint
SELECT abs(:n) AS n;

-- name: apart :one?
-- @param id int
-- @batch off
SELECT id FROM item WHERE id = :id;

-- name: counted$
-- @param n int
-- @timeout 20s
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n) SELECT count(*) AS n FROM c;
""",
}
LOWEST = -(2**63)
"""Its absolute value is out of range on every engine."""
FAR = 200_000_000
"""Counting to it takes longer than anybody waits."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


async def opened(open_bench: Open, url: str, **settings: Any) -> Bench:
    """With one connection for reading, so that whoever takes it makes a line."""
    bench = await open_bench(url, FILES, reader_pool_size=1, short_reads="thread", **settings)
    await bench.call("setup")
    for name, body in (
        ("item", {"id": 1}),
        ("from_id", {"id": 1}),
        ("absolute", {"n": 1}),
        ("apart", {"id": 1}),
        ("counted", {"n": 1}),
    ):
        await bench.call(name, body)
    return bench


@pytest.fixture
async def bench(open_bench: Open, url: str) -> Bench:
    return await opened(open_bench, url)


async def lined_up(bench: Bench, calls: list[tuple[str, dict[str, Any]]]) -> list[asyncio.Task[Any]]:
    """The calls begun in this order while the connection was taken, so that they wait in line; it is free now."""
    for name in {name for name, _ in calls}:
        contract = bench.contracts.ready(bench.registry[name])
        assert contract is not None
        contract.program.measured.item_seconds = 1e-5  # so that all have room in one batch
    async with bench.database.lease(Access.READ):
        tasks = []
        for name, body in calls:
            tasks.append(asyncio.create_task(bench.result(name, body)))
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
    return tasks


async def results(tasks: list[asyncio.Task[Any]]) -> list[Result]:
    return [result for _, result in await asyncio.gather(*tasks)]


async def running(bench: Bench) -> None:
    """Until a batch is with the database."""
    batching = bench.database.batching
    assert batching is not None
    async with asyncio.timeout(5):
        while batching.waiting or not batching._runners:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)


async def test_each_gets_its_own(bench: Bench) -> None:
    ids = [random.randint(0, 5) for _ in range(100)]
    calls = [(name, {"id": id}) for id in ids for name in ("item", "from_id")]
    found = await results(await lined_up(bench, calls))
    alone = {(name, body["id"]): (await bench.result(name, body))[1] for name, body in calls}
    for (name, body), result in zip(calls, found, strict=True):
        expected = alone[name, body["id"]]
        assert (result.json, result.count, result.more) == (expected.json, expected.count, expected.more)
    assert sum(result.together > 1 for result in found) >= 190
    await bench.assert_whole()


async def test_a_query_that_is_idle_waits_for_nobody(bench: Bench) -> None:
    _, result = await bench.result("item", {"id": 2})
    assert result.together == 1
    assert result.json == b'{"id":2,"name":"two"}'


async def test_an_error_is_its_callers_alone(bench: Bench) -> None:
    numbers = [*range(10), LOWEST, *range(10), LOWEST, *range(5)]
    tasks = await lined_up(bench, [("absolute", {"n": n}) for n in numbers])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for n, answer in zip(numbers, answers, strict=True):
        if n == LOWEST:
            assert isinstance(answer, SqlwrightError)
        else:
            assert answer[1].json == b"%d" % n
    await bench.assert_whole()
    assert await bench.call("absolute", {"n": -7}) == {"value": 7}


async def test_callers_who_always_send_what_fails_stop_nothing(bench: Bench) -> None:
    for _ in range(20):
        numbers = [random.choice([LOWEST, 3, 4]) for _ in range(20)]
        tasks = await lined_up(bench, [("absolute", {"n": n}) for n in numbers])
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        told = [None if isinstance(a, SqlwrightError) else int(a[1].json) for a in answers]
        assert told == [None if n == LOWEST else n for n in numbers]
    await bench.assert_whole()


async def test_who_leaves_the_line_takes_nobody_with_him(bench: Bench) -> None:
    async with bench.database.lease(Access.READ):
        tasks = [asyncio.create_task(bench.result("item", {"id": 1})) for _ in range(30)]
        await asyncio.sleep(0.02)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert all(answer[1].count == 1 for answer in answers[1::2])  # type: ignore[index]
    await bench.assert_whole()
    assert bench.database.batching is not None
    assert bench.database.batching.waiting == 0


async def test_the_first_in_line_leaves_while_it_waits_for_the_connection(bench: Bench) -> None:
    async with bench.database.lease(Access.READ):
        first = asyncio.create_task(bench.result("item", {"id": 1}))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(bench.result("item", {"id": id})) for id in (2, 3)]
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
    assert [result.count for result in await results(others)] == [1, 1]
    await bench.assert_whole()


async def test_who_leaves_a_running_batch_takes_nobody_with_him(bench: Bench) -> None:
    calls = [("counted", {"n": n}) for n in (1, 300_000, 300_001, 300_002, 300_003)]
    tasks = await lined_up(bench, calls)
    await running(bench)
    tasks[2].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], asyncio.CancelledError)
    assert [a[1].json for n, a in enumerate(answers) if n != 2] == [  # type: ignore[index]
        b"1", b"300000", b"300002", b"300003"
    ]  # fmt: skip
    await bench.assert_whole()


@pytest.mark.reliability(33)
async def test_when_the_last_has_left_the_statement_is_stopped(open_bench: Open, postgresql_url: str) -> None:
    bench = await opened(open_bench, postgresql_url)
    tasks = await lined_up(bench, [("counted", {"n": n}) for n in (1, FAR, FAR + 1, FAR + 2)])
    await running(bench)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await bench.assert_whole()
    server = await asyncpg.connect(postgresql_url)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%RECURSIVE c(i)%'"
    assert await server.fetchval(f"{busy} AND state = 'active' AND pid <> pg_backend_pid()") == 0
    await server.close()
    assert await bench.call("counted", {"n": 5}) == {"value": 5}


async def test_a_slow_one_holds_nobody_up(open_bench: Open, postgresql_url: str) -> None:
    bench = await opened(open_bench, postgresql_url)
    bench.database._readers[-1].pool._limits = type(bench.database._readers[-1].pool._limits)(size=4)  # type: ignore[union-attr]
    calls = [("counted", {"n": FAR if n == 3 else n}) for n in range(1, 9)]
    tasks = await lined_up(bench, calls)
    slow = tasks.pop(2)
    found = await asyncio.wait_for(results(tasks), 15)
    assert [int(result.json) for result in found] == [1, 2, 4, 5, 6, 7, 8]
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await bench.assert_whole()


@pytest.mark.reliability(31)
async def test_waiting_in_line_has_a_limit_of_time(open_bench: Open, url: str) -> None:
    bench = await opened(open_bench, url, acquire_timeout_seconds=0.2)
    async with bench.database.lease(Access.READ):
        refused = await asyncio.gather(*(bench.call("item", {"id": 1}) for _ in range(50)), return_exceptions=True)
    assert {type(error) for error in refused} == {AcquireTimeout}
    await bench.assert_whole()
    assert await bench.call("item", {"id": 1}) == {"id": 1, "name": "one"}


@pytest.mark.reliability(31)
async def test_the_line_has_a_limit_of_number(open_bench: Open, url: str) -> None:
    bench = await opened(open_bench, url, waiting_max=5)
    async with bench.database.lease(Access.READ):
        tasks = [asyncio.create_task(bench.call("item", {"id": 1})) for _ in range(20)]
        await asyncio.sleep(0.05)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert 5 <= sum(answer == {"id": 1, "name": "one"} for answer in answers) <= 7
    assert all(isinstance(answer, TooManyWaiting) for answer in answers if isinstance(answer, BaseException))
    await bench.assert_whole()


@pytest.mark.reliability(22)
async def test_the_session_is_killed_under_a_batch(open_bench: Open, postgresql_url: str) -> None:
    bench = await opened(open_bench, postgresql_url)
    server = await asyncpg.connect(postgresql_url)
    tasks = await lined_up(bench, [("counted", {"n": 400_000 + n}) for n in range(4)])
    await running(bench)
    await server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await server.close()
    for n, answer in enumerate(answers):
        # Each was asked again on its own: a new session answers, or says why not. Never another's answer.
        assert isinstance(answer, SqlwrightError) or answer[1].json == b"%d" % (400_000 + n)  # type: ignore[index]
    await bench.assert_whole()
    for _ in range(3):  # the server's word that a session is ended can come late, with the next statement
        last = await asyncio.gather(bench.call("counted", {"n": 5}), return_exceptions=True)
    assert last == [{"value": 5}]


async def test_off_for_a_query(bench: Bench) -> None:
    found = await results(await lined_up(bench, [("apart", {"id": 1})] * 20))
    assert {result.together for result in found} == {1}


async def test_off_for_all(open_bench: Open, url: str) -> None:
    bench = await opened(open_bench, url, batching="off")
    found = await results(await lined_up(bench, [("item", {"id": 1})] * 20))
    assert {result.together for result in found} == {1}
    assert {result.json for result in found} == {b'{"id":1,"name":"one"}'}


async def test_not_in_a_transaction(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        for id in (1, 2):
            _, result = await bench.result("item", {"id": id}, where=tx)
            assert result.together == 1


async def test_a_query_that_changes_under_its_callers(bench: Bench) -> None:
    """The program of before and the one after a reload are different lines."""
    tasks = await lined_up(bench, [("item", {"id": 1})] * 5)
    bench.write({"q.sql": FILES["q.sql"].replace("SELECT id, name FROM item WHERE id = :id", "SELECT :id AS other")})
    tasks += [asyncio.create_task(bench.result("item", {"id": 9})) for _ in range(5)]
    found = await results(tasks)
    assert [result.json for result in found] == [b'{"id":1,"name":"one"}'] * 5 + [b'{"other":9}'] * 5


async def test_closing_tells_everybody(open_bench: Open, url: str) -> None:
    bench = await opened(open_bench, url)
    async with bench.database.lease(Access.READ):
        tasks = [asyncio.create_task(bench.call("item", {"id": 1})) for _ in range(10)]
        await asyncio.sleep(0.02)
        await bench.database.close()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(isinstance(answer, SqlwrightError) for answer in answers)


async def test_many_callers_come_and_go_at_random(bench: Bench) -> None:
    async def call(id: int) -> None:
        async with asyncio.timeout(random.choice([0.0, 0.001, 0.003, 5.0])):
            answer = await bench.call("item", {"id": id})
        assert answer is None if not 1 <= id <= 4 else answer["id"] == id

    for _ in range(30):
        answers = await asyncio.gather(*(call(random.randint(0, 5)) for _ in range(40)), return_exceptions=True)
        assert {type(answer) for answer in answers} <= {type(None), TimeoutError}
    await bench.assert_whole()
    batching = bench.database.batching
    assert batching is not None
    assert (batching.waiting, batching._lines) == (0, {})


async def test_a_line_that_everybody_has_left_is_closed(bench: Bench) -> None:
    """However the turns of the loop fall: who lined up leaves just when the one before him ends."""
    await bench.call("item", {"id": 1})
    batching, engine = bench.database.batching, bench.database.engine
    assert batching is not None
    gate, run = asyncio.Event(), engine.run

    async def gated(*arguments: Any, **limits: Any) -> Result:
        await gate.wait()
        return await run(*arguments, **limits)

    engine.run = gated  # type: ignore[method-assign]
    for pause in range(6):
        gate.clear()
        first = asyncio.create_task(bench.call("item", {"id": 1}))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(bench.call("item", {"id": 2}))
        for _ in range(pause):
            await asyncio.sleep(0)
        second.cancel()
        gate.set()
        await asyncio.wait([first, second])
        await asyncio.sleep(0.1)
        assert batching.is_idle
        assert batching.waiting == 0
