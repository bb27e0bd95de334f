"""Which queries run for several items at once, by which plan, and what then comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postgres_client import EXEC, MANY, ONE, READ, VALUE, WRITE, Client, make_query
from sqlwright.errors import SqlwrightError
from sqlwright.query import Cardinality, Result, Window

CASES = json.loads((Path(__file__).parents[1] / "cases" / "batches_postgresql.json").read_text(encoding="utf-8"))
SCHEMA = """
CREATE TABLE item (id int PRIMARY KEY, name text, price numeric, k int, u int UNIQUE, w int NOT NULL);
CREATE UNIQUE INDEX of_some ON item (w) WHERE w > 5;
CREATE INDEX of_k ON item (k, id);
CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
CREATE VIEW item_view AS SELECT * FROM item;
INSERT INTO item SELECT n, 'item ' || n, n, n % 7, n, n FROM generate_series(1, 20000) n;
ANALYZE;
"""


@pytest.fixture
async def client(postgresql_url: str) -> AsyncIterator[Client]:
    client = Client(postgresql_url)
    await client.database.open()
    await client.script(SCHEMA)
    yield client
    await client.database.close()


async def many(
    client: Client, sql: str, cardinality: Cardinality, items: list[list[Any]], window: Window | None = None
) -> list[Result]:
    """The same items one by one are compared."""
    query = make_query(sql, cardinality)
    program = client.engine.compile(query, await client.describe(query))
    assert program.many, sql
    async with client.database.lease(READ) as lease:
        run = client.engine.run_many
        results = await run(lease, program, items, window=window, timeout_seconds=5)
        for item, result in zip(items, results, strict=True):
            alone = await client.engine.run(lease, program, item, window=window, timeout_seconds=5)
            assert (result.json, result.count, result.more) == (alone.json, alone.count, alone.more)
        return results


async def test_queries_run_together_where_nothing_but_their_values_can_make_a_difference(client: Client) -> None:
    found = {}
    for sql in (*CASES["together"], *CASES["alone"]):
        query = make_query(sql)
        found[sql] = bool(client.engine.compile(query, await client.describe(query)).many)
    expected = dict.fromkeys(CASES["together"], True) | dict.fromkeys(CASES["alone"], False)
    assert {sql: is_many for sql, is_many in found.items() if is_many != expected[sql]} == {}


async def test_an_index_serves_each_item(client: Client) -> None:
    for sql, arguments in (
        ("SELECT name FROM item WHERE id = :id", [[1, 2]]),
        ("SELECT name FROM item WHERE id >= :id ORDER BY id LIMIT :n", [[1, 2], [3, 4], 1001]),
        ("SELECT id FROM item WHERE k = :k ORDER BY id", [[1, 2], 101, 0]),
        ("WITH x AS (SELECT * FROM item WHERE id < 99 + :n) SELECT k FROM x WHERE id = :id", [[1, 2], [3, 4], 101, 0]),
    ):
        query = make_query(sql, MANY if len(arguments) > 1 else ONE)
        program = client.engine.compile(query, await client.describe(query))
        async with client.database.lease(READ) as lease:
            await lease.raw_connection.execute("SET plan_cache_mode = force_generic_plan")
            plan = [row[0] for row in await lease.raw_connection.fetch(f"EXPLAIN {program.many}", *arguments)]
        assert any("Index" in line for line in plan), plan
        assert not any("Seq Scan" in line for line in plan), plan


async def test_no_row_one_row_and_two(client: Client) -> None:
    sql = "SELECT id, name FROM item WHERE id BETWEEN :a AND :b"
    results = await many(client, sql, ONE, [[1, 1], [5, 4], [2, 2], [None, 3]])
    assert [result.count for result in results] == [1, 0, 1, 0]
    query = make_query(sql, ONE)
    program = client.engine.compile(query, await client.describe(query))
    async with client.database.lease(READ) as lease:
        with pytest.raises(SqlwrightError):
            await client.engine.run_many(lease, program, [[1, 1], [1, 2]], window=None, timeout_seconds=5)
    values = await many(client, "SELECT nullif(id, 3) FROM item WHERE id = :id", VALUE, [[3], [4], [-1]])
    assert [(value.json, value.count) for value in values] == [(b"null", 0), (b"4", 1), (b"null", 0)]


async def test_pages_are_bounded_in_rows_and_bytes(client: Client) -> None:
    sql = "SELECT id, name FROM item WHERE k = :k ORDER BY id"
    items = [[n] for n in range(9)]
    for window in (Window(3), Window(3, 2), Window(5, 0, 60), Window(100_000), Window(4, 2856), Window(2, 9999)):
        await many(client, sql, MANY, items, window)


async def test_all_rows_come_to_who_wants_no_page(client: Client) -> None:
    items = [[n] for n in range(9)]
    for sql in ("SELECT id, name FROM item WHERE k = :k ORDER BY id", "SELECT id FROM item WHERE k = :k AND id < 5000"):
        results = await many(client, sql, MANY, items)
        assert {result.count for result in results[:7]} <= {714, 715, 2857, 2858}
        assert not any(result.more for result in results)


async def test_a_page_that_another_follows_keeps_the_order_of_a_lone_call(client: Client) -> None:
    """Without an order, rows come as the plan has them: of a next page, it is the plan of a call alone."""
    items = [[n] for n in range(9)]
    seen: list[int] = []
    for offset in range(0, 3000, 1000):
        results = await many(client, "SELECT id FROM item WHERE k = :k", MANY, items, Window(1000, offset))
        seen += [row["id"] for row in json.loads(b"[" + results[3].json + b"]")]
    assert sorted(seen) == list(range(3, 20001, 7))


async def test_lists_and_nulls_are_of_one_batch_only_where_they_agree(client: Client) -> None:
    query = make_query("SELECT id FROM item WHERE id = ANY (:ids::int[]) AND k > :k ORDER BY id LIMIT :n")
    program = client.engine.compile(query, await client.describe(query))
    keys = [client.engine.batch_key(program, values, Window(9)) for values in (
        [[1, 2], 3, 4], [[1, 2], 5, 6], [[1], 3, 4], [[1, 2], 3, None], [[1, 2], None, 4], [None, 3, 4],
    )]  # fmt: skip
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
    await many(client, query.source.text, MANY, [[[1, 2], 0, 4], [[1, 2], 1, 4]], Window(9))
    await many(client, query.source.text, MANY, [[None, 0, 4], [None, 1, 4]], Window(9))
    await many(client, "SELECT id FROM item WHERE id = ANY (:ids)", MANY, [[[1, 2]], [[1, 2]]], Window(9))


async def test_items_run_in_an_open_transaction(client: Client) -> None:
    query = make_query("SELECT name FROM item WHERE id = :id", ONE)
    program = client.engine.compile(query, await client.describe(query))
    write = make_query("UPDATE item SET name = 'new' WHERE id = 2", EXEC, WRITE)
    change = client.engine.compile(write, await client.describe(write))
    async with client.database.transaction() as tx:
        async with tx.lease(WRITE) as lease:
            await client.engine.run(lease, change, [], window=None, timeout_seconds=5)
        async with tx.lease(READ) as lease:
            run = client.engine.run_many(lease, program, [[1], [2]], window=None, timeout_seconds=5)
            assert [result.json for result in await run] == [b'{"name":"item 1"}', b'{"name":"new"}']
