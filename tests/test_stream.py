"""Streams: a piece at a time from the database's own cursor, and the connection given back whatever happens."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from record_shop import write_files
from sqlwright import Client, connect
from sqlwright.errors import (
    AcquireTimeout,
    InvalidParameters,
    RowMismatch,
    SqlwrightError,
    StatementTimeout,
    TransactionClosed,
    TransactionError,
    TransactionFailed,
)

ROWS = 4000
FILES = {
    "numbers/queries.sql": """
-- name: make#
CREATE TABLE number (n integer PRIMARY KEY, text varchar(200) NOT NULL);

-- name: load*!
INSERT INTO number (n, text) VALUES (:n, :text);

-- name: all
SELECT n, text FROM number ORDER BY n;

-- name: above
SELECT n FROM number WHERE n > :least ORDER BY n;

-- name: get^
SELECT n, text FROM number WHERE n = :n;

-- name: squares
SELECT a.n AS a, b.n AS b, a.text FROM number a CROSS JOIN number b;

-- name: add!
INSERT INTO number (n, text) VALUES (:n, 'added');

-- name: isolated
-- @isolation repeatable_read
SELECT n FROM number;

-- name: slow
SELECT a.n FROM number a CROSS JOIN number b CROSS JOIN number c WHERE a.n + b.n + c.n < 0;
"""
}


@dataclass
class Number:
    n: int
    text: str


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return write_files(tmp_path / "queries", FILES)


@pytest.fixture
async def db(database_url: str, queries: Path) -> AsyncIterator[Client]:
    async with connect(database_url, queries=queries, reader_pool_size=2, writer_pool_size=1) as db:
        await db.run("numbers.make")
        await db.run("numbers.load", [{"n": n, "text": "x" * 100} for n in range(ROWS)])
        yield db


def lent(db: Client) -> int:
    """Connections that are neither idle nor on their way to be (below 0: on their way and already idle)."""
    pools = [pool for group in db.database.status().values() for pool in group]
    return sum(pool.size - pool.idle - pool.mending for pool in pools)


async def assert_whole(db: Client) -> None:
    for _ in range(300):
        pools = [pool for group in db.database.status().values() for pool in group]
        if all(pool.size == pool.idle and not pool.waiting and not pool.mending for pool in pools):
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError(f"not whole: {db.database.status()}")
    # Whole also for whoever comes next.
    assert {ROWS - 2, ROWS - 1} <= {row["n"] for row in await db.q.numbers.above(least=ROWS - 3)}
    await db.q.numbers.add(n=-1)
    assert (await db.q.numbers.get(n=-1))["text"] == "added"


@pytest.mark.parametrize("chunk_rows", [1, 7, 1000, ROWS, ROWS + 1])
async def test_every_row_comes_once_and_in_order(db: Client, chunk_rows: int) -> None:
    least = ROWS - 20 if chunk_rows == 1 else -1
    rows = [row["n"] async for row in db.stream("numbers.above", {"least": least}, chunk_rows=chunk_rows)]
    assert rows == list(range(least + 1, ROWS))
    assert lent(db) <= 0
    await assert_whole(db)


async def test_rows_become_objects(db: Client) -> None:
    async with db.stream("numbers.all", into=Number) as numbers:
        async for number in numbers:
            assert number == Number(0, "x" * 100)
            break
    with pytest.raises(RowMismatch, match=r"numbers.above do not fit Number"):
        await anext(db.stream("numbers.above", {"least": 0}, into=Number))
    await assert_whole(db)


async def test_nothing_comes_of_nothing(db: Client) -> None:
    assert [row async for row in db.stream("numbers.above", {"least": ROWS})] == []
    await assert_whole(db)


async def leave_by_break(db: Client) -> None:
    async for _ in db.stream("numbers.all", chunk_rows=10):
        break


async def leave_by_exception(db: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        async for row in db.stream("numbers.all", chunk_rows=10):
            _ = 1 // row["n"]


async def leave_by_context(db: Client) -> None:
    async with db.stream("numbers.all", chunk_rows=10) as rows:
        await anext(rows)


async def leave_by_close(db: Client) -> None:
    rows = db.stream("numbers.all", chunk_rows=10)
    await anext(rows)
    await rows.aclose()
    await rows.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(rows)


async def leave_by_dropping(db: Client) -> None:
    rows = db.stream("numbers.all", chunk_rows=10)
    await anext(rows)
    del rows


async def leave_by_cycle(db: Client) -> None:
    rows = db.stream("numbers.all", chunk_rows=10)
    await anext(rows)
    circle: list[Any] = [rows]
    circle.append(circle)
    del rows, circle
    gc.collect()


async def leave_from_a_thread(db: Client) -> None:
    kept = [db.stream("numbers.all", chunk_rows=10)]
    await anext(kept[0])
    await asyncio.to_thread(kept.clear)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def leave_by_return(db: Client) -> None:
    async def first() -> int:
        async for row in db.stream("numbers.all", chunk_rows=10):
            return int(row["n"])
        raise AssertionError

    assert await first() == 0


async def leave_by_cancellation_in_the_body(db: Client) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in db.stream("numbers.all", chunk_rows=10):
            begun.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


LEAVING = [
    leave_by_break, leave_by_exception, leave_by_context, leave_by_close, leave_by_dropping, leave_by_cycle,
    leave_from_a_thread, leave_by_return, leave_by_cancellation_in_the_body,
]  # fmt: skip


@pytest.mark.parametrize("leave", LEAVING)
async def test_leaving_early_gives_the_connection_back_at_once(
    db: Client, leave: Callable[[Client], Awaitable[None]]
) -> None:
    for _ in range(5):  # more than there are connections
        await leave(db)
        assert lent(db) <= 0
    await assert_whole(db)


async def test_cancelled_while_rows_are_fetched(db: Client) -> None:
    for _ in range(4):
        rows = db.stream("numbers.slow")
        task = asyncio.create_task(anext(rows))  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            while lent(db) < 1:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lent(db) <= 0
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
    await assert_whole(db)


async def test_what_was_left_does_not_keep_its_snapshot(db: Client) -> None:
    kept = []
    for _ in range(4):
        rows = db.stream("numbers.all", chunk_rows=10)
        await anext(rows)
        await rows.aclose()
        kept.append(rows)  # the object lives on
    await assert_whole(db)
    for n in range(3):
        await db.q.numbers.add(n=ROWS + n)
        counts = await asyncio.gather(*(db.rows("numbers.above", {"least": ROWS - 1}) for _ in range(4)))
        assert [len(rows) for rows in counts] == [n + 1] * 4


async def test_queries_inside_of_the_loop(db: Client) -> None:
    count = 0
    async for row in db.stream("numbers.above", {"least": ROWS - 30}, chunk_rows=10):
        assert (await db.q.numbers.get(n=row["n"]))["n"] == row["n"]
        await db.q.numbers.add(n=ROWS + row["n"])  # what comes later is not seen by the cursor, or no harm is done
        count += 1
        if count > 28:
            break
    assert count == 29


async def test_two_streams_at_once(db: Client) -> None:
    seen = []
    async for a in db.stream("numbers.above", {"least": ROWS - 4}, chunk_rows=1):
        seen += [(a["n"], b["n"]) async for b in db.stream("numbers.above", {"least": ROWS - 4}, chunk_rows=1)]
    assert len(seen) == 9


async def test_memory_stays_flat(db: Client) -> None:
    count, peak = 0, 0
    rows = db.stream("numbers.squares", chunk_rows=500)
    await anext(rows)
    tracemalloc.start()
    try:
        async for _ in rows:
            count += 1
            if count == 200_000:
                break
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        await rows.aclose()
    assert count == 200_000
    assert peak < 4_000_000  # 200,000 rows are more than 100 MB
    await assert_whole(db)


async def test_the_loop_goes_on_meanwhile(db: Client) -> None:
    """Between two pieces other tasks have their turn, also where many have arrived together."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    async for row in db.stream("numbers.all", chunk_rows=10):
        if row["n"] == ROWS - 1:
            break
    other.cancel()
    assert turns >= ROWS // 10


