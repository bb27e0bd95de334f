"""Contracts: described once, one description at a time, never one of an older version of a query."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from sqlwright.errors import QueryInvalid


async def test_calls_that_come_together_share_one_description(open_bench: Any, database_url: str) -> None:
    bench = await open_bench(database_url, {"one.sql": "SELECT 1 AS one;"})
    query = bench.registry["one"]
    contracts = await asyncio.gather(*(bench.contracts.get(query) for _ in range(20)))
    assert len(set(map(id, contracts))) == 1
    assert bench.contracts.ready(query) is contracts[0]


async def test_a_caller_that_leaves_does_not_take_the_description_along(open_bench: Any, database_url: str) -> None:
    bench = await open_bench(database_url, {"one.sql": "SELECT 1 AS one;"})
    query = bench.registry["one"]
    leaving, staying = (asyncio.create_task(bench.contracts.get(query)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).query is query


async def test_a_query_swapped_while_it_is_described_gets_its_own_contract(open_bench: Any, database_url: str) -> None:
    bench = await open_bench(database_url, {"one.sql": "SELECT 1 AS one;"})
    old = bench.registry["one"]
    describing = asyncio.create_task(bench.contracts.get(old))
    await asyncio.sleep(0)
    bench.write({"one.sql": "SELECT 2 AS two;"})
    new = bench.registry["one"]
    contract = await bench.contracts.get(new)
    assert (contract.query, [column.name for column in contract.columns]) == (new, ["two"])
    assert (await describing).query is old
    assert await bench.call("one") == {"data": [{"two": 2}], "next": None}


async def test_what_a_registry_no_longer_has_is_dropped(open_bench: Any, database_url: str) -> None:
    files = {"good.sql": "SELECT 1 AS one;", "bad.sql": "SELECT nowhere;"}
    bench = await open_bench(database_url, files)
    await bench.contracts.get(bench.registry["good"])
    with pytest.raises(QueryInvalid):
        await bench.contracts.get(bench.registry["bad"])
    assert list(bench.contracts.invalid) == ["bad"]
    assert bench.contracts.pending(bench.registry) == 0
    bench.contracts.keep_only([])
    assert not bench.contracts.invalid
    assert bench.contracts.pending(bench.registry) == 2


async def test_a_refusal_does_not_keep_its_callers(open_bench: Any, database_url: str) -> None:
    bench = await open_bench(database_url, {"bad.sql": "SELECT nowhere;"})
    query = bench.registry["bad"]
    lengths = []
    for _ in range(50):
        with pytest.raises(QueryInvalid) as refused:
            await bench.contracts.get(query)
        assert "bad.sql:1:8: error: " in "".join(traceback.format_exception(refused.value))
        lengths.append(len(traceback.extract_tb(refused.value.__traceback__)))
    assert max(lengths) == max(lengths[:2])
