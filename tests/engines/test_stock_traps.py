"""Traps of the stock `databases` package: each is shown on the stock classes, then ours is held to better.

The stock classes stay stock here: `databases.Database` with its own backends, on the same servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import aiomysql
import aiosqlite
import asyncpg
import databases
import pymysql
import pytest
import sqlalchemy
from databases.backends.sqlite import SQLitePool

from awaits import SUSPENSIONS_MAX, awaited, cancelled_at
from failing_commits import failing_commit
from sqlwright.errors import (
    AcquireTimeout,
    InvalidParameters,
    LoadError,
    SqlwrightError,
    StatementTimeout,
    TransactionFailed,
    UniqueViolation,
)
from sqlwright.query import Access

READ, WRITE = Access.READ, Access.WRITE
Stock = Callable[..., Awaitable[databases.Database]]

ROWS = {
    "schema.sql": "-- name: create#\nCREATE TABLE t (a integer PRIMARY KEY, b text);",
    "t.sql": """
-- name: add!
INSERT INTO t (a, b) VALUES (:a, :b);
-- name: add_many*!
INSERT INTO t (a, b) VALUES (:a, :b);
-- name: touch!
UPDATE t SET b = b WHERE a >= :low;
-- name: all
SELECT a, b FROM t ORDER BY a;
-- name: starting
SELECT b FROM t WHERE b LIKE 'a%';
-- name: colons^
SELECT 'x:y' AS quoted, '{"a":1}' AS json, CAST(:x AS integer) AS x;
-- name: by_key^
SELECT a, b FROM t WHERE a = :a;
""",
}


@pytest.fixture
async def stock() -> AsyncIterator[Stock]:
    """`await stock(url, …)`: a connected stock Database."""
    opened: list[databases.Database] = []

    async def connect(url: str, **options: Any) -> databases.Database:
        database = databases.Database(url, **options)
        await database.connect()
        opened.append(database)
        return database

    yield connect
    for database in opened:
        # A pool that lost a connection to a trap would wait for it for ever.
        try:
            async with asyncio.timeout(1):
                await database.disconnect()
        except TimeoutError:
            database._backend._pool.terminate()


# --- pools -------------------------------------------------------------------------------------------------------


async def test_acquire_has_a_timeout(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    theirs = await stock(postgresql_url, min_size=1, max_size=1)

    async def another() -> Any:
        return await theirs.fetch_val("SELECT 1")

    async with theirs.connection():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # ours: the stock one would wait as long as the other holds on
                await asyncio.create_task(another())

    ours = (await open_bench(postgresql_url, reader_pool_size=1, acquire_timeout_seconds=0.05)).database
    async with ours.lease(READ):
        with pytest.raises(AcquireTimeout):
            async with ours.lease(READ):
                pass


async def test_a_timeout_is_not_silently_ignored(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    mark = "&" if "?" in postgresql_url else "?"
    theirs = await stock(f"{postgresql_url}{mark}command_timeout=0.05", min_size=1, max_size=1)
    await theirs.fetch_val("SELECT pg_sleep(0.2)")

    bench = await open_bench(postgresql_url, {"q.sql": "-- name: slow$\n-- @timeout 50ms\nSELECT pg_sleep(5)::text;"})
    with pytest.raises(StatementTimeout):
        await bench.call("slow")


async def test_two_leases_of_a_task_are_two_connections(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    theirs = await stock(postgresql_url)
    async with theirs.connection() as one, theirs.connection() as two:
        assert one is two

    async with theirs.transaction(force_rollback=True):
        await theirs.execute("CREATE TABLE lost (a int)")  # looks like a statement of its own, and is not
    assert await theirs.fetch_val("SELECT to_regclass('lost')::text") is None

    ours = (await open_bench(postgresql_url)).database
    async with ours.lease(WRITE) as one, ours.lease(WRITE) as two:
        assert one.raw_connection is not two.raw_connection


async def test_a_timeout_during_release_loses_nothing(
    stock: Stock, open_bench: Any, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def frozen(self: asyncpg.Connection, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its signature
        await asyncio.sleep(30)

    theirs = await stock(postgresql_url, min_size=1, max_size=2)
    connection = theirs.connection()
    await connection.__aenter__()
    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "reset", frozen)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.__aexit__(None, None, None)
    with pytest.raises(AssertionError, match="already acquired"):
        await theirs.fetch_val("SELECT 1")

    bench = await open_bench(postgresql_url, reader_pool_size=1)
    holding = bench.database.lease(READ)
    await holding.__aenter__()
    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "reset", frozen)
        async with asyncio.timeout(0.05):
            await holding.__aexit__(None, None, None)
        await asyncio.sleep(0)
        for task in list(bench.database._readers[0].pool._mending):
            task.cancel()
        await asyncio.sleep(0)
    async with bench.database.lease(READ) as lease:
        assert await lease.raw_connection.fetchval("SELECT 1") == 1
    await bench.assert_whole()


async def test_an_address_is_not_logged(stock: Stock, open_bench: Any, postgresql_url: str, caplog: Any) -> None:
    mark = "&" if "?" in postgresql_url else "?"
    secret = f"{postgresql_url}{mark}password=secret"
    with caplog.at_level(logging.INFO, "databases"):
        await stock(secret)
        assert "secret" in caplog.text
        caplog.clear()
        bench = await open_bench(secret)
        async with bench.database.lease(READ):
            pass
        assert "secret" not in caplog.text


async def test_values_are_not_logged(stock: Stock, open_bench: Any, postgresql_url: str, caplog: Any) -> None:
    query = "SELECT CAST(:x AS text)"
    with caplog.at_level(logging.DEBUG, "databases"):
        await (await stock(postgresql_url)).fetch_val(query, {"x": "secret"})
    assert "secret" in caplog.text
    caplog.clear()

    logging.getLogger("databases").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        bench = await open_bench(postgresql_url, {"q.sql": f"-- name: echo$\n{query};"})
        assert await bench.call("echo", {"x": "secret"}) == {"value": "secret"}
        async with bench.database.lease(READ) as lease:
            assert await lease.fetch_val(sqlalchemy.text(query).bindparams(x="secret")) == "secret"
    assert "secret" not in caplog.text


# --- text queries ------------------------------------------------------------------------------------------------


async def test_casts_after_a_parameter(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    theirs = await stock(postgresql_url)
    with pytest.raises(Exception, match="x"):
        await theirs.fetch_val("SELECT :x::int", {"x": 1})

    bench = await open_bench(postgresql_url, {"q.sql": "-- name: cast$\nSELECT :x::int;"})
    assert await bench.call("cast", {"x": 1}) == {"value": 1}


async def test_colons_in_strings(stock: Stock, open_bench: Any, database_url: str) -> None:
    theirs = await stock(database_url)
    with pytest.raises(Exception, match=r"bind parameter|arguments"):
        await theirs.fetch_val("SELECT 'is it :x'")

    bench = await open_bench(database_url, ROWS)
    await bench.call("create")
    assert await bench.call("colons", {"x": 1}) == {"quoted": "x:y", "json": '{"a":1}', "x": 1}


async def test_a_missing_parameter_is_an_error(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    theirs = await stock(postgresql_url)
    assert await theirs.fetch_val("SELECT CAST(:x AS text)") is None

    bench = await open_bench(postgresql_url, {"q.sql": "-- name: echo$\nSELECT CAST(:x AS text);"})
    with pytest.raises(InvalidParameters, match="x"):
        await bench.call("echo", {})


async def test_slices_are_not_parameters(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    text = "SELECT (ARRAY[1,2,3])[:2]"
    assert await (await stock(postgresql_url)).fetch_val(text) is None

    bench = await open_bench(postgresql_url, {"q.sql": f"-- name: part$\n{text};"})
    assert await bench.call("part") == {"value": [1, 2]}


async def test_a_percent_sign_on_sqlite(stock: Stock, open_bench: Any, sqlite_url: str) -> None:
    theirs = await stock(sqlite_url)
    await theirs.execute("CREATE TABLE u (b text)")
    with pytest.raises(ValueError, match="format"):
        await theirs.fetch_all("SELECT b FROM u WHERE b LIKE 'a%'")

    bench = await open_bench(sqlite_url, ROWS)
    await bench.call("create")
    await bench.call("add", {"a": 1, "b": "abc"})
    assert (await bench.call("starting"))["data"] == [{"b": "abc"}]


async def test_two_statements_are_refused(open_bench: Any, database_url: str) -> None:
    with pytest.raises(LoadError):
        await open_bench(database_url, {"q.sql": "SELECT 1; SELECT 2;"})


# --- results and writes ------------------------------------------------------------------------------------------


async def test_the_count_of_an_update_is_its_own(stock: Stock, open_bench: Any, sqlite_url: str) -> None:
    theirs = await stock(sqlite_url)
    await theirs.execute("CREATE TABLE u (a integer PRIMARY KEY)")
    async with theirs.transaction():
        await theirs.execute("INSERT INTO u VALUES (77)")
        assert await theirs.execute("UPDATE u SET a = a") == 77  # the rowid of the insert

    bench = await open_bench(sqlite_url, ROWS)
    await bench.call("create")
    await bench.call("add", {"a": 77, "b": "x"})
    assert await bench.call("touch", {"low": 0}) == {"affected": 1}
    assert await bench.call("touch", {"low": 78}) == {"affected": 0}


async def test_many_executions_are_all_or_nothing(stock: Stock, open_bench: Any, database_url: str) -> None:
    theirs = await stock(database_url)
    await theirs.execute("CREATE TABLE u (a integer PRIMARY KEY)")
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        await theirs.execute_many("INSERT INTO u VALUES (:a)", [{"a": 1}, {"a": 2}, {"a": 1}])
    assert await theirs.fetch_val("SELECT count(*) FROM u") == 2

    bench = await open_bench(database_url, ROWS)
    await bench.call("create")
    with pytest.raises(SqlwrightError):
        await bench.call("add_many", [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 1, "b": "x"}])
    assert (await bench.call("all"))["data"] == []


# --- SQLite ------------------------------------------------------------------------------------------------------


async def test_memory_keeps_its_tables(stock: Stock, open_bench: Any) -> None:
    theirs = await stock("sqlite:///:memory:")
    await theirs.execute("CREATE TABLE u (a integer)")
    async with theirs.connection() as held:
        await held.fetch_val("SELECT 1")
        with pytest.raises(Exception, match="no such table"):
            await asyncio.create_task(theirs.fetch_all("SELECT * FROM u"))

    bench = await open_bench(":memory:", ROWS)
    await bench.call("create")
    await bench.call("add", {"a": 1, "b": "x"})
    answers = await asyncio.gather(*(bench.call("all") for _ in range(20)))
    assert all(answer["data"] == [{"a": 1, "b": "x"}] for answer in answers)


async def test_threads_do_not_grow_with_calls(stock: Stock, open_bench: Any, sqlite_url: str) -> None:
    theirs = await stock(sqlite_url)
    before = threading.active_count()
    most = 0

    async def call() -> None:
        nonlocal most
        async with theirs.connection() as connection:
            await connection.fetch_val("SELECT 1")
            most = max(most, threading.active_count() - before)
            await asyncio.sleep(0.05)

    await asyncio.gather(*(asyncio.create_task(call()) for _ in range(40)))
    assert most > 20

    bench = await open_bench(sqlite_url, ROWS, reader_pool_size=4)
    await bench.call("create")
    before = threading.active_count()
    await asyncio.gather(*(bench.call("by_key", {"a": 1}) for _ in range(400)), return_exceptions=True)
    assert threading.active_count() - before <= 5


async def test_a_connection_is_set_up_for_a_service(stock: Stock, open_bench: Any, sqlite_url: str) -> None:
    theirs = await stock(sqlite_url)
    assert await theirs.fetch_val("PRAGMA foreign_keys") == 0
    assert await theirs.fetch_val("PRAGMA journal_mode") == "delete"

    pragmas = {
        "q.sql": "-- name: keys$\nSELECT foreign_keys FROM pragma_foreign_keys;\n"
        "-- name: journal$\nSELECT journal_mode FROM pragma_journal_mode;"
    }
    bench = await open_bench(sqlite_url, {**ROWS, **pragmas})
    await bench.call("create")
    assert await bench.call("keys") == {"value": 1}
    assert await bench.call("journal") == {"value": "wal"}


async def test_a_cancelled_query_stops(stock: Stock, open_bench: Any, sqlite_url: str) -> None:
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT count(*) FROM n"
    theirs = await stock(sqlite_url)
    async with theirs.connection() as held:
        stuck = asyncio.create_task(held.fetch_val(counting.format(3_000_000)))
        await asyncio.sleep(0.05)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        done = asyncio.create_task(held.fetch_val("SELECT 1"))  # waits until the cancelled one has counted to its end
        await asyncio.sleep(0.02)
        assert not done.done()
        await done

    endless = "-- name: endless$\n-- @timeout 60s\n" + counting.format(10**12)
    bench = await open_bench(sqlite_url, {**ROWS, "e.sql": endless}, reader_pool_size=1)
    await bench.call("create")
    task = asyncio.create_task(bench.call("endless"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.assert_whole()
    assert (await bench.call("all"))["data"] == []


@pytest.mark.reliability(25)
async def test_writers_do_not_fail_each_other(open_bench: Any, sqlite_url: str) -> None:
    bench = await open_bench(sqlite_url, ROWS)
    await bench.call("create")
    await asyncio.gather(*(bench.call("add", {"a": n, "b": "x"}) for n in range(200)))
    assert await bench.call("touch", {"low": 0}) == {"affected": 200}


# --- transactions ------------------------------------------------------------------------------------------------

WALLETS = {
    "wallets.sql": """
