"""Transactions on a line that fails: a server that does not answer the COMMIT, and a replica beside the main server."""

# ruff: noqa: PT012 - what raises is a transaction's end, so the whole block stands inside of `pytest.raises`

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fault_proxy import FaultProxy

from sqlwright.errors import DatabaseError, DatabaseUnavailable
from workbench import Bench

FILES = {
    "q.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO item VALUES (1, 0);
-- name: raise!
UPDATE item SET n = n + 1;
-- name: n$
SELECT n FROM item;
"""
}


@pytest.fixture
async def proxy(postgresql_url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(postgresql_url)
    await proxy.accept()
    yield proxy
    proxy.thaw()
    proxy.refuse()


async def test_a_commit_without_an_answer_leaves_the_outcome_open(proxy: FaultProxy, open_bench: Any) -> None:
    bench: Bench = await open_bench(proxy.address, FILES, statement_timeout_seconds=0.3)
    await bench.call("setup")
    await bench.call("n")
    for ending, outcome in ((proxy.freeze, "unknown"), (proxy.reset, None)):
        with pytest.raises(DatabaseError) as failed:
            async with bench.database.transaction() as tx:
                await bench.result("raise", where=tx)
                ending()
        assert failed.value.outcome == outcome or outcome is None
        proxy.thaw()
        await bench.assert_whole()
        assert (await bench.call("n"))["value"] in (0, 1)


async def test_a_server_that_freezes_in_a_transaction_has_applied_nothing(proxy: FaultProxy, open_bench: Any) -> None:
    bench: Bench = await open_bench(proxy.address, FILES, statement_timeout_seconds=0.3)
    await bench.call("setup")
    await bench.call("n")
    with pytest.raises(DatabaseError) as failed:
        async with bench.database.transaction() as tx:
            await bench.result("raise", where=tx)
            proxy.freeze()
            async with tx.savepoint():
                await bench.result("raise", where=tx)
    assert failed.value.outcome == "none"
    proxy.thaw()
    await bench.assert_whole()
    assert (await bench.call("n"))["value"] == 0


async def test_no_lease_is_held_when_begin_is_not_answered(proxy: FaultProxy, open_bench: Any) -> None:
    bench: Bench = await open_bench(proxy.address, FILES, statement_timeout_seconds=0.3)
    await bench.call("setup")
    proxy.freeze()
    with pytest.raises(DatabaseError) as failed:
        async with bench.database.transaction():
            raise AssertionError("it never began")
    assert failed.value.outcome == "none"
    proxy.thaw()
    await bench.assert_whole()


async def test_a_reading_transaction_is_on_a_replica_unless_it_is_serializable(
    proxy: FaultProxy, open_bench: Any, postgresql_url: str
) -> None:
    """Replicas refuse to be serializable."""
    bench: Bench = await open_bench(postgresql_url, FILES, read_urls=[proxy.address])
    await bench.call("setup")
    for isolation, replica in ((None, True), ("repeatable_read", True), ("serializable", False)):
        async with bench.database.transaction(read_only=True, isolation=isolation) as tx:
            on_replica = str(proxy.port) in str(tx._lease._backend._database_url)
            assert on_replica is replica
        await bench.assert_whole()  # or the main server would be less in use


async def test_no_lease_is_held_when_there_is_no_server(proxy: FaultProxy, open_bench: Any) -> None:
    bench: Bench = await open_bench(proxy.address)
    proxy.refuse()
    with pytest.raises(DatabaseUnavailable):
        async with bench.database.transaction():
            raise AssertionError("it never began")
    await bench.assert_whole()
