"""Reads that have no task of their own, over sockets: alone and in a crowd they say what the long way says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from record_shop import run_script, write_files
from server_process import Server, start

SCHEMA = """
CREATE TABLE item (id integer PRIMARY KEY, name varchar(80), price numeric(10, 2), made timestamp NULL);
INSERT INTO item VALUES (1, 'one', 1.25, '2026-01-01 10:00:00'), (2, 'zw"ö', 2.5, NULL), (3, NULL, 3, NULL),
  (4, 'four', 40000.75, '1999-12-31 23:59:59'), (5, '', NULL, '2026-02-28 00:00:00');
CREATE TABLE counter (n integer NOT NULL);
INSERT INTO counter VALUES (0);
"""
FILES = {
    "q/all.sql": """
-- name: item :one?
-- @param id int
SELECT id, name, price, made FROM item WHERE id = :id;

-- name: needed^
-- @param id int
SELECT id, name FROM item WHERE id = :id;

-- name: from_id
-- @param id int
-- @limit 2 max 4
SELECT id, name, price, made FROM item WHERE id >= :id ORDER BY id;

-- name: some
SELECT id FROM item WHERE id IN (:ids) ORDER BY id;

-- name: absolute$
-- @param n bigint
SELECT abs(:n) AS n;

-- name: named
-- @param name text?
SELECT id FROM item WHERE name = :name ORDER BY id;

-- name: count_up!
-- @param n int
UPDATE counter SET n = :n;

-- name: counted$
SELECT n FROM counter;
""",
}
LOWEST = -(2**63)
"""Its absolute value is out of range on every engine."""
CROWD = 48


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    asyncio.run(run_script(database_url, SCHEMA))
    queries = write_files(tmp_path / "queries", FILES)
    with start("granian", database_url, queries) as server:
        server.until("/readyz", 200)
        yield server


def some_calls(seed: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    chance = random.Random(seed)
    kinds = {
        "item": lambda: {"id": chance.randint(0, 6)},
        "needed": lambda: {"id": chance.randint(0, 6)},
        "from_id": lambda: {
            "id": chance.randint(0, 6),
            **({"limit": chance.randint(1, 5)} if chance.random() < 0.3 else {}),
        },
        "some": lambda: {"ids": [chance.randint(0, 6) for _ in range(chance.randint(1, 3))]},
        "absolute": lambda: {"n": LOWEST if chance.random() < 0.1 else chance.randint(-9, 9)},
        "named": lambda: {"name": chance.choice(["one", 'zw"ö', "", "a+b&c=%", "x"])},
        "counted": dict,
        "absent": dict,
    }
    return [(name, kinds[name]()) for name in chance.choices(list(kinds), k=count)]


def told(response: httpx.Response) -> tuple[int, str, Any]:
    """What must be the same whichever way a call went."""
    said = json.loads(response.content, parse_float=str)
    if response.status_code >= 400:
        del said["request_id"]
        said.pop("errors")  # which say whether it was in the query string or the body
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    return response.status_code, response.headers["content-type"], said


async def get(client: httpx.AsyncClient, call: tuple[str, dict[str, Any]]) -> tuple[int, str, Any]:
    return told(await client.get(f"/queries/q/{call[0]}", params=call[1]))


async def test_every_way_says_the_same(server: Server) -> None:
    calls = some_calls(7, 300)
    limits = httpx.Limits(max_connections=CROWD)
    async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
        long = [await post(client, call) for call in calls]
        assert [await get(client, call) for call in calls] == long
        for _ in range(3):
            assert await asyncio.gather(*[get(client, call) for call in calls]) == long
        metrics = (await client.get("/metrics")).text
    together = [line for line in metrics.splitlines() if line.startswith("sqlwright_query_batched_calls_total")]
    waits = [line for line in metrics.splitlines() if line.startswith("sqlwright_pool_wait_seconds_count")]
    # Some have run in batches, or, with short reads, without a connection of a pool.
    asked = len(calls) * 5
    assert sum(float(line.split()[-1]) for line in together) > 0 or sum(float(w.split()[-1]) for w in waits) < asked
    counts = {
        line.split('"')[1]: int(float(line.split()[-1]))
        for line in metrics.splitlines()
        if line.startswith("sqlwright_query_calls_total{")
    }
    for name in ("item", "needed", "from_id", "absolute", "named", "counted"):
        assert counts[f"q.{name}"] == 5 * sum(1 for called, _ in calls if called == name)
    assert "sqlwright_requests_in_flight 1.0" in metrics  # that one itself


async def post(client: httpx.AsyncClient, call: tuple[str, dict[str, Any]]) -> tuple[int, str, Any]:
    """The long way: what has a body is not plain."""
    return told(await client.post(f"/queries/q/{call[0]}", json=call[1]))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_read_sees_what_was_answered_before_it(database_url: str, tmp_path: Path, workers: int) -> None:
    """Whichever process answers, and whoever else reads at the same time."""
    await run_script(database_url, SCHEMA)
    queries = write_files(tmp_path / "queries", FILES)
    with start("granian", database_url, queries, workers=workers) as server:
        server.until("/readyz", 200)
        over = False

        async def crowd(client: httpx.AsyncClient) -> None:
            while not over:
                assert (await client.get("/queries/q/counted")).status_code == 200

        limits = httpx.Limits(max_connections=CROWD)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
            others = [asyncio.create_task(crowd(client)) for _ in range(8)]
            for n in range(1, 80):
                assert (await client.post("/queries/q/count_up", json={"n": n})).json() == {"affected": 1}
                assert (await client.get("/queries/q/counted")).json() == {"value": n}
            over = True
            await asyncio.gather(*others)


async def test_who_leaves_harms_nobody(server: Server) -> None:
    """Callers that break off in the midst of a crowd."""
    limits = httpx.Limits(max_connections=CROWD)
    async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
        chance = random.Random(3)

        async def one(number: int) -> None:
            call = client.get("/queries/q/from_id", params={"id": 1})
            if number % 3:
                assert [row["id"] for row in (await call).json()["data"]] == [1, 2]
                return
            task = asyncio.ensure_future(call)
            await asyncio.sleep(chance.random() / 50)
            task.cancel()

        for _ in range(5):
            await asyncio.gather(*[one(number) for number in range(120)])
        assert (await client.get("/queries/q/counted")).json() == {"value": 0}
    assert "Traceback" not in server.errors
