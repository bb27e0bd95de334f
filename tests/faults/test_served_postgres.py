"""A running service whose PostgreSQL, or the way to it, fails."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import asyncpg
import httpx
import pytest
from fault_proxy import FaultProxy
from served import serving

from record_shop import assert_problem, run_script

FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: one :one?
SELECT n FROM item WHERE n = :n;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);

-- name: sleep$
-- @timeout 1s
SELECT pg_sleep(:seconds::float8)::text;

-- name: sleep_and_add!
-- @timeout 1s
INSERT INTO item SELECT :n FROM pg_sleep(:seconds::float8);

-- name: pair!
-- @timeout 4s
WITH first AS (UPDATE item SET n = n WHERE n = :a RETURNING n), pause AS (SELECT pg_sleep(0.3) FROM first)
UPDATE item SET n = n WHERE n = :b AND EXISTS (SELECT FROM pause);
""",
}
SCHEMA = "CREATE TABLE item (n int PRIMARY KEY); INSERT INTO item VALUES (-1), (-2)"


@pytest.fixture
def item_url(postgresql_url: str) -> str:
    asyncio.run(run_script(postgresql_url, SCHEMA))
    return postgresql_url


async def test_the_way_to_the_server_fails(item_url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(item_url)
    await proxy.accept()
    async with serving(proxy.address, tmp_path, FILES) as caller:
        await caller.until_whole(10)

        proxy.reset()  # idle connections: nobody notices
        await asyncio.sleep(0.05)
        assert (await caller.get("count")).json() == {"value": 2}
        assert (await caller.post("add", {"n": 1})).status_code == 200
        await caller.until_whole()

        proxy.refuse()
        await asyncio.sleep(0.05)
        for answer in (await caller.get("count"), await caller.post("add", {"n": 2})):
            problem = assert_problem(answer, 503, "database_unavailable")
            assert (problem["retryable"], problem["outcome"]) == (True, "none")
            assert answer.headers["retry-after"]
            assert answer.elapsed.total_seconds() < 0.5
        await proxy.accept()
        await caller.until_whole()

        for cut in (0, 30, 200, 2000):
            proxy.cut_after = cut
            for _ in range(4):
                answer = await caller.get("count")
                if answer.status_code != 200:
                    assert_problem(answer, 503, "database_unavailable")
            proxy.cut_after = None
            await caller.until_whole()

        answers = [await caller.post("add", {"n": n}) for n in range(10, 14)]
        assert {answer.status_code for answer in answers} == {200}
        await asyncio.sleep(0.1)  # until their sessions are reset
        proxy.cut_after = 0  # the answer of an INSERT that the server has committed
        problem = assert_problem(await caller.post("add", {"n": 20}), 504, "outcome_unknown")
        assert (problem["retryable"], problem["outcome"]) == (False, "unknown")
        await caller.until_whole()
        assert (await caller.get("one", n=20)).json() == {"n": 20}
        await asyncio.sleep(0.1)
        proxy.cut_after = 0
        assert_problem(await caller.get("count"), 503, "database_unavailable")
        await caller.until_whole()
    proxy.refuse()


async def test_the_way_to_the_server_is_frozen(item_url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(item_url)
    await proxy.accept()
    async with serving(proxy.address, tmp_path, FILES) as caller:
        await caller.until_whole(10)
        await asyncio.sleep(0.1)  # until the sessions of the calls before are reset
        proxy.freeze()
        read, write = await asyncio.gather(caller.get("count"), caller.post("add", {"n": 3}))
        assert_problem(read, 504, "statement_timeout")
        problem = assert_problem(write, 504, "statement_timeout")
        assert (problem["retryable"], problem["outcome"]) == (False, "unknown")
        assert max(read.elapsed.total_seconds(), write.elapsed.total_seconds()) < 1 + 0.5 + 0.3
        answers = await asyncio.gather(*(caller.get("count") for _ in range(20)))
        assert {answer.status_code for answer in answers} <= {503, 504}
        assert max(answer.elapsed.total_seconds() for answer in answers) < 3.5
        with contextlib.suppress(httpx.TimeoutException):  # a client that leaves
            await caller.http.get("/queries/items/count", timeout=0.2)
        proxy.thaw()
        await caller.until_whole(3)
        assert (await caller.get("count")).json()["value"] in (2, 3)
    proxy.refuse()


async def test_statements_that_fail_on_the_server(item_url: str, tmp_path: Path) -> None:
    server = await asyncpg.connect(item_url)
    asleep = (
        "FROM pg_stat_activity WHERE application_name = 'sqlwright' AND datname = current_database()"
        " AND state = 'active' AND wait_event = 'PgSleep'"
    )
    async with serving(item_url, tmp_path, FILES) as caller:
        await caller.until_whole(10)

        for name, body in (("sleep", {"seconds": 30}), ("sleep_and_add", {"n": 5, "seconds": 30})):
            answer = await caller.post(name, body)
            problem = assert_problem(answer, 504, "statement_timeout")
            assert (problem["outcome"], problem["retryable"]) == ("none", False)
            assert answer.elapsed.total_seconds() < 1.5 + 0.3
            assert await server.fetchval(f"SELECT count(*) {asleep}") == 0
            await caller.until_whole()

        for name, body in (("sleep", {"seconds": 0.9}), ("sleep_and_add", {"n": 5, "seconds": 0.9})):
            call = asyncio.create_task(caller.post(name, body))
            while not await server.fetchval(f"SELECT count(pg_terminate_backend(pid)) {asleep}"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            problem = assert_problem(await call, 503, "database_unavailable")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
            await caller.until_whole()

        lock = await asyncpg.connect(item_url)
        await lock.execute("BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        for answer in (await caller.post("add", {"n": 6}), await caller.get("count")):
            problem = assert_problem(answer, 503, "lock_timeout")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
        await lock.close()
        await caller.until_whole()

        with contextlib.suppress(httpx.TimeoutException):
            await caller.http.get("/queries/items/sleep", params={"seconds": 0.8}, timeout=0.1)
        await caller.until_whole()
        assert await server.fetchval("SELECT count(*) FROM item") == 2
    await server.close()


async def test_deadlock(item_url: str, tmp_path: Path) -> None:
    async with serving(item_url, tmp_path, FILES, lock_timeout_seconds=5, statement_timeout_seconds=5) as caller:
        await caller.until_whole(10)
        answers = await asyncio.gather(caller.post("pair", {"a": -1, "b": -2}), caller.post("pair", {"a": -2, "b": -1}))
        # PostgreSQL gave one of them up, and it was run again.
        assert [answer.status_code for answer in answers] == [200, 200]
        await caller.until_whole()
