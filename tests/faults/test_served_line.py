"""A running service whose server, or the way to it, fails."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fault_proxy import FaultProxy
from served import Caller, serving
from server_sql import Execute, ServerSql, server_sql

from record_shop import assert_problem, run_script

SCHEMA = "CREATE TABLE item (n int PRIMARY KEY); INSERT INTO item VALUES (-1), (-2)"


def files(sql: ServerSql) -> dict[str, str]:
    text = f"""
-- name: count$
SELECT count(*) FROM item;

-- name: one :one?
SELECT n FROM item WHERE n = :n;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);

-- name: touch!
UPDATE item SET n = n WHERE n = :n;

-- name: sleep$
-- @timeout 1s
-- @param seconds float
{sql.sleep};

-- name: sleep_and_add!
-- @timeout 1s
-- @param seconds float
{sql.sleep_and_add};
"""
    return {"items/queries.sql": text}


@pytest.fixture(params=["postgresql", "mysql"])
def item_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    asyncio.run(run_script(url, SCHEMA))
    return url


@pytest.mark.reliability(19)
async def test_the_way_to_the_server_fails(item_url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(item_url)
    await proxy.accept()
    async with serving(proxy.address, tmp_path, files(server_sql(item_url))) as caller:
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
                if answer.status_code != 200:  # what was cut was the opening of a connection
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
    proxy.refuse()


@pytest.mark.reliability(19)
async def test_the_way_to_the_server_is_frozen(item_url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(item_url)
    await proxy.accept()
    async with serving(proxy.address, tmp_path, files(server_sql(item_url))) as caller:
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


@asynccontextmanager
async def served_and_seen(url: str, folder: Path, **settings: object) -> AsyncIterator[tuple[Caller, Execute]]:
    """The service, and a connection to its server beside it."""
    sql = server_sql(url)
    async with sql.connect(url) as execute, serving(url, folder, files(sql), **settings) as caller:
        await caller.until_whole(10)
        yield caller, execute


async def one_asleep(execute: Execute, sql: ServerSql) -> int:
    while not (rows := await execute(sql.asleep)):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.01)
    return int(rows[0][0])


@pytest.mark.reliability(26)
async def test_statements_that_fail_on_the_server(item_url: str, tmp_path: Path) -> None:
    sql = server_sql(item_url)
    async with served_and_seen(item_url, tmp_path, statement_timeout_seconds=3) as (caller, execute):
        for name, body in (("sleep", {"seconds": 30}), ("sleep_and_add", {"n": 5, "seconds": 30})):
            answer = await caller.post(name, body)
            problem = assert_problem(answer, 504, "statement_timeout")
            assert (problem["outcome"], problem["retryable"]) == ("none", False)
            assert answer.elapsed.total_seconds() < 1.5 + 0.3
            assert not await execute(sql.asleep)
            await caller.until_whole()

        for name, body in (("sleep", {"seconds": 0.9}), ("sleep_and_add", {"n": 5, "seconds": 0.9})):
            call = asyncio.create_task(caller.post(name, body))
            await execute(sql.end.format(await one_asleep(execute, sql)))
            answer = await call
            if name == "sleep" and answer.status_code == 200:
                pass  # MariaDB did not say that it was it who ended the session: the read was tried on another one
            elif name == "sleep" or answer.status_code == 503:
                problem = assert_problem(answer, 503, "database_unavailable")
                assert (problem["outcome"], problem["retryable"]) == ("none", True)
            else:  # a server that does not say that it was it who ended the session
                assert_problem(answer, 504, "outcome_unknown")
            await caller.until_whole()

        async with sql.connect(item_url) as lock:
            await lock(sql.lock)
            for answer in (await caller.post("add", {"n": 6}), await caller.get("count")):
                problem = assert_problem(answer, 503, "lock_timeout")
                assert (problem["outcome"], problem["retryable"]) == ("none", True)
        await caller.until_whole()
        assert (await caller.get("count")).json() == {"value": 2}


async def test_a_client_that_leaves_leaves_all_or_nothing(item_url: str, tmp_path: Path) -> None:
    sql = server_sql(item_url)
    async with served_and_seen(item_url, tmp_path) as (caller, execute):
        for number, seconds in ((10, 0.5), (20, 15)):  # the second one's statement is stopped by its own limit
            steps = [step("add", n=number), step("sleep", seconds=seconds), step("add", n=number + 1)]
            call = asyncio.create_task(caller.http.post("/transaction", json={"steps": steps}))
            await one_asleep(execute, sql)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await caller.until_whole(3)
            assert not await execute(sql.asleep)
            assert len(await execute(f"SELECT n FROM item WHERE n IN ({number}, {number + 1})")) in (0, 2)
        assert not await execute("SELECT n FROM item WHERE n >= 20")


async def test_a_transaction_is_ended_before_the_service_is(item_url: str, tmp_path: Path) -> None:
    sql = server_sql(item_url)
    steps = [step("add", n=8), step("sleep", seconds=0.7), step("add", n=9)]
    async with served_and_seen(item_url, tmp_path) as (caller, execute):
        call = asyncio.create_task(caller.http.post("/transaction", json={"steps": steps}))
        await one_asleep(execute, sql)
        caller.server.process.send_signal(signal.SIGTERM)
        answer = await call
        assert answer.status_code == 200, answer.text
        assert len(await execute("SELECT n FROM item WHERE n IN (8, 9)")) == 2


@pytest.mark.reliability(25)
async def test_transactions_that_lock_each_other_out_are_run_again(item_url: str, tmp_path: Path) -> None:
    long = {"lock_timeout_seconds": 5, "statement_timeout_seconds": 5}
    async with served_and_seen(item_url, tmp_path, **long) as (caller, _):
        orders = [(-1, -2), (-2, -1)]
        bodies = [[step("touch", n=a), step("sleep", seconds=0.3), step("touch", n=b)] for a, b in orders]
        calls = (caller.http.post("/transaction", json={"steps": steps}) for steps in bodies)
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
        await caller.until_whole()


def step(name: str, **params: object) -> dict[str, object]:
    return {"query": f"items.{name}", "params": params}
