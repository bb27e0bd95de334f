"""What a call leaves in its session is gone before the next one; a session in which nothing was left is not reset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from sqlwright.engines.postgres import session as sessions
from sqlwright.query import Access
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]

SETUP = """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, name text);
INSERT INTO item VALUES (1, 'one'), (2, 'two');
CREATE SEQUENCE counter;
CREATE FUNCTION sets_it() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN set_config('work_mem', '1234kB', false); END $$;
CREATE VIEW setting AS SELECT sets_it() AS told;
CREATE FUNCTION plainly(n int) RETURNS int LANGUAGE sql STABLE AS 'SELECT n + 1';
"""

STATE = """
-- name: state :one
-- @write
SELECT current_setting('work_mem') AS work_mem, current_setting('statement_timeout') AS statement_timeout,
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
  (SELECT count(*) FROM pg_listening_channels()) AS channels,
  (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relname = 'mine') AS tables,
  (SELECT count(*) FROM pg_cursors) AS cursors, current_setting('plan_cache_mode') AS plan_cache_mode,
  session_user = current_user AS is_me;
"""

DIRTY = {
    "a setting": "-- name: do$\n{write}SELECT set_config('work_mem', '1234kB', false) AS x;",
    "a setting by SET": "-- name: do!\nSET work_mem = '1234kB';",
    "a setting by a function": "-- name: do$\n{write}SELECT sets_it() AS x;",
    "a setting by a view": "-- name: do$\n{write}SELECT told FROM setting;",
    "a setting in a column's default": "-- name: do$\n{write}SELECT coalesce(NULL, sets_it()) AS x;",
    "an advisory lock": "-- name: do$\n{write}SELECT pg_advisory_lock(7) IS NULL AS x;",
    "an advisory lock that is shared": "-- name: do\n{write}SELECT pg_try_advisory_lock_shared(id) AS x FROM item;",
    "a channel": "-- name: do!\nLISTEN news;",
    "a temporary table": "-- name: do!\nCREATE TEMP TABLE mine (n int);",
    "a temporary table by SELECT INTO": "-- name: do!\nSELECT 1 AS n INTO TEMP mine;",
    "a cursor": "-- name: do!\nDECLARE c CURSOR WITH HOLD FOR SELECT 1;",
    "a role": "-- name: do!\nSET ROLE pg_read_all_data;",
    "a prepared statement that fails": "-- name: do\n{write}SELECT 1 / (id - 1) AS x FROM item;",
}


@pytest.fixture
def postgresql(open_bench: Open, postgresql_url: str) -> Callable[..., Awaitable[Bench]]:
    async def opened(files: dict[str, str], **settings: Any) -> Bench:
        bench = await open_bench(
            postgresql_url, {"setup.sql": SETUP, **files}, reader_pool_size=1, writer_pool_size=1, **settings
        )
        await bench.call("setup")
        return bench

    return opened


def of_writer(files: dict[str, str]) -> dict[str, str]:
    return {name: text.format(write="-- @write\n") for name, text in files.items()}


@pytest.mark.parametrize("what", DIRTY)
async def test_nothing_is_left_to_the_next_call(postgresql: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    bench = await postgresql({"state.sql": STATE, **of_writer({"do.sql": DIRTY[what]})})
    before = await bench.call("state")
    await asyncio.gather(bench.call("do"), return_exceptions=True)
    assert await bench.call("state") == before
    await bench.assert_whole()


@pytest.mark.parametrize("what", [what for what, text in DIRTY.items() if "{write}" in text])
async def test_nor_by_a_read(postgresql: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    state = STATE.replace("-- @write\n", "")
    bench = await postgresql({"state.sql": state, "do.sql": DIRTY[what].format(write="")})
    before = await bench.call("state")
    await asyncio.gather(bench.call("do"), return_exceptions=True)
    assert await bench.call("state") == before
    await bench.assert_whole()


async def reset_at(bench: Bench) -> float:
    await bench.assert_whole()
    async with bench.database.lease(Access.READ) as lease:
        return float(lease.session.reset_at)


PROVEN = {
    "items.sql": "-- name: item :one?\n-- @param id int\nSELECT id, name FROM item WHERE id = :id;",
    "plain.sql": "-- name: plain$\n-- @param n int\nSELECT plainly(:n) AS n;",
    "page.sql": "-- name: page\nSELECT id, name FROM item ORDER BY name;",
}


@pytest.mark.parametrize("batching", ["on", "off"])
async def test_what_leaves_nothing_needs_no_reset(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch, batching: str
) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    bench = await postgresql(PROVEN, batching=batching)
    for name, body in (("item", {"id": 1}), ("plain", {"n": 1}), ("page", {})):
        await bench.call(name, body)  # described, and so reset
    begun = await reset_at(bench)
    for name, body in (("item", {"id": 1}), ("plain", {"n": 1}), ("page", {})):
        await asyncio.gather(*(bench.call(name, body) for _ in range(30)))
    assert await reset_at(bench) == begun


async def test_a_session_in_use_is_reset_now_and_then_all_the_same(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await postgresql(PROVEN)
    await bench.call("item", {"id": 1})
    begun = await reset_at(bench)
    monkeypatch.setattr(sessions, "RESET_SECONDS", 0.0)
    await bench.call("item", {"id": 1})
    assert await reset_at(bench) > begun


async def test_a_proof_that_no_longer_holds_is_bounded_in_time(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function is replaced by one that changes the session, and no query is described again."""
    monkeypatch.setattr(sessions, "RESET_SECONDS", 0.0)
    state = STATE.replace("-- @write\n", "")
    change = """-- name: change#
CREATE OR REPLACE FUNCTION plainly(n int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN PERFORM set_config('work_mem', '1234kB', false); RETURN n; END $$;"""
    bench = await postgresql({**PROVEN, "state.sql": state, "change.sql": change})
    before = await bench.call("state")
    await bench.call("plain", {"n": 1})
    await bench.call("change")
    await bench.call("plain", {"n": 1})
    assert await bench.call("state") == before