# --- what goes wrong --------------------------------------------------------------------------------------------


async def test_a_fetch_has_a_timeout(db: Client) -> None:
    with pytest.raises(StatementTimeout):
        _ = [row async for row in db.stream("numbers.slow", timeout=0.05)]
    assert lent(db) <= 0
    await assert_whole(db)


async def test_the_time_between_fetches_does_not_count(db: Client, database_url: str, queries: Path) -> None:
    """Nor does the server end a transaction that is idle while the loop thinks."""
    async with connect(database_url, queries=queries, statement_timeout_seconds=0.5) as brief:
        count = 0
        async for row in brief.stream("numbers.all", chunk_rows=2000):
            if row["n"] == 1:
                await asyncio.sleep(0.8)
            count += 1
        assert count == ROWS


async def test_mistakes_are_told(db: Client) -> None:
    with pytest.raises(TypeError, match="does not give rows"):
        db.stream("numbers.get", {"n": 1})
    with pytest.raises(ValueError, match="chunk_rows"):
        db.stream("numbers.all", chunk_rows=0)
    with pytest.raises(SqlwrightError, match="no query"):
        db.stream("numbers.nothing")
    with pytest.raises(InvalidParameters):
        await anext(db.stream("numbers.above", {"least": "x"}))
    with pytest.raises(TypeError, match="@isolation"):
        await anext(db.stream("numbers.isolated"))
    await db.run("numbers.all")
    async with db.lease(), db.lease():  # there are two readers
        with pytest.raises(AcquireTimeout):
            await anext(db.stream("numbers.all"))


