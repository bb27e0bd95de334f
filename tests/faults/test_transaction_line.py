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


@pytest.fixture(params=["postgresql", "mysql"])
def server_url(request: pytest.FixtureRequest) -> str:
    """A database with a line to it."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def proxy(server_url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(server_url)
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
    proxy: FaultProxy, open_bench: Any, server_url: str
) -> None:
    """Replicas refuse to be serializable."""
    bench: Bench = await open_bench(server_url, FILES, read_urls=[proxy.address])
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


async def test_a_line_that_is_cut_between_two_statements_has_applied_nothing(
    proxy: FaultProxy, open_bench: Any
) -> None:
    bench: Bench = await open_bench(proxy.address, FILES)
    await bench.call("setup")
    await bench.call("n")
    with pytest.raises(DatabaseUnavailable) as failed:
        async with bench.database.transaction() as tx:
            await bench.result("raise", where=tx)
            proxy.reset()
            await bench.result("raise", where=tx)
    assert failed.value.outcome == "none"
    await bench.assert_whole()
    assert (await bench.call("n"))["value"] == 0


async def test_what_is_said_about_a_commit_that_is_cut_is_true(
    proxy: FaultProxy, open_bench: Any, server_url: str
) -> None:
    bench: Bench = await open_bench(proxy.address, FILES)
    beside: Bench = await open_bench(server_url, FILES)
    await bench.call("setup")
    await bench.call("raise")
    outcomes = set()
    for arrives in (True, False):
        for size in (0, 3, 1000):
            await bench.assert_whole()
            before = (await beside.call("n"))["value"]
            outcome = "applied"
            try:
                async with bench.database.transaction() as tx:
                    await bench.result("raise", where=tx)
                    if arrives:
                        proxy.cut_after = size
                    else:
                        proxy.reset()
            except DatabaseError as error:
                outcome = error.outcome
            proxy.cut_after = None
            await bench.assert_whole()
            outcomes.add(outcome)
            applied = (await beside.call("n"))["value"] - before
            assert applied in {"none": (0,), "unknown": (0, 1), "applied": (1,)}[outcome]
            assert applied == 0 or arrives
    assert {"unknown", "applied"} <= outcomes
