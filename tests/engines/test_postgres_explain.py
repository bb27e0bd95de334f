"""PostgreSQL's plans: what the text shows, and that nothing is kept of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sqlwright.errors import StatementFailed, StatementTimeout, UniqueViolation
from sqlwright.plan import make_plan
from sqlwright.query import Explanation
from sqlwright.tuning.plans import explain
from workbench import Bench

OpenBench = Callable[..., Awaitable[Bench]]
FILES = {
    "setup.sql": """-- name: setup#
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE item (item_id integer PRIMARY KEY, kind integer, name text UNIQUE, colour colour);
CREATE TABLE sale (item_id integer REFERENCES item, amount integer);
INSERT INTO item SELECT i, i % 10, 'item ' || i, 'red' FROM generate_series(1, 2000) i;
INSERT INTO sale SELECT 1 + i % 2000, i FROM generate_series(1, 5000) i;
ANALYZE;
""",
    "by_kind.sql": "SELECT item_id, name FROM item WHERE kind = :kind ORDER BY name\n",
    "sales.sql": """SELECT i.kind, sum(s.amount) FROM item i LEFT JOIN sale s USING (item_id)
WHERE i.colour = :colour AND i.item_id IN (:ids) AND i.kind > (SELECT min(kind) FROM item) GROUP BY i.kind
""",
    "add.sql": "INSERT INTO item (item_id, name, colour) VALUES (:item_id, :name, :colour) RETURNING item_id\n",
    "count.sql": "-- :result :value\nSELECT count(*) FROM item\n",
    "zone.sql": "-- :result :value\nSHOW timezone\n",
    "slow.sql": "-- :result :value\n-- @timeout 0.2s\nSELECT pg_sleep(:seconds)::text\n",
}


@pytest.fixture
async def bench(postgresql_url: str, open_bench: OpenBench) -> Bench:
    opened = await open_bench(postgresql_url, FILES)
    await opened.call("setup")
    return opened


async def explained(bench: Bench, name: str, values: object = None, *, analyze: bool = False) -> Explanation:
    contract = await bench.contracts.get(bench.registry[name])
    plan = make_plan(contract, contract.validator.from_json(values or {}), paged=False)
    return await explain(bench.database, plan, analyze=analyze)


async def test_a_plan_as_people_know_it(bench: Bench) -> None:
    found = await explained(bench, "by_kind", {"kind": 3})
    lines = found.text.splitlines()
    assert lines[0].startswith("Sort  (cost=")
    assert "  Sort Key: item.name" in lines
    (scan,) = [line for line in lines if "Seq Scan on item" in line]
    assert scan.startswith("  ->  Seq Scan on item  (cost=")
    assert "rows=200 " in scan
    assert "        Filter: (item.kind = 3)" in lines
    assert "Output" not in found.text
    assert "actual" not in found.text
    assert found.plan["Plan"]["Node Type"] == "Sort"
    assert not found.analyzed


async def test_what_really_happened(bench: Bench) -> None:
    found = await explained(bench, "sales", {"colour": "red", "ids": [1, 2, 3]}, analyze=True)
    assert found.analyzed
    assert "Join" in found.text
    assert "(actual time=" in found.text
    assert "Buffers: shared hit=" in found.text
    assert "InitPlan" in found.text
    assert "Execution Time: " in found.text
    assert "item_id_idx" not in found.text


async def test_nothing_is_kept_of_a_write(bench: Bench) -> None:
    found = await explained(bench, "add", {"item_id": 9999, "name": "new", "colour": "green"}, analyze=True)
    assert found.text.startswith("Insert on item")
    with pytest.raises(UniqueViolation):
        await explained(bench, "add", {"item_id": 1, "name": "new", "colour": "red"}, analyze=True)
    assert await bench.call("count") == {"value": 2000}
    await bench.assert_whole()


async def test_a_statement_without_a_plan(bench: Bench) -> None:
    with pytest.raises(StatementFailed, match="no plan for SHOW"):
        await explained(bench, "zone")
    await bench.assert_whole()


async def test_a_statement_that_takes_too_long(bench: Bench) -> None:
    assert (await explained(bench, "slow", {"seconds": 10})).text
    with pytest.raises(StatementTimeout):
        await explained(bench, "slow", {"seconds": 10}, analyze=True)
    await bench.assert_whole()


async def test_inside_an_open_transaction(bench: Bench) -> None:
    contract = await bench.contracts.get(bench.registry["add"])
    engine = bench.database.engine
    async with bench.database.transaction() as tx:
        await bench.result("add", {"item_id": 8888, "name": "kept", "colour": "red"}, where=tx)
        async with tx.lease(contract.query.access) as lease:
            found = await engine.explain(lease, contract.program, (9999, "new", "red"), analyze=True, timeout_seconds=5)
    assert "Insert on item" in found.text
    assert await bench.call("count") == {"value": 2001}
