"""Transactions on PostgreSQL: what it alone can do to one, and what is told about it."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from sqlwright.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    OutcomeUnknown,
    ReadQueryWrote,
    SerializationFailure,
    SqlwrightError,
    StatementTimeout,
    TransactionFailed,
    UniqueViolation,
)
from sqlwright.query import ISOLATIONS, Access
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO item VALUES (1, 0);
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'UPDATE item SET n = n + 1 RETURNING n';
CREATE FUNCTION unlocks() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('transaction_read_only', 'off', true);
  RETURN writes();
END $$;
CREATE TABLE slow_to_commit (ms int);
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(NEW.ms / 1000.0); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow_to_commit DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION sleep();
""",
    "q.sql": """
-- name: writing$
SELECT writes();

-- name: unlocking$
SELECT unlocks();

-- name: n$
SELECT n FROM item WHERE id = 1;

-- name: raise!
UPDATE item SET n = n + 1;

-- name: add!
INSERT INTO item (id, n) VALUES (:id, 0);

-- name: everything
SELECT * FROM item;

-- name: level$
SELECT current_setting('transaction_isolation');

-- name: limit_of_default$
SELECT current_setting('statement_timeout');

-- name: limit_of_its_own$
-- @timeout 1234ms
SELECT current_setting('statement_timeout');

-- name: backend$
SELECT pg_backend_pid();

-- name: slow_to_commit!
INSERT INTO slow_to_commit VALUES (:ms);

-- name: hurried!
-- @timeout 100ms
UPDATE item SET n = n + 1;
""",
}


@pytest.fixture
async def bench(open_bench: Open, postgresql_url: str) -> Bench:
    bench = await open_bench(postgresql_url, FILES)
    await bench.call("setup")
    for query in bench.registry:
        await bench.contracts.get(query)
    return bench


async def value(bench: Bench, name: str, where: Any = None) -> Any:
    return json.loads((await bench.result(name, where=where))[1].json)


