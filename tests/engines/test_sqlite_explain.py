"""SQLite's plans: the tree, the steps, and a session that is as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqlwright.errors import ReadQueryWrote, StatementFailed, UniqueViolation
from sqlwright.plan import make_plan
from sqlwright.query import Explanation
from sqlwright.tuning.plans import explain
from workbench import Bench

OpenBench = Callable[..., Awaitable[Bench]]
FILES = {
    "setup.sql": """-- name: setup#
CREATE TABLE item (item_id integer PRIMARY KEY, kind integer, name text UNIQUE);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO item SELECT i, i % 10, 'item ' || i FROM n;
-- name: index#
CREATE INDEX by_kind ON item (kind)
""",
    "by_kind.sql": "SELECT item_id, name FROM item WHERE kind = :kind ORDER BY item_id\n",
    "add.sql": "-- :result :exec\nINSERT INTO item (item_id, name) VALUES (:item_id, :name)\n",
    "count.sql": "-- :result :value\nSELECT count(*) FROM item\n",
    "tuned.sql": "-- :result :exec\nPRAGMA cache_size = 77\n",
    "cache.sql": "-- :result :value\nPRAGMA cache_size\n",
    "heavy.sql": """-- :result :value
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT max(i) FROM n
""",
}


async def explained(bench: Bench, name: str, values: object = None, *, analyze: bool = True) -> Explanation:
    contract = await bench.contracts.get(bench.registry[name])
    plan = make_plan(contract, contract.validator.from_json(values or {}), paged=False)
    return await explain(bench.database, plan, analyze=analyze)


@pytest.fixture(params=["file", "memory"])
async def bench(request: pytest.FixtureRequest, sqlite_url: str, open_bench: OpenBench) -> Bench:
    opened = await open_bench(sqlite_url if request.param == "file" else "sqlite:///:memory:", FILES)
    await opened.call("setup")
    return opened


async def test_steps_are_the_same_again_and_less_with_an_index(bench: Bench) -> None:
    plans: list[dict[str, Any]] = [(await explained(bench, "by_kind", {"kind": 3})).plan for _ in range(3)]
    assert len({plan["vm_steps"] for plan in plans}) == 1
    assert plans[0]["rows"] == 200
    assert plans[0]["steps"][0]["detail"].startswith("SCAN item")
    await bench.call("index")
    found = await explained(bench, "by_kind", {"kind": 3})
    assert found.analyzed
    assert "SEARCH item USING INDEX by_kind" in found.text
    assert found.plan["vm_steps"] < plans[0]["vm_steps"] / 2
    assert f"VM steps: exactly {found.plan['vm_steps']:,}" in found.text


async def test_a_large_run_is_counted_roughly(bench: Bench) -> None:
    found = await explained(bench, "heavy")
    assert found.plan["vm_steps"] > 1_000_000
    assert "VM steps: about" in found.text


async def test_what_is_inside_is_indented(bench: Bench) -> None:
    found = await explained(bench, "heavy", analyze=False)
    assert any(line.startswith("    ") for line in found.text.splitlines())
    assert "vm_steps" not in found.plan


async def test_the_session_is_as_it_was(bench: Bench) -> None:
    assert (await explained(bench, "add", {"item_id": 9999, "name": "new"})).plan["rows"] == 1
    with pytest.raises(UniqueViolation):
        await explained(bench, "add", {"item_id": 9999, "name": "item 1"})
    assert await bench.call("count") == {"value": 2000}
    await bench.assert_whole()
    await bench.call("add", {"item_id": 9999, "name": "new"})
    assert await bench.call("count") == {"value": 2001}


async def test_a_pragma_does_not_take_effect(bench: Bench) -> None:
    before = await bench.call("cache")
    for analyze in (False, True):
        with pytest.raises(StatementFailed, match="no plan for PRAGMA"):
            await explained(bench, "tuned", analyze=analyze)
    assert await bench.call("cache") == before


async def test_inside_an_open_transaction(bench: Bench) -> None:
    contract = await bench.contracts.get(bench.registry["add"])
    engine, values = bench.database.engine, (9999, "new")
    async with bench.database.transaction() as tx:
        await bench.result("add", {"item_id": 8888, "name": "kept"}, where=tx)
        async with tx.lease(contract.query.access) as lease:
            found = await engine.explain(lease, contract.program, values, analyze=True, timeout_seconds=5)
    assert found.plan["rows"] == 1
    assert await bench.call("count") == {"value": 2001}


async def test_a_read_that_writes_is_refused(sqlite_url: str, open_bench: OpenBench) -> None:
    """What the lexer took for a read cannot write while it is analyzed, where reader and writer are one."""
    from dataclasses import replace

    from sqlwright.query import Access

    bench = await open_bench("sqlite:///:memory:", FILES)
    await bench.call("setup")
    contract = await bench.contracts.get(bench.registry["add"])
    query = replace(contract.query, access=Access.READ)
    program = replace(contract.program, query=query)
    plan = make_plan(contract, contract.validator.from_json({"item_id": 9999, "name": "new"}), paged=False)
    plan = replace(plan, access=Access.READ, contract=replace(contract, query=query, program=program))
    with pytest.raises(ReadQueryWrote):
        await explain(bench.database, plan, analyze=True)
    assert await bench.call("count") == {"value": 2000}
    await bench.call("add", {"item_id": 9999, "name": "new"})