-- name: setup#
CREATE TABLE wallet (id integer PRIMARY KEY, balance integer NOT NULL);
INSERT INTO wallet VALUES (1, 0), (2, 0);
-- name: pay!
UPDATE wallet SET balance = balance + :amount WHERE id = :id;
-- name: open!
INSERT INTO wallet VALUES (:id, 0);
-- name: wallets$
SELECT count(*) FROM wallet;
"""
}
ACCOUNT = "CREATE TABLE account (id integer PRIMARY KEY, balance integer NOT NULL)"
PAY = "UPDATE account SET balance = balance + 1 WHERE id = 1"


@pytest.fixture
async def one_connection(
    stock: Stock, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[databases.Database]:
    """A stock database that has, or with SQLite needs, only one connection; what it loses is closed after the test."""
    acquire, opened = SQLitePool.acquire, []

    async def acquire_and_tell(self: SQLitePool) -> aiosqlite.Connection:
        opened.append(await acquire(self))
        return opened[-1]

    monkeypatch.setattr(SQLitePool, "acquire", acquire_and_tell)
    failing = failing_commit(database_url)
    is_sqlite = database_url.startswith("sqlite")
    theirs = await stock(failing.url, **({"timeout": 0.1} if is_sqlite else {"min_size": 1, "max_size": 1}))
    for statement in (ACCOUNT, *filter(str.strip, failing.schema.split(";"))):
        await theirs.execute(statement)
    await theirs.execute("INSERT INTO account VALUES (1, 0)")
    yield theirs
    for connection in opened:
        await connection.close()


async def test_isolation_is_never_silently_ignored(stock: Stock, open_bench: Any, sqlite_url: str) -> None:
    theirs = await stock(sqlite_url)
    async with theirs.transaction(isolation="no such level"):
        assert await theirs.fetch_val("SELECT 1") == 1

    ours = (await open_bench(sqlite_url)).database
    with pytest.raises(ValueError, match="no such level"):
        ours.transaction(isolation="no such level")


@pytest.mark.reliability(23)
async def test_a_commit_that_fails_gives_its_connection_back(
    one_connection: databases.Database, open_bench: Any, database_url: str
) -> None:
    connection = one_connection.connection()
    failing = failing_commit(database_url)

    async def order() -> None:
        async with connection:
            if database_url.startswith("sqlite"):
                await connection.execute("PRAGMA foreign_keys=on")
            async with connection.transaction():
                await connection.execute("INSERT INTO child (id, parent_id) VALUES (1, 77)")
                failing.spoil()

    try:
        with pytest.raises((asyncpg.ForeignKeyViolationError, sqlite3.IntegrityError, pymysql.err.OperationalError)):
            await order()
    finally:
        failing.mend()
    with pytest.raises((TimeoutError, sqlite3.OperationalError)):
        async with asyncio.timeout(0.5):  # ours: a server's pool is empty for ever, SQLite's file locked for ever
            await asyncio.create_task(one_connection.execute(PAY))
    if database_url.startswith("sqlite"):
        await connection._connection._connection.rollback()

    bench = await open_bench(failing.url, {**WALLETS, **failing.files}, writer_pool_size=1)
    await bench.call("setup")
    for number in range(10):
        try:
            with pytest.raises(failing.error):  # noqa: PT012 - it is the end of the block that raises
                async with bench.database.transaction() as tx:
                    await bench.result("pay", {"id": 1, "amount": 1}, where=tx)
                    await bench.result("orphan", {"id": number}, where=tx)
                    failing.spoil()
        finally:
            failing.mend()
    assert await bench.call("pay", {"id": 1, "amount": 1}) == {"affected": 1}
    await bench.assert_whole()


@pytest.mark.reliability(30)
async def test_a_transaction_that_is_cancelled_gives_its_connection_back(
    one_connection: databases.Database, open_bench: Any, database_url: str
) -> None:
    """The proof of `tests/faults/test_transaction_awaits.py`, on the stock classes and then on ours."""

    async def theirs() -> None:
        async with one_connection.transaction():
            await one_connection.execute(PAY)

    threads = threading.active_count()

    async def is_whole() -> bool:
        for _ in range(20):
            pool = one_connection._backend._pool
            if isinstance(pool, SQLitePool):
                whole = threading.active_count() <= threads
            elif isinstance(pool, aiomysql.Pool):
                whole = pool.freesize == pool.size
            else:
                whole = pool.get_idle_size() == pool.get_size()
            if whole:
                return True
            await asyncio.sleep(0.01)
        return False

    async def proof(work: Callable[[], Coroutine[Any, Any, None]], whole: Callable[[], Awaitable[bool]]) -> int:
        """At which await nothing came back; 0 when everything always does."""
        for number in range(1, SUSPENSIONS_MAX):
            task = asyncio.ensure_future(awaited(cancelled_at(work(), number, False)))
            with contextlib.suppress(asyncio.CancelledError):
                if await task < number:
                    return 0
            if not await whole():
                return number
        raise AssertionError("it never completes")

    assert await proof(theirs, is_whole) > 0

    bench = await open_bench(database_url, WALLETS, writer_pool_size=1)
    await bench.call("setup")
    await bench.call("pay", {"id": 1, "amount": 0})

    async def ours() -> None:
        async with bench.database.transaction() as tx:
            await bench.result("pay", {"id": 1, "amount": 1}, where=tx)

    async def ours_is_whole() -> bool:
        await bench.assert_whole()
        return True

    assert await proof(ours, ours_is_whole) == 0


@pytest.mark.reliability(24)
async def test_a_swallowed_error_is_told_at_the_end(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    theirs = await stock(postgresql_url)
    await theirs.execute(ACCOUNT)
    async with theirs.transaction():
        await theirs.execute("INSERT INTO account VALUES (1, 0)")
        with contextlib.suppress(asyncpg.UniqueViolationError):
            await theirs.execute("INSERT INTO account VALUES (1, 0)")
    assert await theirs.fetch_val("SELECT count(*) FROM account") == 0, "nothing was raised, and nothing was kept"

    bench = await open_bench(postgresql_url, WALLETS)
    await bench.call("setup")
    with pytest.raises(TransactionFailed):  # noqa: PT012 - it is the end of the block that raises
        async with bench.database.transaction() as tx:
            await bench.result("open", {"id": 3}, where=tx)
            with contextlib.suppress(UniqueViolation):
                await bench.result("open", {"id": 3}, where=tx)
    assert await bench.call("wallets") == {"value": 2}


async def test_tasks_of_a_transaction_are_in_it(stock: Stock, open_bench: Any, postgresql_url: str) -> None:
    theirs = await stock(postgresql_url)
    await theirs.execute(ACCOUNT)
    async with theirs.transaction(force_rollback=True):
        await asyncio.create_task(theirs.execute("INSERT INTO account VALUES (1, 0)"))
    assert await theirs.fetch_val("SELECT count(*) FROM account") == 1, "it was on another connection"

    bench = await open_bench(postgresql_url, WALLETS)
    await bench.call("setup")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - rolled back by what the block raises
        async with bench.database.transaction() as tx:
            await asyncio.gather(*(bench.result("open", {"id": n}, where=tx) for n in range(3, 9)))
            raise ZeroDivisionError
    assert await bench.call("wallets") == {"value": 2}
