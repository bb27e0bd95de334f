"""Pools and leases: where a call reads and writes, and what happens when that place is away."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from servers import with_database, with_user
from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.engines.pool import Pool
from sqlwright.errors import AcquireTimeout, DatabaseUnavailable
from sqlwright.query import Access

READ, WRITE = Access.READ, Access.WRITE
Open = Callable[..., Awaitable[Database]]


@pytest.fixture
async def open_database() -> AsyncIterator[Open]:
    opened: list[Database] = []

    async def open_one(url: str, **settings: Any) -> Database:
        database = Database(Settings(database_url=url, **settings))
        opened.append(database)
        await database.open()
        return database

    yield open_one
    for database in opened:
        await database.close()


async def test_reading_and_writing_are_two_kinds_of_session(open_database: Open, database_url: str) -> None:
    database = await open_database(database_url)
    async with database.lease(READ) as reader, database.lease(WRITE) as writer:
        assert reader.read_only
        assert not writer.read_only
        assert reader.raw_connection is not writer.raw_connection
    assert sorted(database.status()) == ["reader", "writer"]
    assert database.opened == 2


async def test_opening_opens_no_connection(open_database: Open) -> None:
    database = await open_database("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout_seconds=1)
    assert database.opened == 0
    for access in Access:
        with pytest.raises(DatabaseUnavailable):
            async with database.lease(access):
                pass
    assert [status.size for group in database.status().values() for status in group] == [0, 0]


async def test_a_lease_goes_back_whatever_happens(open_database: Open, database_url: str) -> None:
    database = await open_database(database_url, reader_pool_size=1, acquire_timeout_seconds=0.5)
    for error in (KeyError, asyncio.CancelledError, SystemError):
        with pytest.raises(error):
            async with database.lease(READ):
                raise error
    async with database.lease(READ):
        with pytest.raises(AcquireTimeout):
            async with database.lease(READ):
                pass
    async with database.lease(READ):
        pass


async def test_a_session_that_is_lost_is_not_clean(open_database: Open, database_url: str) -> None:
    """However little it has done: else the next call would have it."""
    database = await open_database(database_url)
    async with database.lease(Access.READ) as lease:
        pool = database._readers[0].pool
        assert pool is not None
        connector = pool._connector
        session = lease.session
        await connector.mend(session)
        assert connector.is_clean(session)
        connector.terminate(session)
        assert not connector.is_clean(session)
    assert pool.status.size == 0


async def test_two_leases_of_one_task_are_two_connections(open_database: Open, postgresql_url: str) -> None:
    database = await open_database(postgresql_url)
    async with database.lease(WRITE) as one, database.lease(WRITE) as two:
        assert one.raw_connection is not two.raw_connection


async def test_a_wrong_password_or_name_is_one_clear_line(open_database: Open, postgresql_server: str) -> None:
    database = await open_database(with_database(postgresql_server, "missing_database"))
    with pytest.raises(DatabaseUnavailable, match="no database of this name"):
        async with database.lease(READ):
            pass


def in_use(pool: Pool[Any]) -> int:
    return pool.status.size - pool.status.idle


async def test_replicas_read_first_and_are_passed_over_while_they_fail(
    open_database: Open, postgresql_url: str
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    database = await open_database(postgresql_url, read_urls=(away, postgresql_url))
    replica_away, replica, main = (pool.pool for pool in database._readers)
    assert replica is not None
    assert main is not None
    assert replica_away is not None
    async with database.lease(READ):
        assert (in_use(replica), in_use(main)) == (1, 0)
        assert database.candidates(READ)[0].pool is main
        async with database.lease(READ):
            assert (in_use(replica), in_use(main)) == (1, 1)
    assert [pooled.pool for pooled in database.candidates(READ)] == [replica, main]
    database._readers[0].skip_until = 0
    assert replica_away in [pooled.pool for pooled in database.candidates(READ)]


async def test_a_reader_that_loses_its_server_is_passed_over(open_database: Open, postgresql_url: str) -> None:
    database = await open_database(postgresql_url, read_urls=(postgresql_url,))
    with pytest.raises(DatabaseUnavailable):
        async with database.lease(READ):
            raise DatabaseUnavailable("the connection was lost")
    assert database.candidates(READ) == [database._readers[1]]


async def test_the_least_used_reader_comes_first(open_database: Open, postgresql_url: str) -> None:
    database = await open_database(postgresql_url, read_urls=(postgresql_url, postgresql_url))
    async with database.lease(READ), database.lease(READ), database.lease(READ), database.lease(READ):
        used = [pooled.load for pooled in database._readers]
    assert used == [2, 1, 1]


async def test_memory_is_one_connection(open_database: Open) -> None:
    database = await open_database(":memory:")
    async with database.lease(WRITE) as lease:
        first = lease.raw_connection
    async with database.lease(READ) as lease:
        assert lease.raw_connection is first
    assert database.opened == 1


async def test_pool_sizes(open_database: Open, postgresql_url: str) -> None:
    database = await open_database(postgresql_url, writer_pool_size=3, acquire_timeout_seconds=0.05)
    leases = [database.lease(WRITE) for _ in range(3)]
    for lease in leases:
        await lease.__aenter__()
    with pytest.raises(AcquireTimeout):
        await database.lease(WRITE).__aenter__()
    for lease in leases:
        await lease.__aexit__(None, None, None)


async def test_a_full_server_is_unavailable(open_database: Open, postgresql_url: str) -> None:
    admin = await asyncpg.connect(postgresql_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"CREATE ROLE tight_{name} LOGIN CONNECTION LIMIT 1")
    url = with_user(postgresql_url, f"tight_{name}")
    database = await open_database(url)
    async with database.lease(READ):
        with pytest.raises(DatabaseUnavailable):
            async with database.lease(WRITE):
                pass
    await database.close()
    await admin.execute(f"DROP ROLE tight_{name}")
    await admin.close()


async def test_closing_folds_the_write_ahead_log_into_the_file(open_bench: Any, tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    files = {
        "make.sql": "-- :result :script\nCREATE TABLE t (a integer); INSERT INTO t VALUES (1);",
        "a.sql": "SELECT a FROM t;",
    }
    bench = await open_bench(f"sqlite:///{file}", files)
    await bench.call("make")
    await bench.call("a")
    await bench.database.close()
    alone = tmp_path / "copied.db"
    alone.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(alone)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


async def test_a_close_that_is_cancelled_still_ends_every_pool(open_database: Open, database_url: str) -> None:
    database = await open_database(database_url)
    async with database.lease(READ), database.lease(WRITE):
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.01)  # it waits for the lease of the first pool
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        for access in (READ, WRITE):
            with pytest.raises(DatabaseUnavailable):
                async with database.lease(access):
                    pass
    assert [status.size for group in database.status().values() for status in group] == [0, 0]


async def test_memory_is_not_lost_to_a_call_that_stops_late(open_database: Open) -> None:
    database = await open_database("sqlite:///:memory:")
    async with database.lease(WRITE) as lease:
        await lease.session.call(lambda raw, _: raw.execute("CREATE TABLE kept (a)").close(), None)

        async def deaf() -> None:
            await lease.session.call(lambda *_: time.sleep(1.7), None)  # longer than other sessions are waited for

        leaving = asyncio.create_task(deaf())
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    async with database.lease(WRITE) as lease:
        await lease.session.call(lambda raw, _: raw.execute("SELECT a FROM kept").close(), None)
    assert database.opened == 1
