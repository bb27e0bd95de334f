"""The primary is lost, another server takes its place, and one day it stops taking writes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from failover import PAIRS, Pair
from served import ITEM_FILES as FILES
from served import Caller, serving

import mariadb_server
import sqlwright
from record_shop import assert_problem


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "mysql" and (reason := mariadb_server.missing()):
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)
    with tempfile.TemporaryDirectory(prefix="sqlwright-") as folder:  # a socket's path is short
        pair = PAIRS[request.param](Path(folder))
        yield pair
        pair.stop()


@pytest.mark.reliability(28)
async def test_writes_follow_the_primary_and_reads_go_on(pair: Pair, tmp_path: Path) -> None:
    async with pair.url() as url, serving(url, tmp_path, FILES) as caller:
        await caller.until_whole(10)
        async with sqlwright.connect(turned_round(url), queries=tmp_path / "queries") as db:
            await db.run("items.add", {"n": 0})  # passes by the one that only reads, which comes first

        assert (await caller.post("add", {"n": 1})).status_code == 200

        await asyncio.to_thread(pair.lose_primary)
        await only_reads(caller)
        await asyncio.to_thread(pair.promote)
        await writes_within(caller, 1.0 + 0.5, 2)

        await asyncio.to_thread(pair.demote)  # under the connections that are open
        await only_reads(caller)
        pools = (await caller.http.get("/readyz")).json()["database"]["pools"]
        assert [pool["size"] for pool in pools["writer"]] == [0], "thrown away, and none is opened to what only reads"
        await asyncio.to_thread(pair.restore)
        await writes_within(caller, 1.0 + 0.5, 3)
        await caller.until_whole()


def turned_round(url: str) -> str:
    login, _, places = urlsplit(url).netloc.rpartition("@")
    return urlsplit(url)._replace(netloc=f"{login}@{','.join(reversed(places.split(',')))}").geturl()


async def only_reads(caller: Caller) -> None:
    for _ in range(10):
        problem = assert_problem(await caller.post("add", {"n": 0}), 503, "database_unavailable")
        assert (problem["retryable"], problem["outcome"]) == (True, "none")
        assert (await caller.get("count")).status_code == 200
        await asyncio.sleep(0.05)


async def writes_within(caller: Caller, seconds: float, number: int) -> None:
    begun = time.monotonic()
    while (answer := await caller.post("add", {"n": number})).status_code != 200:
        assert_problem(answer, 503, "database_unavailable")
        assert time.monotonic() < begun + 10
        await asyncio.sleep(0.02)
    assert time.monotonic() - begun < seconds
