"""Transactions on real databases: all or nothing, whatever happens inside, and at the end nothing is held."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy

from sqlwright.errors import (
    AcquireTimeout,
    DeadlineExceeded,
    MoreThanOneRow,
    NoRow,
    ReadOnlyTransaction,
    SerializationFailure,
    TransactionClosed,
    TransactionError,
    TransactionFailed,
    UniqueViolation,
)
from sqlwright.execute import Where
from sqlwright.query import ISOLATIONS, Access
from sqlwright.transaction import retry, strongest
from workbench import Bench

Open = Callable[..., Awaitable[Bench]]

FILES = {
    "setup.sql": """
-- name: setup#
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE entry (id int PRIMARY KEY, note varchar(50));
INSERT INTO account VALUES (1, 0), (2, 0);
""",
    "q.sql": """
-- name: balance$
SELECT balance FROM account WHERE id = :id;

-- name: balances
SELECT id, balance FROM account ORDER BY id;

-- name: account^
SELECT id, balance FROM account WHERE id = :id;

-- name: accounts^
SELECT id FROM account;

-- name: pay!
UPDATE account SET balance = balance + :amount WHERE id = :id;

-- name: set_balance!
UPDATE account SET balance = :balance WHERE id = :id;

-- name: note!
INSERT INTO entry (id, note) VALUES (:id, :note);

-- name: notes$
SELECT count(*) FROM entry;

-- name: note_many*!
INSERT INTO entry (id, note) VALUES (:id, :note);

-- name: note_all_twice<!
INSERT INTO entry (id, note) SELECT id + 100, 'two' FROM account RETURNING id;

-- name: pay_safely!
-- @isolation serializable
UPDATE account SET balance = balance + :amount WHERE id = :id;

-- name: safely$
-- @isolation repeatable read
SELECT balance FROM account WHERE id = :id;

