"""Behind PgBouncer in transaction mode, whose few sessions change hands with every transaction."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pgbouncer
import pytest
from pgbouncer import PgBouncer
from served import Caller, serving

import mariadb_server
from record_shop import assert_problem, run_script
from sqlwright.errors import DatabaseUnavailable, SettingsError, StatementTimeout, UniqueViolation
from sqlwright.http.connection_limit import check_connections
from sqlwright.migrations import migrate
from workbench import Bench

SCHEMA = "CREATE TABLE item (n int PRIMARY KEY, at timestamptz, data bytea)"
FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: list :*
SELECT n FROM item ORDER BY n;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);

-- name: values :one
SELECT '2026-01-31 12:00:00+05'::timestamptz AS at, '\\x00ff'::bytea AS data, 0.1::float8 + 0.2 AS f,
  '1 day 2 hours'::interval AS i;

-- name: settings :one
SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
  current_setting('transaction_read_only') AS only_reads, current_setting('intervalstyle') AS style;

-- name: slow$
-- @timeout 300ms
SELECT pg_sleep(5)::text;

-- name: wait$
SELECT pg_sleep(5)::text;
"""
}
POOLED = {"pooler": "transaction", "reader_pool_size": 4, "writer_pool_size": 4}


@pytest.fixture
def bouncer(postgresql_url: str, tmp_path: Path) -> Iterator[PgBouncer]:
    if reason := pgbouncer.missing():
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)
    asyncio.run(run_script(postgresql_url, SCHEMA))
    bouncer = PgBouncer(postgresql_url, tmp_path / "pgbouncer")
    bouncer.start()
    yield bouncer
    bouncer.kill()


@pytest.fixture
async def bench(open_bench: Any, bouncer: PgBouncer) -> Bench:
    bench: Bench = await open_bench(bouncer.url, FILES, **POOLED)
    return bench


@pytest.mark.reliability(29, engine="postgresql")
async def test_calls_of_all_kinds(bench: Bench) -> None:
    await asyncio.gather(*(bench.call("items.add", {"n": n}) for n in range(30)))
    assert await bench.call("items.many", [{"n": n} for n in range(30, 60)]) == {"affected": 30}
    counts = await asyncio.gather(*(bench.call("items.count") for _ in range(30)))
    assert counts == [{"value": 60}] * 30
    page = await bench.call("items.list", {})
    assert [row["n"] for row in page["data"]] == list(range(60))
    for error in await asyncio.gather(*(bench.call("items.add", {"n": 1}) for _ in range(8)), return_exceptions=True):
        assert isinstance(error, UniqueViolation)
    rows = [row async for row in _streamed(bench)]
    assert len(rows) == 60
    plan, _ = await bench.result("items.list", {})
    for analyze in (False, True):
        async with bench.database.lease(plan.access) as lease:
            explained = await bench.database.engine.explain(
                lease, plan.contract.program, plan.values, analyze=analyze, timeout_seconds=5
            )
        assert "item" in explained.text
    await bench.assert_whole()


async def _streamed(bench: Bench) -> Any:
    plan, _ = await bench.result("items.list", {})
    async with bench.database.lease(plan.access) as lease:
        chunks = bench.database.engine.stream(
            lease, plan.contract.program, plan.values, chunk_rows=7, timeout_seconds=5
        )
        async for chunk in chunks:
            for row in json.loads(b"[" + chunk.json + b"]"):
                yield row


@pytest.mark.reliability(29, engine="postgresql")
async def test_settings_hold_for_each_call(bench: Bench, open_bench: Any, postgresql_url: str) -> None:
    straight: Bench = await open_bench(postgresql_url, FILES)
    expected = await straight.call("items.values")
    settings = {"statement": "5s", "lock": "2s", "only_reads": "on", "style": "postgres"}
    for number in range(10):
        assert await asyncio.gather(*(bench.call("items.values") for _ in range(4))) == [expected] * 4
        assert await bench.call("items.settings") == settings
        await bench.call("items.add", {"n": number})


@pytest.mark.reliability(29, engine="postgresql")
async def test_transactions_are_whole(bench: Bench) -> None:
    async def increment() -> None:
        async with bench.database.transaction(isolation="serializable") as tx:
            _, result = await bench.result("items.count", where=tx)
            await bench.result("items.add", {"n": int(result.json)}, where=tx)

    async def until_done() -> None:
        await bench.database.retry(increment, attempts=50)

    await bench.call("items.many", [])  # described, which takes a session more
    await bench.call("items.count")
    await bench.contracts.get(bench.registry["items.add"])
    await asyncio.gather(*(until_done() for _ in range(2)))
    assert await bench.call("items.count") == {"value": 2}
    with contextlib.suppress(ZeroDivisionError):
        async with bench.database.transaction() as tx:
            await bench.result("items.add", {"n": 100}, where=tx)
            async with tx.savepoint():
                await bench.result("items.add", {"n": 101}, where=tx)
            raise ZeroDivisionError
    assert await bench.call("items.count") == {"value": 2}
    await bench.assert_whole()


@pytest.mark.reliability(29, engine="postgresql")
async def test_what_takes_too_long_or_is_left_is_ended(bench: Bench) -> None:
    for _ in range(4):
        with pytest.raises(StatementTimeout) as late:
            await bench.call("items.slow")
        assert late.value.outcome == "none"
    tasks = [asyncio.create_task(bench.call("items.wait")) for _ in range(2)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await bench.assert_whole()
    assert await asyncio.gather(*(bench.call("items.count") for _ in range(4))) == [{"value": 0}] * 4


@pytest.mark.reliability(29, engine="postgresql")
async def test_pgbouncer_itself_goes_and_comes_back(bouncer: PgBouncer, tmp_path: Path) -> None:
    async with serving(bouncer.url, tmp_path, FILES, pooler="transaction", tables="item") as caller:
        await caller.until_whole(10)
        assert (await caller.post("add", {"n": 1})).status_code == 200
        assert (await caller.http.get("/tables/item")).json()["data"][0]["n"] == 1
        bouncer.kill()
        await asyncio.sleep(0.05)
        for answer in (await caller.get("count"), await caller.post("add", {"n": 2})):
            assert assert_problem(answer, 503, "database_unavailable")["outcome"] == "none"
        bouncer.start()
        await within(1.5, caller)
        assert (await caller.get("count")).json() == {"value": 1}


async def within(seconds: float, caller: Caller) -> None:
    end = time.monotonic() + seconds
    for ask in (lambda: caller.get("count"), lambda: caller.post("many", [])):
        while (await ask()).status_code != 200:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


async def test_without_the_setting_it_is_named(open_bench: Any, bouncer: PgBouncer) -> None:
    plain: Bench = await open_bench(bouncer.url, FILES)
    with pytest.raises(DatabaseUnavailable, match="SQLWRIGHT_POOLER=transaction"):
        await plain.call("items.count")
    with pytest.raises(SettingsError, match="SQLWRIGHT_POOLER=transaction"):  # `serve` does not start
        await asyncio.to_thread(check_connections, plain.settings)


async def test_migrations_go_to_the_database_itself(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="migrat"):
        await migrate(bench.database, bench.settings, tmp_path)