# --- in a transaction -------------------------------------------------------------------------------------------


async def test_a_stream_of_a_transaction_sees_what_it_wrote(db: Client) -> None:
    async with db.transaction() as tx:
        await tx.q.numbers.add(n=ROWS)
        rows = [row["n"] async for row in tx.stream("numbers.above", {"least": ROWS - 2}, chunk_rows=1)]
        assert rows == [ROWS - 1, ROWS]
        await tx.q.numbers.add(n=ROWS + 1)
    assert [row["n"] for row in await db.q.numbers.above(least=ROWS - 1)] == [ROWS, ROWS + 1]
    await assert_whole(db)


async def test_statements_beside_a_stream_of_their_transaction_are_refused(db: Client) -> None:
    with pytest.raises(TransactionError, match="still reads rows"):
        async with db.transaction() as tx:
            async for _ in tx.stream("numbers.all", chunk_rows=10):
                await tx.q.numbers.get(n=1)
    await assert_whole(db)


async def test_statements_of_other_tasks_wait_for_the_stream(db: Client) -> None:
    async with db.transaction() as tx:
        count = 0
        async for _ in tx.stream("numbers.all", chunk_rows=1000):
            if count == 0:
                beside = asyncio.create_task(tx.run("numbers.get", {"n": 1}))
            count += 1
        assert count == ROWS
        assert (await beside)["n"] == 1


@pytest.mark.parametrize("end", ["break", "aclose"])
async def test_a_stream_that_was_left_lets_its_transaction_go_on(db: Client, end: str) -> None:
    async with db.transaction() as tx:
        if end == "break":
            async for _ in tx.stream("numbers.all", chunk_rows=10):
                break
        else:
            rows = tx.stream("numbers.all", chunk_rows=10)
            await anext(rows)
            await rows.aclose()
        assert (await tx.q.numbers.get(n=3))["n"] == 3
        await tx.q.numbers.add(n=ROWS)
    assert (await db.q.numbers.get(n=ROWS))["text"] == "added"
    await assert_whole(db)


async def test_a_stream_outlives_no_transaction(db: Client) -> None:
    async with db.transaction() as tx:
        await tx.q.numbers.add(n=ROWS)
        rows = tx.stream("numbers.all", chunk_rows=10)
        await anext(rows)
    with pytest.raises(TransactionClosed):
        _ = [row async for row in rows]
    del rows
    assert (await db.q.numbers.get(n=ROWS))["text"] == "added"
    await assert_whole(db)


async def test_a_stream_that_fails_fails_its_transaction(db: Client) -> None:
    with pytest.raises(TransactionFailed):
        async with db.transaction() as tx:
            await tx.q.numbers.add(n=ROWS)
            with pytest.raises(StatementTimeout):
                await anext(tx.stream("numbers.slow", timeout=0.05))
    assert await db.q.numbers.get(n=ROWS) is None
    await assert_whole(db)


async def test_one_connection_for_all(queries: Path) -> None:
    async with connect("sqlite:///:memory:", queries=queries) as db:
        await db.run("numbers.make")
        await db.run("numbers.load", [{"n": n, "text": "x"} for n in range(30)])
        count = 0
        async for row in db.stream("numbers.all", chunk_rows=10):
            assert (await db.q.numbers.get(n=row["n"]))["n"] == row["n"]
            count += 1
        assert count == 30


async def test_a_stream_of_a_pinned_database(db: Client) -> None:
    async with db.database.pinned() as pinned:

        class Pinned:
            settings, registry, contracts, doubt = db._source.settings, db.registry, db.contracts, db._source.doubt
            database = pinned

        other = Client(Pinned())  # type: ignore[arg-type]
        await other.q.numbers.add(n=ROWS)
        async for row in other.stream("numbers.above", {"least": ROWS - 3}, chunk_rows=1):
            assert (await other.q.numbers.get(n=row["n"]))["n"] == row["n"]
        assert row["n"] == ROWS
    assert await db.q.numbers.get(n=ROWS) is None