-- name: endless$
-- @timeout 60s
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT count(*) FROM n;
""",
}
ENTRY = sqlalchemy.table("entry", sqlalchemy.column("id"), sqlalchemy.column("note"))


@pytest.fixture
async def bench(open_bench: Open, database_url: str) -> Bench:
    bench = await open_bench(database_url, FILES)
    await bench.call("setup")
    return bench


async def value(bench: Bench, name: str, body: object = None, where: Where | None = None) -> Any:
    """What a call of one value gives."""
    return json.loads((await bench.result(name, body, where=where))[1].json)


async def do(bench: Bench, where: Where, name: str, body: object = None) -> Any:
    """A call on a transaction; gives the number of rows changed."""
    return (await bench.result(name, body, where=where))[1].affected


# --- all or nothing ---------------------------------------------------------------------------------------------


async def test_what_is_done_inside_is_kept_at_the_end(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        assert await do(bench, tx, "pay", {"id": 1, "amount": -5}) == 1
        assert await do(bench, tx, "pay", {"id": 2, "amount": 5}) == 1
        assert await value(bench, "balance", {"id": 2}, tx) == 5
        assert await value(bench, "balance", {"id": 2}) == 0, "nobody else sees it before the end"
        assert await do(bench, tx, "note_many", [{"id": n, "note": "x"} for n in range(3)]) == 3
    assert await value(bench, "balance", {"id": 2}) == 5
    assert await value(bench, "notes") == 3
    await bench.assert_whole()


async def test_an_exception_undoes_all_and_is_what_the_caller_gets(bench: Bench) -> None:
    class Stop(Exception):
        pass

    with pytest.raises(Stop):
        async with bench.database.transaction() as tx:
            await do(bench, tx, "pay", {"id": 1, "amount": 5})
            raise Stop
    assert await value(bench, "balance", {"id": 1}) == 0
    await bench.assert_whole()


@pytest.mark.reliability(24)
async def test_a_failed_statement_makes_the_transaction_failed(bench: Bench) -> None:
    with pytest.raises(TransactionFailed, match="nothing"):
        async with bench.database.transaction() as tx:
            await do(bench, tx, "note", {"id": 1, "note": "x"})
            with pytest.raises(UniqueViolation):
                await do(bench, tx, "note", {"id": 1, "note": "again"})
            with pytest.raises(TransactionFailed) as later:
                await do(bench, tx, "note", {"id": 2, "note": "x"})
            assert isinstance(later.value.__cause__, UniqueViolation)
    assert await value(bench, "notes") == 0
    await bench.assert_whole()


async def test_a_second_row_makes_the_transaction_failed(bench: Bench) -> None:
    for name in ("accounts", "note_all_twice"):
        with pytest.raises(TransactionFailed):
            async with bench.database.transaction() as tx:
                await do(bench, tx, "note", {"id": 1, "note": "x"})
                with pytest.raises(MoreThanOneRow):
                    await do(bench, tx, name)
        assert await value(bench, "notes") == 0


async def test_a_bulk_call_that_fails_undoes_all(bench: Bench) -> None:
    with pytest.raises(UniqueViolation):
        async with bench.database.transaction() as tx:
            await do(bench, tx, "pay", {"id": 1, "amount": 5})
            await do(bench, tx, "note_many", [{"id": 1, "note": "x"}, {"id": 2, "note": "x"}, {"id": 1, "note": "x"}])
    assert (await value(bench, "notes"), await value(bench, "balance", {"id": 1})) == (0, 0)


async def test_no_row_does_not_make_it_failed(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        with pytest.raises(NoRow):
            await do(bench, tx, "account", {"id": 77})
        await do(bench, tx, "pay", {"id": 1, "amount": 1})
    assert await value(bench, "balance", {"id": 1}) == 1


async def test_a_call_on_the_database_does_not_join(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        async with bench.database.transaction(read_only=True):
            await bench.call("pay", {"id": 1, "amount": 1})
            raise ZeroDivisionError
    assert await value(bench, "balance", {"id": 1}) == 1


# --- reading ----------------------------------------------------------------------------------------------------


async def test_a_read_only_transaction_does_not_write(bench: Bench) -> None:
    async with bench.database.transaction(read_only=True) as tx:
        assert await value(bench, "balance", {"id": 1}, tx) == 0
        with pytest.raises(ReadOnlyTransaction):
            await do(bench, tx, "pay", {"id": 1, "amount": 1})
        with pytest.raises(ReadOnlyTransaction):
            await do(bench, tx, "note_many", [{"id": 1, "note": "x"}])
        assert await value(bench, "balance", {"id": 1}, tx) == 0, "the refusal is no failed statement"
    await bench.assert_whole()


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_reader_sees_one_moment(bench: Bench, isolation: Any) -> None:
    async with bench.database.transaction(read_only=True, isolation=isolation) as tx:
        before = await value(bench, "balance", {"id": 1}, tx)
        await bench.call("pay", {"id": 1, "amount": 7})
        assert await value(bench, "balance", {"id": 1}, tx) == before
    assert await value(bench, "balance", {"id": 1}) == before + 7


async def test_reads_and_writes_take_turns(bench: Bench) -> None:
    """What keeps a query that reads from writing does not keep the next one from it, nor undo what was before."""
    async with bench.database.transaction() as tx:
        for n in range(1, 4):
            await do(bench, tx, "pay", {"id": 1, "amount": 1})
            assert await value(bench, "balance", {"id": 1}, tx) == n
            assert await value(bench, "balance", {"id": 1}, tx) == n
        await do(bench, tx, "note_many", [{"id": 1, "note": "x"}])
        assert await value(bench, "notes", where=tx) == 1
        async with tx.lease(Access.WRITE) as lease:
            await lease.execute(sqlalchemy.insert(ENTRY).values(id=2, note="core"))
        assert await value(bench, "notes", where=tx) == 2
        async with tx.savepoint():
            await do(bench, tx, "note", {"id": 3, "note": "x"})
            assert await value(bench, "notes", where=tx) == 3
        await do(bench, tx, "pay", {"id": 1, "amount": 1})
        assert await value(bench, "balance", {"id": 1}, tx) == 4
    assert (await value(bench, "notes"), await value(bench, "balance", {"id": 1})) == (3, 4)


# --- savepoints -------------------------------------------------------------------------------------------------


READS = {
    "windows": "SELECT id, rank() OVER (ORDER BY balance, id) AS place, sum(balance) OVER () AS total FROM account",
    "groups": "SELECT balance, count(*) AS accounts FROM account GROUP BY balance",
    "steps": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT i FROM n",
    "either": "SELECT id FROM account UNION SELECT id FROM entry ORDER BY 1",
    "derived": "SELECT count(*) AS n FROM (SELECT DISTINCT balance FROM account ORDER BY balance LIMIT 1) AS b",
}


@pytest.mark.parametrize("name", READS)
async def test_a_read_that_needs_room_of_its_own_is_no_write(bench: Bench, name: str) -> None:
    bench.write({f"{name}.sql": READS[name]})
    async with bench.database.transaction() as tx:
        await do(bench, tx, "pay", {"id": 1, "amount": 5})
        assert (await bench.call(name, where=tx))["data"]
        await do(bench, tx, "pay", {"id": 1, "amount": 5})
    assert await value(bench, "balance", {"id": 1}) == 10


async def test_a_savepoint_undoes_what_is_inside_alone(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await do(bench, tx, "note", {"id": 1, "note": "x"})
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                await do(bench, tx, "note", {"id": 2, "note": "x"})
                assert await value(bench, "notes", where=tx) == 2
                await do(bench, tx, "note", {"id": 1, "note": "again"})
        assert await value(bench, "notes", where=tx) == 1
        async with tx.savepoint():
            await do(bench, tx, "note", {"id": 3, "note": "x"})
        await do(bench, tx, "note", {"id": 4, "note": "x"})
    assert await value(bench, "notes") == 3


@pytest.mark.reliability(24)
async def test_a_savepoint_that_swallows_an_error_is_undone_and_says_so(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await do(bench, tx, "note", {"id": 1, "note": "x"})
        with pytest.raises(TransactionFailed):
            async with tx.savepoint():
                await do(bench, tx, "note", {"id": 2, "note": "x"})
                with pytest.raises(UniqueViolation):
                    await do(bench, tx, "note", {"id": 1, "note": "again"})
        await do(bench, tx, "note", {"id": 3, "note": "x"})
    assert await value(bench, "notes") == 2


async def test_savepoints_nest(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        async with tx.savepoint():
            await do(bench, tx, "note", {"id": 1, "note": "x"})
            with pytest.raises(UniqueViolation):
                async with tx.savepoint():
                    await do(bench, tx, "note", {"id": 2, "note": "x"})
                    async with tx.savepoint():
                        await do(bench, tx, "note", {"id": 3, "note": "x"})
                    await do(bench, tx, "note", {"id": 1, "note": "again"})
            assert await value(bench, "notes", where=tx) == 1
            async with tx.transaction() as inner:
                await do(bench, inner, "note", {"id": 4, "note": "x"})
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                async with tx.savepoint():
                    await do(bench, tx, "note", {"id": 5, "note": "x"})
                await do(bench, tx, "note", {"id": 1, "note": "again"})
        assert await value(bench, "notes", where=tx) == 2
    assert await value(bench, "notes") == 2


async def test_a_transaction_inside_keeps_what_it_asks_for(bench: Bench) -> None:
    async with bench.database.transaction(isolation="repeatable_read") as tx:
        with pytest.raises(TransactionError, match="serializable"):
            async with tx.transaction(isolation="serializable"):
                pass
        async with tx.transaction(isolation="read_committed", read_only=True) as inner:
            with pytest.raises(ReadOnlyTransaction):
                await do(bench, inner, "pay", {"id": 1, "amount": 1})
        with pytest.raises(DeadlineExceeded):
            async with tx.transaction(timeout_seconds=0.05) as inner:
                await do(bench, inner, "pay", {"id": 1, "amount": 1})
                await asyncio.Event().wait()
        await do(bench, tx, "pay", {"id": 1, "amount": 10})
    assert await value(bench, "balance", {"id": 1}) == 10


async def test_a_cancelled_wait_inside_a_savepoint_undoes_it_alone(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await do(bench, tx, "note", {"id": 1, "note": "x"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), tx.savepoint():
                await do(bench, tx, "note", {"id": 2, "note": "x"})
                await asyncio.Event().wait()
        await do(bench, tx, "note", {"id": 3, "note": "x"})
    assert await value(bench, "notes") == 2


# --- several tasks ----------------------------------------------------------------------------------------------


async def test_statements_of_several_tasks_wait_for_each_other(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await asyncio.gather(*(do(bench, tx, "pay", {"id": 1 + n % 2, "amount": 1}) for n in range(40)))
        answers = await asyncio.gather(*(value(bench, "balance", {"id": 1}, tx) for _ in range(20)))
        assert set(answers) == {20}
    await bench.assert_whole()


async def test_savepoints_of_several_tasks_do_not_undo_each_other(bench: Bench) -> None:
    """Each half of the tasks fails in its savepoint, while the others run statements with and without one."""

    async def one(tx: Any, number: int) -> None:
        try:
            async with tx.savepoint():
                await do(bench, tx, "note", {"id": number, "note": "x"})
                await asyncio.sleep(0)
                await do(bench, tx, "pay", {"id": 1, "amount": 1})
                if number % 2:
                    await do(bench, tx, "note", {"id": number, "note": "again"})
        except UniqueViolation:
            assert number % 2
        await do(bench, tx, "pay", {"id": 2, "amount": 1})

    async with bench.database.transaction() as tx:
        async with tx.savepoint():
            await asyncio.gather(*(one(tx, number) for number in range(10)))
        await asyncio.gather(*(one(tx, number) for number in range(10, 20)))
    assert await value(bench, "notes") == 10
    assert await value(bench, "balance", {"id": 1}) == 10
    assert await value(bench, "balance", {"id": 2}) == 20


async def test_a_statement_on_its_way_when_the_transaction_is_left_is_not_kept(bench: Bench) -> None:
    """And the connection goes back only when it has ended, so that it meets nobody else's."""

    async def pay(tx: Any) -> None:
        await do(bench, tx, "pay", {"id": 1, "amount": 1})

    await bench.call("pay", {"id": 1, "amount": 0})  # described now
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            async with bench.database.transaction() as tx:
                tasks = [asyncio.create_task(pay(tx)) for _ in range(3)]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                raise ZeroDivisionError
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TransactionClosed] * 3
        await bench.assert_whole()
        assert await value(bench, "balance", {"id": 1}) == 0


