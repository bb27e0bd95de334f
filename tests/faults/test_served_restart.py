"""A running service whose server restarts under load, refuses its password, or has no connection left."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from own_servers import OWN_SERVERS, OwnServer
from served import ITEM_FILES as FILES
from served import Caller, serving

import mariadb_server
from record_shop import assert_problem, run_script
from reliability import Tally

UNAPPLIED = {"database_unavailable", "acquire_timeout", "statement_timeout", "deadline_exceeded", "transaction_failed"}
UNKNOWN = {"outcome_unknown", "statement_timeout", "deadline_exceeded"}


@pytest.fixture(params=OWN_SERVERS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnServer]:
    if request.param == "mysql" and (reason := mariadb_server.missing()):
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)
    server = OWN_SERVERS[request.param](tmp_path / "server")
    asyncio.run(run_script(server.url, "CREATE TABLE item (n int PRIMARY KEY)"))
    yield server
    server.stop()


class Ledger:
    """Writes numbers, one, two or three at once, and knows what was said about each."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.ends = False
        self.acknowledged: list[list[int]] = []
        self.doubtful: list[list[int]] = []
        self.refused: list[list[int]] = []
        self.told: set[tuple[int, str, str]] = set()
        self._numbers = itertools.count()

    async def work(self) -> None:
        while not self.ends:
            await self.write(random.choice((1, 2, 3)))
            answer = await self.caller.get("count")
            if answer.status_code != 200:
                self.told.add((answer.status_code, answer.json()["code"], answer.json()["outcome"]))

    async def write(self, size: int) -> None:
        numbers = list(itertools.islice(self._numbers, size))
        if size == 1:
            answer = await self.caller.post("add", {"n": numbers[0]})
        elif size == 2:
            steps = [{"query": "items.add", "params": {"n": n}} for n in numbers]
            answer = await self.caller.http.post("/transaction", json={"steps": steps})
        else:
            answer = await self.caller.post("many", [{"n": n} for n in numbers])
        if answer.status_code == 200:
            self.acknowledged.append(numbers)
            return
        problem = answer.json()
        self.told.add((answer.status_code, problem["code"], problem["outcome"]))
        (self.doubtful if problem["outcome"] == "unknown" else self.refused).append(numbers)
        await asyncio.sleep(0.02)

    async def until_acknowledged(self, more: int) -> None:
        goal = len(self.acknowledged) + more
        end = time.monotonic() + 10
        while len(self.acknowledged) < goal:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    def check(self, stored: set[int]) -> None:
        assert all(stored.issuperset(numbers) for numbers in self.acknowledged), "an acknowledged write was lost"
        assert all(stored.isdisjoint(numbers) for numbers in self.refused), "a write was called not applied, and was"
        assert all(stored.issuperset(n) or stored.isdisjoint(n) for n in self.doubtful), "half a transaction"
        assert {code for status, code, outcome in self.told if outcome == "none"} <= UNAPPLIED
        assert {code for status, code, outcome in self.told if outcome == "unknown"} <= UNKNOWN
        assert {status for status, code, outcome in self.told} <= {503, 504}


async def soon(seconds: float, work: Awaitable[None]) -> None:
    begun = time.monotonic()
    await work
    assert time.monotonic() - begun < seconds


@pytest.mark.reliability(20)
async def test_a_restart_and_a_stop_under_load(own_server: OwnServer, tmp_path: Path, tally: Tally) -> None:
    async with serving(own_server.url, tmp_path, FILES) as caller:
        await caller.until_whole(10)
        ledger = Ledger(caller)
        workers = [asyncio.create_task(ledger.work()) for _ in range(8)]
        await ledger.until_acknowledged(100)
        await asyncio.to_thread(own_server.restart, crashes=True)
        await soon(1.0 + 0.5, ledger.until_acknowledged(1))
        await ledger.until_acknowledged(50)
        own_server.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(2.0)
        finally:
            own_server.signal(signal.SIGCONT)
        await ledger.until_acknowledged(50)
        for _ in range(20):
            await asyncio.to_thread(own_server.end_sessions)
            await asyncio.sleep(0.05)
        await ledger.until_acknowledged(50)
        await asyncio.to_thread(own_server.restart, crashes=False)
        await soon(1.0 + 0.5, ledger.until_acknowledged(1))
        await ledger.until_acknowledged(50)
        ledger.ends = True
        await asyncio.gather(*workers)
        await caller.until_whole(3)
    stored = {row[0] for row in await asyncio.to_thread(own_server.execute, "SELECT n FROM item")}
    written = [n for numbers in ledger.acknowledged for n in numbers]
    tally.acknowledged(len(written), len(set(written) - stored))
    ledger.check(stored)


async def test_a_wrong_password_and_a_full_server(own_server: OwnServer, tmp_path: Path) -> None:
    await asyncio.to_thread(own_server.make_user, "customer", "right", 5)
    wrong = own_server.url_of("customer", "wr0ng")
    async with serving(wrong, tmp_path, FILES) as caller:
        problem = assert_problem(await caller.get("count"), 503, "database_unavailable")
        assert problem["detail"] == "the database refuses the user name or the password"
        ready = await caller.http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["database"]["detail"] == problem["detail"]
        assert "wr0ng" not in ready.text + caller.server.errors
        await asyncio.to_thread(own_server.set_password, "customer", "wr0ng")
        await caller.until_whole(10)

        await asyncio.to_thread(own_server.end_sessions)
        others = [await connected(own_server, wrong) for _ in range(5)]
        problem = assert_problem(await caller.get("count"), 503, "database_unavailable")
        assert (problem["outcome"], problem["retryable"]) == ("none", True)
        assert problem["detail"] == "the database has no room or no free connection"
        for close in others:
            await asyncio.to_thread(close)
        await caller.until_whole(10)


async def connected(server: OwnServer, url: str) -> Callable[[], None]:
    """As soon as those that were ended have left."""
    while (close := await asyncio.to_thread(server.connect, url)) is None:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.005)
    return close
