"""Row 34: results that are larger than anybody should be given at once."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from asgi_connection import EMPTY, Connection
from record_shop import assert_problem, run_script, running, write_files
from sqlwright.config import Settings
from sqlwright.http.app import create_app

ROWS = 40
CAP = 100_000
BLOCKED_SECONDS = 0.05
"""How long other calls may have to wait for a large one."""
REPEAT = {"sqlite": "replace(hex(zeroblob(:size / 2)), '0', 'ä')", "postgresql": "repeat('ä', :size)"}


def files(url: str) -> dict[str, str]:
    repeat = REPEAT.get(urlsplit(url).scheme, "repeat('ä', :size)")
    text = f"""
-- name: all
-- @limit 1000 max 100000
SELECT n, text FROM item ORDER BY n;

-- name: own_limit
SELECT n, text FROM item ORDER BY n LIMIT 1000;

-- name: one(n)^
SELECT text FROM item WHERE n = :n;

-- name: made
-- @timeout 30s
-- @param size int
-- @limit 1000
SELECT n, {repeat} AS text FROM item ORDER BY n;

-- name: length$
SELECT sum(length(text)) FROM item;
"""
    return {"items/queries.sql": text}


def content(n: int) -> str:
    """Sizes of all kinds, and text that is longer in JSON and in UTF-8."""
    return ("ä\n" * 10 if n % 3 else "x") * (n % 7 + 1) * (40 if n % 5 else 200)


def settings(url: str, folder: Path, **more: object) -> Settings:
    queries = write_files(folder / "queries", files(url))
    return Settings.model_validate({"database_url": url, "queries": queries, "log_calls": False, **more})


@pytest.fixture
def item_url(database_url: str) -> str:
    values = ", ".join(f"({n}, '{content(n)}')" for n in range(ROWS))
    text = "mediumtext" if database_url.startswith("mysql") else "text"
    script = f"CREATE TABLE item (n integer PRIMARY KEY, text {text} NOT NULL); INSERT INTO item VALUES {values}"
    asyncio.run(run_script(database_url, script))
    return database_url


async def pages(client: httpx.AsyncClient, path: str, bytes_max: int) -> list[list[object]]:
    found = []
    url: str | None = path
    while url is not None:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["data"]
        assert len(answer.content) <= bytes_max + 200
        found.append(body["data"])
        url = answer.links["next"]["url"] if body["next"] else None
    return found


@pytest.mark.reliability(34)
async def test_pages_end_where_they_would_be_too_large(item_url: str, tmp_path: Path) -> None:
    everything = [{"n": n, "text": content(n)} for n in range(ROWS)]
    async with running(settings(item_url, tmp_path, page_bytes_max=CAP)) as client:
        for path in ("/queries/items/all", "/queries/items/all?limit=7", "/queries/items/all"):
            found = await pages(client, path, CAP)
            assert [row for page in found for row in page] == everything
            assert len(found) > 1
            full = [len(json.dumps(page, ensure_ascii=False).encode()) for page in found[:-1]]
            assert "limit" in path or min(full) > CAP / 3, full

        body = (await client.get("/queries/items/own_limit")).json()
        assert (body["next"], body["truncated"]) == (None, True)
        assert body["data"] == everything[: len(body["data"])]
        step = {"query": "items.all", "params": {}}
        results = (await client.post("/transaction", json={"steps": [step, step]})).json()["results"]
        for result in results:
            assert result["truncated"] is True
            assert result["data"] == everything[: len(result["data"])]


@pytest.mark.reliability(34)
async def test_a_row_that_is_too_large_alone(item_url: str, tmp_path: Path) -> None:
    async with running(settings(item_url, tmp_path, page_bytes_max=500)) as client:
        for path in ("all?limit=3", "one?n=10"):
            answer = await client.get(f"/queries/items/{path}")
            if answer.status_code == 200:  # the first rows fit
                answer = await client.get(answer.links["next"]["url"])
            problem = assert_problem(answer, 500, "result_too_large")
            assert "page_bytes_max" in problem["hint"]
        assert len((await client.get("/queries/items/own_limit")).json()["data"]) == 1
        assert (await client.get("/queries/items/one?n=0")).status_code == 200
        assert (await client.get("/queries/items/length")).status_code == 200


@pytest.mark.reliability(34)
async def test_the_loop_is_not_held(item_url: str, tmp_path: Path) -> None:
    """16 MiB of a few large rows, and many small ones; the best of some tries, as others use the machine."""
    number = f"{ROWS * ROWS} * (a.n + 1) + {ROWS} * b.n + c.n"
    script = f"INSERT INTO item SELECT {number}, 'small row' FROM item a, item b, item c WHERE a.n < 25"
    await asyncio.to_thread(lambda: asyncio.run(run_script(item_url, script)))
    made = settings(item_url, tmp_path, statement_timeout_seconds=30)
    async with running(made, app := create_app(made)) as client:
        for name, asked, least in (("made", b"size=200000&limit=60", 15_000_000), ("all", b"limit=40000", 1_000_000)):
            held = []
            for _ in range(6):
                connection = Connection(f"/queries/items/{name}", EMPTY, query_string=asked)
                held.append(await longest_hold(connection.call(app)))
                start, body = connection.sent
                assert (start["status"], len(body["body"]) > least) == (200, True), body["body"][:300]
                if held[-1] < BLOCKED_SECONDS:
                    break
            assert min(held) < BLOCKED_SECONDS, (name, held)
        assert (await client.get("/queries/items/one?n=0")).status_code == 200


async def longest_hold(task: asyncio.Task[None]) -> float:
    """How long nothing else ran, in seconds."""
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest
