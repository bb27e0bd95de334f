"""The database is away for a while: nobody waits, nobody storms it, and what comes back is seen as it is."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fault_proxy import FaultProxy
from served import Caller, serving

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
"""
}
OUTAGE_SECONDS = 2.5
WORKERS = {"granian": 2, "uvicorn": 1}
POOLS = 2
LONGEST_PAUSE_SECONDS = 0.4 * 0.8


@pytest.fixture(params=["postgresql", "mysql"])
def item_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    asyncio.run(run_script(url, "CREATE TABLE item (n int PRIMARY KEY)"))
    return url


@pytest.fixture
async def proxy(item_url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(item_url)
    await proxy.accept()
    yield proxy
    proxy.thaw()
    proxy.refuse()


async def until_served(caller: Caller) -> float:
    """Seconds until a read and a write are good again."""
    begun = time.monotonic()
    for ask in (lambda: caller.get("count"), lambda: caller.post("many", [])):
        while (await ask()).status_code != 200:
            assert time.monotonic() < begun + 10
            await asyncio.sleep(0.01)
    return time.monotonic() - begun


@pytest.mark.reliability(19, 20, 36)
@pytest.mark.parametrize("kind", WORKERS)
async def test_an_outage_under_load_costs_the_server_a_few_attempts(
    proxy: FaultProxy, tmp_path: Path, kind: str
) -> None:
    workers = WORKERS[kind]
    settings = {"workers": workers} if workers > 1 else {}
    async with serving(proxy.address, tmp_path, FILES, kind=kind, **settings) as caller:
        await until_served(caller)
        proxy.rejects = True
        proxy.reset()
        await asyncio.gather(*(caller.get("count") for _ in range(20)))  # they find out
        before, begun = proxy.accepted, time.monotonic()
        calls, took = 0, []
        while time.monotonic() < begun + OUTAGE_SECONDS:
            call = (caller.get("count"), caller.post("add", {"n": 1}), caller.get("one", n=1), caller.post("many", []))
            for answer in await asyncio.gather(*call):
                problem = assert_problem(answer, 503, "database_unavailable")
                assert (problem["retryable"], problem["outcome"]) == (True, "none")
                assert answer.headers["retry-after"]
                took.append(answer.elapsed.total_seconds())
                calls += 1
            await asyncio.sleep(0.01)
        attempts, seconds = proxy.accepted - before, time.monotonic() - begun
        assert statistics.quantiles(took)[0] < 0.1  # the rest is how busy the machine is
        # Two drivers' attempts at most, encrypted and not, for each pool of each worker; the first ones follow quickly.
        assert attempts <= 2 * workers * POOLS * (seconds / LONGEST_PAUSE_SECONDS + 4)
        assert attempts < calls / 2
        proxy.rejects = False
        assert await until_served(caller) < 1.0 + 0.5
        await caller.until_whole(5)


@pytest.mark.reliability(19)
async def test_a_black_hole_is_waited_for_once(proxy: FaultProxy, tmp_path: Path) -> None:
    async with serving(proxy.address, tmp_path, FILES) as caller:
        await until_served(caller)
        proxy.freeze()
        proxy.reset()  # what is open is gone, what is opened never answers
        await asyncio.sleep(0.05)
        answers = await asyncio.gather(*(caller.get("count") for _ in range(10)), caller.post("many", []))
        for answer in answers:
            assert_problem(answer, 503, "database_unavailable")
            assert answer.elapsed.total_seconds() < 0.5 + 1 + 0.5  # connect and acquire limits
        await asyncio.sleep(0.6)  # until it is known to the other pool, too
        answers = [await caller.get("count") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {503}
        assert min(answer.elapsed.total_seconds() for answer in answers) < 0.1
        proxy.thaw()
        assert await until_served(caller) < 0.5 + 1.0 + 0.5  # an attempt may still hang
        await caller.until_whole(5)


@pytest.mark.reliability(19)
async def test_idle_connections_that_are_dead_unnoticed(proxy: FaultProxy, item_url: str, tmp_path: Path) -> None:
    async with serving(proxy.address, tmp_path, FILES) as caller:
        await until_served(caller)
        assert (await caller.post("add", {"n": 1})).status_code == 200
        await caller.until_whole()
        proxy.forget()
        assert (await caller.get("count")).json() == {"value": 1}, "a read is tried on another connection"
        await caller.until_whole()
        proxy.forget()
        answer = await caller.post("add", {"n": 2})
        if answer.status_code == 503:  # it was lost while it was prepared, twice
            assert assert_problem(answer, 503, "database_unavailable")["outcome"] == "none"
        elif answer.status_code != 200:  # it was sent before anybody knew
            problem = assert_problem(answer, 504, "outcome_unknown")
            assert (problem["retryable"], problem["outcome"]) == (False, "unknown")
        if answer.status_code != 200:
            assert (await caller.post("add", {"n": 2})).status_code == 200, "the next one is good"
        assert (await caller.get("count")).json() == {"value": 2}
        await caller.until_whole()


@pytest.mark.reliability(20)
async def test_a_database_that_comes_back_with_another_schema_is_seen(
    proxy: FaultProxy, item_url: str, tmp_path: Path
) -> None:
    async with serving(proxy.address, tmp_path, FILES) as caller:
        await until_served(caller)
        assert (await caller.post("add", {"n": 1})).status_code == 200
        assert (await caller.get("one", n="one")).status_code == 422
        proxy.refuse()
        await run_script(item_url, "DROP TABLE item; CREATE TABLE item (n varchar(10) PRIMARY KEY)")
        assert (await caller.get("count")).status_code == 503
        await proxy.accept()
        await until_served(caller)
        assert (await caller.post("add", {"n": "one"})).status_code == 200
        assert (await caller.get("one", n="one")).json() == {"n": "one"}
        assert (await caller.get("count")).json() == {"value": 1}
