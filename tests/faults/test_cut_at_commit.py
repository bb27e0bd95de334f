"""The way to the server is cut around the words that make a write last: nobody can know on which side of them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fault_proxy import FaultProxy
from served import Caller, serving
from server_sql import Execute, server_sql

from record_shop import assert_problem, run_script, write_files
from sqlwright import Client, connect
from sqlwright.errors import DatabaseUnavailable, OutcomeUnknown

SCHEMA = "CREATE TABLE item (n int PRIMARY KEY); INSERT INTO item VALUES (-1)"
FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: add_patiently!
-- @timeout 1.5s
INSERT INTO item VALUES (:n);

-- name: add_isolated!
-- @isolation serializable
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);
"""
}
N = 0x41424344
NUMBER = {"postgresql": struct.pack("!i", N), "mysql": str(N).encode()}
"""How it stands in the statement that is sent."""
BEGIN = {"postgresql": b"BEGIN", "mysql": b"START TRANSACTION"}
BEGIN_BULK = {"postgresql": b"BEGIN", "mysql": b"autocommit"}
LIMIT = {"postgresql": b"SET statement_timeout", "mysql": b"SET max_statement_time"}

QUERY = "/queries/items/"
STEPS = {"steps": [{"query": "items.add", "params": {"n": N}}]}
COMMITS: list[tuple[str, str, object]] = [
    ("a transaction", "/transaction", STEPS),
    ("a bulk call", f"{QUERY}many", [{"n": N}]),
    ("a call with an isolation", f"{QUERY}add_isolated", {"n": N}),
]
ALONE: list[tuple[str, str, object]] = [("a single write", f"{QUERY}add", {"n": N})]


@pytest.fixture(params=["postgresql", "mysql"])
def item_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    asyncio.run(run_script(url, SCHEMA))
    return url


def engine_of(url: str) -> str:
    return url.partition(":")[0]


@asynccontextmanager
async def before_the_server(url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(url)
    await proxy.accept()
    try:
        yield proxy
    finally:
        proxy.refuse()


@asynccontextmanager
async def served(url: str, folder: Path) -> AsyncIterator[tuple[FaultProxy, Caller, Execute]]:
    async with (
        before_the_server(url) as proxy,
        server_sql(url).connect(url) as execute,
        serving(proxy.address, folder, FILES) as caller,
    ):
        await caller.until_whole(10)
        for path, body in (("/transaction", STEPS), (f"{QUERY}add_patiently", {"n": N})):  # described, prepared
            assert (await caller.http.post(path, json=body)).status_code == 200
            await execute("DELETE FROM item WHERE n > 0; SELECT 1")
        yield proxy, caller, execute


async def kept(execute: Execute) -> bool:
    return bool(await execute(f"SELECT n FROM item WHERE n = {N}"))


@pytest.mark.reliability(21)
@pytest.mark.parametrize("delivered", [False, True], ids=["before", "after"])
async def test_cut_around_the_end_of_a_write(item_url: str, tmp_path: Path, delivered: bool) -> None:
    async with served(item_url, tmp_path) as (proxy, caller, execute):
        for words, cases in ((b"COMMIT", COMMITS), (NUMBER[engine_of(item_url)], ALONE)):
            for name, path, body in cases:
                proxy.cut_at, proxy.cut_delivers = words, delivered
                answer = await caller.http.post(path, json=body)
                assert proxy.cut_at is None, name
                problem = assert_problem(answer, 504, "outcome_unknown")
                assert (problem["outcome"], problem["retryable"]) == ("unknown", False), name
                assert "retry-after" not in answer.headers
                await caller.until_whole()
                assert await kept(execute) is delivered, name
                await execute("DELETE FROM item WHERE n > 0; SELECT 1")
                assert (await caller.http.post(path, json=body)).status_code == 200, name
                await execute("DELETE FROM item WHERE n > 0; SELECT 1")


@pytest.mark.reliability(21)
@pytest.mark.parametrize("delivered", [False, True], ids=["before", "after"])
async def test_cut_before_anything_was_written(item_url: str, tmp_path: Path, delivered: bool) -> None:
    """A transaction of several calls is refused, to be sent again; a call alone is tried once more and applied once."""
    engine = engine_of(item_url)
    cases = [
        (BEGIN, "/transaction", STEPS, 503),
        (NUMBER, "/transaction", STEPS, 503),  # the write itself, which is not yet committed
        (BEGIN, f"{QUERY}add_isolated", {"n": N}, 200),
        (BEGIN_BULK, f"{QUERY}many", [{"n": N}], 200),
        (NUMBER, f"{QUERY}many", [{"n": N}], 200),
        (LIMIT, f"{QUERY}add_patiently", {"n": N}, 200),
    ]
    async with served(item_url, tmp_path) as (proxy, caller, execute):
        for words, path, body, status in cases:
            proxy.cut_at, proxy.cut_delivers = words[engine], delivered
            answer = await caller.http.post(path, json=body)
            assert proxy.cut_at is None, (words, path)
            if status == 503:
                problem = assert_problem(answer, 503, "database_unavailable")
                assert (problem["outcome"], problem["retryable"]) == ("none", True), (words, path)
            else:
                assert (answer.status_code, answer.json()) == (200, {"affected": 1}), (words, path)
            await caller.until_whole()
            assert await kept(execute) is (status == 200), (words, path)
            await execute("DELETE FROM item WHERE n > 0; SELECT 1")


@pytest.mark.reliability(21)
@pytest.mark.parametrize("delivered", [False, True], ids=["before", "after"])
async def test_from_python(item_url: str, tmp_path: Path, delivered: bool) -> None:
    sql = server_sql(item_url)
    queries = write_files(tmp_path / "queries", FILES)
    async with (
        before_the_server(item_url) as proxy,
        sql.connect(item_url) as execute,
        connect(proxy.address, queries=queries, tables=("item",)) as db,
    ):

        async def in_transaction() -> None:
            async with db.transaction() as tx:
                await tx.run("items.add", {"n": N})

        async def in_savepoint() -> None:
            async with db.transaction() as tx, tx.savepoint():
                await tx.table("item").create({"n": N})

        async def alone() -> None:
            await db.run("items.many", [{"n": N}])

        for work in (in_transaction, in_savepoint, alone):
            proxy.cut_at, proxy.cut_delivers = b"COMMIT", delivered
            with pytest.raises(OutcomeUnknown) as caught:
                await work()
            assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)
            assert await kept(execute) is delivered
            await execute("DELETE FROM item WHERE n > 0; SELECT 1")
            await whole(db)
            await work()
            await execute("DELETE FROM item WHERE n > 0; SELECT 1")
            await whole(db)
            proxy.cut_at, proxy.cut_delivers = (BEGIN_BULK if work is alone else BEGIN)[engine_of(item_url)], delivered
            if work is alone:  # tried once more
                await work()
                assert await kept(execute)
            else:
                with pytest.raises(DatabaseUnavailable) as refused:
                    await work()
                assert (refused.value.outcome, refused.value.retryable) == ("none", True)
                assert not await kept(execute)
            await execute("DELETE FROM item WHERE n > 0; SELECT 1")
            await whole(db)


async def whole(db: Client) -> None:
    """Every connection idle again."""
    end = asyncio.get_running_loop().time() + 2
    while any(p.idle < p.size or p.mending for pools in db.database.status().values() for p in pools):
        assert asyncio.get_running_loop().time() < end, db.database.status()
        await asyncio.sleep(0.01)