async def server(bench: Bench, statement: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(bench.settings.database_url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["writing", "unlocking"])
async def test_a_query_that_reads_cannot_write_in_a_transaction_that_can(bench: Bench, name: str) -> None:
    async with bench.database.transaction() as tx:
        await bench.result("raise", where=tx)
        for _ in range(2):
            with pytest.raises((ReadQueryWrote, SqlwrightError)) as refused:
                async with tx.savepoint():
                    await value(bench, "n", tx)
                    await value(bench, name, tx)
            assert name != "writing" or refused.type is ReadQueryWrote
            assert await value(bench, "n", tx) == 1
        await bench.result("raise", where=tx)
        async with tx.savepoint():
            await value(bench, "n", tx)
        await bench.result("raise", where=tx)
    assert await value(bench, "n") == 3


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("read_only", [False, True])
async def test_isolation_is_what_was_asked_for(bench: Bench, isolation: Any, read_only: bool) -> None:
    async with bench.database.transaction(isolation=isolation, read_only=read_only) as tx:
        assert await value(bench, "level", tx) == isolation.replace("_", " ")


async def test_the_limit_of_a_statement_is_its_own(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        for _ in range(2):
            assert await value(bench, "limit_of_default", tx) == "5s"
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    assert await value(bench, "limit_of_its_own", tx) == "1234ms"
                    raise ZeroDivisionError
            assert await value(bench, "limit_of_its_own", tx) == "1234ms"
            async with tx.savepoint():
                assert await value(bench, "limit_of_default", tx) == "5s"
                assert await value(bench, "limit_of_its_own", tx) == "1234ms"
            assert await value(bench, "limit_of_its_own", tx) == "1234ms"
    async with bench.database.transaction() as tx:
        assert await value(bench, "limit_of_its_own", tx) == "1234ms"
        assert await value(bench, "limit_of_default", tx) == "5s"


async def test_a_statements_limit_is_not_that_of_the_commit(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await bench.result("slow_to_commit", {"ms": 300}, where=tx)
        await bench.result("hurried", where=tx)
    assert await value(bench, "n") == 1


@pytest.mark.reliability(24, engine="postgresql")
async def test_an_error_that_the_driver_was_not_asked_about_shows_at_the_end(bench: Bench) -> None:
    with pytest.raises(TransactionFailed):
        async with bench.database.transaction() as tx:
            await bench.result("add", {"id": 2}, where=tx)
            async with tx.lease(Access.WRITE) as lease:
                with contextlib.suppress(asyncpg.PostgresError):
                    await lease.raw_connection.execute("INSERT INTO item VALUES (2, 0)")
    assert await server(bench, "SELECT count(*) FROM item") == 1
    await bench.assert_whole()


@pytest.mark.reliability(21, engine="postgresql")
async def test_the_end_of_time_during_commit_leaves_the_outcome_open(bench: Bench) -> None:
    with pytest.raises(DeadlineExceeded) as late:
        async with bench.database.transaction(timeout_seconds=0.3) as tx:
            await bench.result("slow_to_commit", {"ms": 4000}, where=tx)
    assert late.value.outcome == "unknown"
    await bench.assert_whole()


@pytest.mark.reliability(26, engine="postgresql")
async def test_a_commit_that_takes_too_long_is_rolled_back(open_bench: Open, postgresql_url: str) -> None:
    bench = await open_bench(postgresql_url, FILES, statement_timeout_seconds=0.3)
    await bench.call("setup")
    with pytest.raises(StatementTimeout) as late:
        async with bench.database.transaction() as tx:
            await bench.result("slow_to_commit", {"ms": 4000}, where=tx)
    assert late.value.outcome == "none"
    await bench.assert_whole()
    assert await server(bench, "SELECT count(*) FROM slow_to_commit") == 0


async def test_a_pinned_transaction_may_idle(open_bench: Open, postgresql_url: str) -> None:
    bench = await open_bench(postgresql_url, FILES, idle_in_transaction_timeout_seconds=0.1)
    await bench.call("setup")
    async with bench.database.pinned() as pinned:
        await bench.result("raise", where=pinned)
        await asyncio.sleep(1.5)
        assert await value(bench, "n", pinned) == 1


async def test_a_connection_that_is_lost_in_a_transaction_leaves_nothing_open(bench: Bench) -> None:
    """Neither in what is known nor on the server: before COMMIT nothing can have been applied."""
    with pytest.raises(DatabaseUnavailable) as lost:
        async with bench.database.transaction() as tx:
            await bench.result("raise", where=tx)
            await server(bench, "SELECT pg_terminate_backend($1)", await value(bench, "backend", tx))
            await bench.result("raise", where=tx)
    assert lost.value.outcome == "none"
    await bench.assert_whole()
    assert await value(bench, "n") == 0


@pytest.mark.reliability(21, engine="postgresql")
async def test_a_connection_that_is_lost_while_a_commit_runs_leaves_the_outcome_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the answer is lost on this side: the server has committed, and there is no way to know."""
    with pytest.raises(OutcomeUnknown):
        async with bench.database.transaction() as tx:
            await bench.result("raise", where=tx)
            await bench.result("slow_to_commit", {"ms": 300}, where=tx)
            session = tx._lease.raw_connection
            asyncio.get_running_loop().call_later(0.1, session._transport.abort)
    await bench.assert_whole()


@pytest.mark.reliability(25, engine="postgresql")
async def test_a_schema_that_changes_meanwhile_is_a_collision(bench: Bench) -> None:
    """What a prepared statement gives may not change inside of a transaction; the transaction may be done again."""
    attempts = 0

    async def work() -> None:
        nonlocal attempts
        attempts += 1
        async with bench.database.transaction(read_only=True) as tx:
            await value(bench, "backend", tx)
            if attempts == 1:
                await server(bench, "ALTER TABLE item ADD COLUMN m int")
            async with tx.lease(Access.READ) as lease:
                statement = await lease.raw_connection.statement("SELECT * FROM item")
                await statement.fetch()
            await bench.result("everything", where=tx)

    async with bench.database.transaction(read_only=True) as tx:
        await bench.result("everything", where=tx)
    await bench.database.retry(work)
    assert attempts <= 2


@pytest.mark.reliability(23, 25, engine="postgresql")
async def test_a_collision_at_the_commit_is_repeated(bench: Bench) -> None:
    """Two transactions read what the other one writes: one of them is refused, at a statement or at its COMMIT."""
    both = asyncio.Barrier(2)
    collisions = 0

    async def work(number: int) -> None:
        nonlocal collisions
        first = True

        async def attempt() -> None:
            nonlocal first, collisions
            try:
                async with bench.database.transaction(isolation="serializable") as tx:
                    await bench.result("everything", where=tx)
                    if first:
                        first = False
                        await both.wait()
                    await bench.result("add", {"id": number}, where=tx)
            except SerializationFailure:
                collisions += 1
                raise

        await bench.database.retry(attempt)

    await asyncio.gather(work(10), work(11))
    assert collisions >= 1
    assert await server(bench, "SELECT count(*) FROM item") == 3


async def test_a_savepoint_undoes_a_failed_statement(bench: Bench) -> None:
    """PostgreSQL itself refuses everything after an error, until that is undone."""
    async with bench.database.transaction() as tx:
        await bench.result("raise", where=tx)
        for _ in range(3):
            with pytest.raises(UniqueViolation):
                async with tx.savepoint():
                    await value(bench, "n", tx)
                    await bench.result("add", {"id": 1}, where=tx)
        await bench.result("raise", where=tx)
    assert await value(bench, "n") == 2