async def test_whoever_takes_the_session_out_of_its_lease_may_have_done_anything(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    bench = await postgresql({**PROVEN, "state.sql": STATE.replace("-- @write\n", "")})
    before = await bench.call("state")
    contract = await bench.contracts.get(bench.registry["item"])
    for use in ("raw", "stock"):
        async with bench.database.lease(Access.READ) as lease:
            if use == "raw":
                await lease.raw_connection.execute("SET work_mem = '1234kB'")
            else:
                await lease.fetch_all(text("SELECT set_config('work_mem', '1234kB', false)"))
            # A proven query after it proves nothing about what went before.
            await bench.database.engine.run(lease, contract.program, [1], window=None, timeout_seconds=5)
        assert await bench.call("state") == before


async def test_a_cancelled_statement_is_waited_for(postgresql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    slow = "-- name: slow$\n-- @param n int\nSELECT count(*) AS n FROM generate_series(1, :n) a;"
    bench = await postgresql({"slow.sql": slow})
    await bench.call("slow", {"n": 1})
    task = asyncio.create_task(bench.call("slow", {"n": 200_000_000}))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await bench.call("slow", {"n": 2}) == {"value": 2}
    await bench.assert_whole()


async def test_a_limit_of_time_stays_with_its_query(postgresql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    told = "SELECT current_setting('statement_timeout') AS t"
    files = {"short.sql": f"-- name: short$\n-- @timeout 700ms\n{told};", "usual.sql": f"-- name: usual$\n{told};"}
    bench = await postgresql(files, statement_timeout_seconds=4)
    for _ in range(3):
        assert await bench.call("short") == {"value": "700ms"}
        assert await bench.call("usual") == {"value": "4s"}
    async with bench.database.transaction(read_only=True) as tx:
        _, result = await bench.result("usual", where=tx)
        assert result.json == b'"4s"'


# --- how the server plans ---------------------------------------------------------------------------------------

MODES = {
    f"{mode}.sql": f"-- name: {mode}$\n-- @plan-mode {mode}\nSELECT current_setting('plan_cache_mode') AS mode;"
    for mode in ("auto", "generic", "custom")
} | {"usual.sql": "-- name: usual$\nSELECT current_setting('plan_cache_mode') AS mode;"}
TOLD = {"auto": "auto", "generic": "force_generic_plan", "custom": "force_custom_plan", "usual": "auto"}


@pytest.mark.parametrize("batching", ["on", "off"])
async def test_each_query_is_planned_as_it_says(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch, batching: str
) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    bench = await postgresql(MODES, batching=batching)
    for _ in range(3):
        for name, mode in TOLD.items():
            assert await bench.call(name) == {"value": mode}
    for name in ("generic", "usual", "custom"):
        answers = await asyncio.gather(*(bench.call(name) for _ in range(20)))
        assert answers == [{"value": TOLD[name]}] * 20
    await bench.assert_whole()


async def test_in_a_transaction_too(postgresql: Any) -> None:
    bench = await postgresql(MODES)
    async with bench.database.transaction() as tx:
        for name in ("generic", "usual", "custom", "auto"):
            _, result = await bench.result(name, where=tx)
            assert result.json.decode().strip('"') == TOLD[name]
    assert await bench.call("usual") == {"value": "auto"}


async def test_a_generic_plan_is_one(postgresql: Any) -> None:
    """As the server counts them."""
    files = {
        "by_key.sql": "-- name: by_key :one?\n-- @param id int\n-- @plan-mode generic\n-- @batch off\n"
        "SELECT name FROM item WHERE id = :id;",
        "counts.sql": "-- name: counts\nSELECT generic_plans, custom_plans FROM pg_prepared_statements"
        " WHERE statement LIKE '%FROM item WHERE%' AND statement NOT LIKE '%pg_prepared%';",
    }
    bench = await postgresql(files)
    for id in range(20):
        await bench.call("by_key", {"id": id})
    counts = (await bench.call("counts"))["data"]
    assert sum(count["generic_plans"] for count in counts) >= 20
    assert sum(count["custom_plans"] for count in counts) == 0


async def test_with_a_session_for_each_way_nothing_is_set(postgresql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "RESET_SECONDS", 3600.0)
    slow = (
        "-- name: slow$\n-- @plan-mode {mode}\n-- @batch off\nSELECT count(*) AS n FROM generate_series(1, 300000) a;"
    )
    files = {f"{mode}.sql": slow.replace("slow", mode).format(mode=mode) for mode in ("generic", "custom")}
    bench = await postgresql({**files, "usual.sql": "-- name: usual$\n-- @batch off\nSELECT 1 AS one;"})
    pool = bench.database._readers[-1].pool
    pool._limits = replace(pool._limits, size=3)
    for name in ("generic", "custom", "usual"):
        await bench.call(name)
    await asyncio.gather(*(bench.call(name) for name in ("generic", "custom") for _ in range(2)))
    async with bench.database.lease(Access.READ), bench.database.lease(Access.READ), bench.database.lease(Access.READ):
        pass  # three sessions
    await bench.assert_whole()
    for _ in range(3):
        for name in ("generic", "custom", "usual"):
            await bench.call(name)
    modes = {session: session.plan_mode for session in pool._free}
    assert sorted(modes.values()) == ["auto", "custom", "generic"]
    for _ in range(3):
        for name in ("custom", "generic", "usual"):
            await bench.call(name)
    assert {session: session.plan_mode for session in pool._free} == modes
