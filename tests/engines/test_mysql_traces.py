"""A session is reset exactly when something may have been left behind in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlwright.query import Access

CASES = json.loads((Path(__file__).parent.parent / "cases" / "mysql_traces.json").read_text(encoding="utf-8"))
VALUES = {"id": 1, "n": 0, "ids": [1, 2], "name": "o%"}
TRACES = "SELECT @left_behind, IS_USED_LOCK('left_behind'), LAST_INSERT_ID()"


@pytest.fixture
async def call(open_bench: Any, mysql_url: str) -> Callable[..., Any]:
    script = "-- name: make#\n" + ";\n".join(CASES["schema"]) + ";"
    bench = await open_bench(mysql_url, {"schema.sql": script}, reader_pool_size=1)
    await bench.call("make")

    async def call(sql: str) -> tuple[bool, float, float]:
        """Whether it leaves nothing, and when its session had been reset before and after the call."""
        bench.write({"asked.sql": f"-- name: asked\n{sql.replace('OWN', mysql_url.rpartition('/')[2])}\n;"})
        contract = await bench.contracts.get(bench.registry["asked"])
        await bench.assert_whole()
        async with bench.database.lease(Access.READ) as lease:
            session = lease.session
        before = session.renewed_at
        await bench.call("asked", {p.name: VALUES[p.name] for p in contract.parameters})
        await bench.assert_whole()
        after = session.renewed_at
        async with bench.database.lease(Access.READ) as lease:
            assert lease.session is session
            assert (await session.fetch(TRACES)).rows == [(None, None, "0")]
        return contract.program.leaves_nothing, before, after

    return call


@pytest.mark.parametrize("sql", CASES["nothing"])
async def test_a_read_that_leaves_nothing_needs_no_reset(call: Any, sql: str) -> None:
    leaves_nothing, before, after = await call(sql)
    assert leaves_nothing
    assert before == after


@pytest.mark.parametrize("sql", CASES["something"])
async def test_what_may_leave_something_is_reset(call: Any, sql: str) -> None:
    leaves_nothing, before, after = await call(sql)
    assert not leaves_nothing
    assert before < after


async def test_a_function_that_a_view_calls_later_is_noticed(open_bench: Any, mysql_url: str) -> None:
    """What was proven of the view no longer holds: the server itself says that its session was changed."""
    files = {
        "q.sql": "-- name: make#\n" + ";\n".join(CASES["schema"]) + ";\n"
        "-- name: asked\nSELECT id FROM plain;\n"
        "-- name: change#\nCREATE OR REPLACE VIEW plain AS SELECT id, 'a' AS name FROM marking WHERE m = 1;\n"
    }
    bench = await open_bench(mysql_url, files, reader_pool_size=1)
    await bench.call("make")
    await bench.call("asked")
    await bench.call("change")
    assert (await bench.contracts.get(bench.registry["asked"])).program.leaves_nothing
    await bench.call("asked")
    await bench.assert_whole()
    async with bench.database.lease(Access.READ) as lease:
        assert (await lease.session.fetch("SELECT @left_behind")).rows == [(None,)]


async def test_a_session_is_reset_once_in_a_while(open_bench: Any, mysql_url: str) -> None:
    bench = await open_bench(mysql_url, {"q.sql": "-- name: one$\nSELECT 1;\n"}, reader_pool_size=1)
    await bench.call("one")
    await bench.assert_whole()
    async with bench.database.lease(Access.READ) as lease:
        session = lease.session
    session.renewed_at = before = session.renewed_at - 3600
    await bench.call("one")
    await bench.assert_whole()
    assert session.renewed_at > before + 3600