async def test_a_statement_on_its_way_at_the_end_is_waited_for(bench: Bench) -> None:
    await bench.call("pay", {"id": 1, "amount": 0})  # described now
    async with bench.database.transaction() as tx:
        tasks = [asyncio.create_task(do(bench, tx, "pay", {"id": 1, "amount": 1})) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert await value(bench, "balance", {"id": 1}) == outcomes.count(1) >= 1
    await bench.assert_whole()


# --- the end ----------------------------------------------------------------------------------------------------


@pytest.mark.reliability(30)
async def test_nothing_goes_on_after_the_end(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        savepoint = tx.savepoint()
    for attempt in (
        lambda: do(bench, tx, "pay", {"id": 1, "amount": 1}),
        savepoint.__aenter__,
        lambda: tx.transaction().__aenter__(),
    ):
        with pytest.raises(TransactionClosed):
            await attempt()
    await bench.assert_whole()


async def test_a_transaction_has_a_time(bench: Bench) -> None:
    async def sleeps(tx: Any) -> None:
        await asyncio.Event().wait()

    async def runs(tx: Any) -> None:
        await value(bench, "endless", where=tx)

    async def swallows(tx: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    for body in (sleeps, runs, swallows):
        with pytest.raises(DeadlineExceeded) as late:
            async with bench.database.transaction(timeout_seconds=0.2) as tx:
                await do(bench, tx, "pay", {"id": 1, "amount": 1})
                await body(tx)
        assert late.value.outcome == "none"
        await bench.assert_whole()
        assert await value(bench, "balance", {"id": 1}) == 0


async def test_the_time_of_a_transaction_has_a_default(open_bench: Open, database_url: str) -> None:
    bench = await open_bench(database_url, FILES, transaction_timeout_seconds=0.1)
    with pytest.raises(DeadlineExceeded, match=r"0\.1"):
        async with bench.database.transaction():
            await asyncio.Event().wait()
    await bench.assert_whole()


async def test_a_body_that_is_cancelled_by_its_own_clock_is_told_so(bench: Bench) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), bench.database.transaction() as tx:
            await do(bench, tx, "pay", {"id": 1, "amount": 1})
            await value(bench, "endless", where=tx)
    await bench.assert_whole()
    assert await value(bench, "balance", {"id": 1}) == 0


@pytest.mark.reliability(30)
async def test_a_swallowed_cancellation_of_a_statement_keeps_nothing(bench: Bench) -> None:
    """Not even in the level around: nobody knows how far the statement came."""
    with pytest.raises(TransactionFailed):
        async with bench.database.transaction() as tx:
            await do(bench, tx, "pay", {"id": 1, "amount": 1})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1), tx.savepoint():
                    await value(bench, "endless", where=tx)
            with pytest.raises(TransactionFailed):
                await do(bench, tx, "pay", {"id": 1, "amount": 1})
    await bench.assert_whole()
    assert await value(bench, "balance", {"id": 1}) == 0


async def test_no_lease_is_held_when_it_cannot_begin(open_bench: Open, database_url: str) -> None:
    bench = await open_bench(database_url, FILES, writer_pool_size=1, acquire_timeout_seconds=0.05)
    await bench.call("setup")
    async with bench.database.transaction():
        with pytest.raises(AcquireTimeout):
            async with bench.database.transaction():
                pass
    with pytest.raises(ValueError, match="snapshot"):
        bench.database.transaction(isolation="snapshot")  # type: ignore[arg-type]
    await bench.assert_whole()


async def test_a_script_does_not_run_inside(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        with pytest.raises(TransactionError, match="script"):
            await do(bench, tx, "setup")
        await do(bench, tx, "pay", {"id": 1, "amount": 1})
    assert await value(bench, "balance", {"id": 1}) == 1


# --- collisions -------------------------------------------------------------------------------------------------


async def raised_by_reading_first(bench: Bench) -> None:
    async with bench.database.transaction(isolation="serializable") as tx:
        balance = await value(bench, "balance", {"id": 1}, tx)
        await do(bench, tx, "set_balance", {"id": 1, "balance": balance + 1})


@pytest.mark.reliability(25)
async def test_increments_that_collide_are_repeated(bench: Bench) -> None:
    await asyncio.gather(*(bench.database.retry(lambda: raised_by_reading_first(bench)) for _ in range(8)))
    assert await value(bench, "balance", {"id": 1}) == 8
    await bench.assert_whole()


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_every_isolation_is_given(bench: Bench, isolation: Any) -> None:
    async with bench.database.transaction(isolation=isolation) as tx:
        assert tx.isolation == isolation
        await do(bench, tx, "pay", {"id": 1, "amount": 1})
    assert await value(bench, "balance", {"id": 1}) == 1


async def test_retry_is_bounded_and_repeats_nothing_else() -> None:
    calls = 0

    async def collides() -> None:
        nonlocal calls
        calls += 1
        raise SerializationFailure("again")

    async def swallowed_collision() -> None:
        nonlocal calls
        calls += 1
        raise TransactionFailed from SerializationFailure("again")

    async def fails() -> None:
        nonlocal calls
        calls += 1
        raise UniqueViolation

    for work, error, expected in (
        (collides, SerializationFailure, 4),
        (swallowed_collision, TransactionFailed, 4),
        (fails, UniqueViolation, 1),
    ):
        calls = 0
        with pytest.raises(error):
            await retry(work, attempts=4)
        assert calls == expected
    calls = 0
    with pytest.raises(SerializationFailure):
        await retry(collides, attempts=1)
    assert calls == 1


async def test_retry_inside_of_retry_does_not_wait_for_itself(bench: Bench) -> None:
    attempts = 0

    async def inner() -> int:
        nonlocal attempts
        attempts += 1
        if attempts % 2:
            raise SerializationFailure("again")
        return attempts

    async def outer() -> int:
        if await bench.database.retry(inner) < 4:
            raise SerializationFailure("again")
        return attempts

    assert await bench.database.retry(outer) == 4


# --- `@isolation` -----------------------------------------------------------------------------------------------


async def test_a_query_with_isolation_is_a_transaction_of_its_own(bench: Bench) -> None:
    await asyncio.gather(*(bench.call("pay_safely", {"id": 1, "amount": 1}) for _ in range(8)))
    result = (await bench.result("safely", {"id": 1}))[1]
    assert json.loads(result.json) == 8
    assert 0 <= result.waited_seconds < math.inf
    assert result.database_seconds > 0
    await bench.assert_whole()


async def test_a_query_with_isolation_joins_only_what_is_isolated_enough(bench: Bench) -> None:
    async with bench.database.transaction(isolation="repeatable_read") as tx:
        with pytest.raises(TransactionError, match="serializable"):
            await do(bench, tx, "pay_safely", {"id": 1, "amount": 1})
        assert await value(bench, "safely", {"id": 1}, tx) == 0
    async with bench.database.transaction(isolation="serializable") as tx:
        assert await do(bench, tx, "pay_safely", {"id": 1, "amount": 1}) == 1
    assert await value(bench, "balance", {"id": 1}) == 1


def test_the_strongest_isolation_satisfies_all() -> None:
    assert strongest([]) is None
    assert strongest([None, "serializable", "read_committed"]) == "serializable"
    assert strongest(["read_committed", None]) == "read_committed"
