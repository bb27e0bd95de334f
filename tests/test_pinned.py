"""A pinned database: one connection, every call undoes itself alone when it fails, and in the end all is undone."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqlwright.contract import Contracts
from sqlwright.database import Database
from sqlwright.errors import (
    AcquireTimeout,
    DeadlineExceeded,
    MoreThanOneRow,
    ReadOnlyTransaction,
    TransactionClosed,
    TransactionError,
    TransactionFailed,
    UniqueViolation,
)
from sqlwright.execute import Where
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO item VALUES (1, 0);
""",
    "q.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item (id, n) VALUES (:id, 0);

-- name: add_many*!
INSERT INTO item (id, n) VALUES (:id, 0);

-- name: any^
SELECT id FROM item;

-- name: safely!
-- @isolation serializable
UPDATE item SET n = n + 1 WHERE id = 1;

-- name: endless$
-- @timeout 60s
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT count(*) FROM n;
""",
}


@pytest.fixture
async def bench(open_bench: Open, database_url: str) -> Bench:
    bench = await open_bench(database_url, FILES, acquire_timeout_seconds=0.2)
    await bench.call("setup")
    return bench


async def do(bench: Bench, where: Where, name: str, body: object = None) -> Any:
    return (await bench.result(name, body, where=where))[1].affected


async def count(bench: Bench, where: Where | None = None) -> int:
    return int(json.loads((await bench.result("count", where=where))[1].json))


async def test_everything_is_undone_at_the_end(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        assert isinstance(pinned, Database)
        await do(bench, pinned, "add", {"id": 2})
        async with pinned.transaction(isolation="serializable") as tx:
            await do(bench, tx, "add", {"id": 3})
            assert await do(bench, tx, "safely") == 1
        assert await do(bench, pinned, "safely") == 1
        assert await count(bench, pinned) == 3
        assert await count(bench) == 1
    assert await count(bench) == 1
    await bench.assert_whole()


async def test_a_call_that_fails_undoes_itself_alone(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        await do(bench, pinned, "add", {"id": 2})
        for failing in ([{"id": 3}, {"id": 1}], [{"id": 4}, {"id": 4}]):
            with pytest.raises(UniqueViolation):
                await do(bench, pinned, "add_many", failing)
        with pytest.raises(MoreThanOneRow):
            await do(bench, pinned, "any")
        await do(bench, pinned, "add", {"id": 5})
        assert await count(bench, pinned) == 3


async def test_a_transaction_in_it_is_all_or_nothing(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        with pytest.raises(UniqueViolation):
            async with pinned.transaction() as tx:
                await do(bench, tx, "add", {"id": 2})
                await do(bench, tx, "add", {"id": 2})
        with pytest.raises(TransactionFailed):
            async with pinned.transaction() as tx:
                await do(bench, tx, "add", {"id": 2})
                with pytest.raises(UniqueViolation):
                    await do(bench, tx, "add", {"id": 2})
        assert await count(bench, pinned) == 1
        async with pinned.transaction() as tx:
            with pytest.raises(UniqueViolation):
                async with tx.savepoint():
                    await do(bench, tx, "add", {"id": 1})
            await do(bench, tx, "add", {"id": 2})
        with pytest.raises(TransactionClosed):
            await do(bench, tx, "add", {"id": 3})
        assert await count(bench, pinned) == 2
        async with pinned.transaction(read_only=True) as tx:
            with pytest.raises(ReadOnlyTransaction):
                await do(bench, tx, "add", {"id": 3})
            assert await count(bench, tx) == 2
        with pytest.raises(DeadlineExceeded):
            async with pinned.transaction(timeout_seconds=0.1) as tx:
                await do(bench, tx, "add", {"id": 3})
                await asyncio.Event().wait()
        with pytest.raises(ValueError, match="snapshot"):
            pinned.transaction(isolation="snapshot")  # type: ignore[arg-type]
        assert await count(bench, pinned) == 2


async def test_calls_of_several_tasks_wait_for_each_other(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:

        async def one(number: int) -> None:
            try:
                await do(bench, pinned, "add_many", [{"id": number}, {"id": number % 4}])
            except UniqueViolation:
                await count(bench, pinned)

        async def transaction(number: int) -> None:
            async with pinned.transaction() as tx:
                before = await count(bench, tx)
                await do(bench, tx, "add", {"id": number})
                await asyncio.sleep(0)
                assert await count(bench, tx) == before + 1, "another task came in between"

        await asyncio.gather(*(one(n) for n in range(4, 12)), *(transaction(n) for n in range(20, 30)))
        assert await count(bench, pinned) == 1 + 10 + 2 * 3, "of the eight only those with a new second key"


async def test_who_waits_for_itself_is_told_so(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        async with pinned.transaction() as tx:
            with pytest.raises(TransactionError, match="this task"):
                await count(bench, pinned)
            with pytest.raises(TransactionError, match="this task"):
                async with pinned.transaction():
                    pass
            with pytest.raises(AcquireTimeout):
                await asyncio.create_task(count(bench, pinned))
            await do(bench, tx, "add", {"id": 2})
        assert await count(bench, pinned) == 2


async def test_a_query_is_described_while_a_transaction_is_open(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        contracts = Contracts(pinned, bench.settings)
        async with pinned.transaction() as tx:
            await do(bench, tx, "add", {"id": 2})
            assert (await contracts.get(bench.registry["count"])).columns
            assert await count(bench, tx) == 2


async def test_a_script_does_not_run_in_it(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        with pytest.raises(TransactionError, match="script"):
            await do(bench, pinned, "setup")
        assert await count(bench, pinned) == 1


async def test_a_cancelled_call_undoes_itself_alone(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        await do(bench, pinned, "add", {"id": 2})
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await do(bench, pinned, "endless")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), pinned.transaction() as tx:
                await do(bench, tx, "add", {"id": 3})
                await do(bench, tx, "endless")
        assert await count(bench, pinned) == 2
    assert await count(bench) == 1
    await bench.assert_whole()


async def test_it_is_opened_and_closed_by_its_owner(bench: Bench) -> None:
    async with bench.database.pinned() as pinned:
        await pinned.open()
        await pinned.close()
        assert await count(bench, pinned) == 1
        assert pinned.status() == bench.database.status()
        assert pinned.opened == bench.database.opened


async def test_a_database_in_memory_can_be_pinned(open_bench: Open) -> None:
    bench = await open_bench(":memory:", FILES)
    await bench.call("setup")
    async with bench.database.pinned() as pinned:
        contracts = Contracts(pinned, bench.settings)
        async with pinned.transaction() as tx:
            await contracts.get(bench.registry["safely"])
            await do(bench, tx, "add", {"id": 2})
        assert await count(bench, pinned) == 2
    assert await count(bench) == 1
