"""MariaDB sessions: what they are set to, what a use leaves behind, and what becomes of those who are left alone."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pymysql
import pytest
import sqlalchemy

from mariadb_server import execute
from servers import with_user
from sqlwright.engines.base import SessionOptions
from sqlwright.engines.connector import PoolLimits
from sqlwright.engines.mysql.backend import MySQLBackend
from sqlwright.errors import DatabaseUnavailable, ProgramLimitExceeded

pytestmark = pytest.mark.filterwarnings("error")
SLOW = "SELECT COUNT(*) FROM seq_1_to_100000 a, seq_1_to_100000 b WHERE a.seq + b.seq = -1"


class Sessions:
    """A backend of ours with one session."""

    def __init__(self, url: str, **options: Any) -> None:
        chosen: dict[str, Any] = {
            "read_only": False,
            "limits": PoolLimits(size=1),
            "statement_timeout_seconds": 20,
            "lock_timeout_seconds": 1,
            "connect_timeout_seconds": 2,
        }
        self.url = url
        self.backend = MySQLBackend(url, options=SessionOptions(**{**chosen, **options}))

    async def __aenter__(self) -> Sessions:
        await self.backend.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.backend.disconnect()

    async def use(self, *statements: str) -> Any:
        """Rows of the last statement, on the one session of the pool."""
        lease = self.backend.connection()
        await lease.acquire()
        try:
            for statement in statements:
                fetched = await lease.session.fetch(statement)
            return fetched.rows
        finally:
            await lease.release()

    async def settled(self) -> None:
        for _ in range(300):
            status = self.backend.running_pool.status
            if not status.mending and status.size == status.idle:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.backend.running_pool.status)

    async def until_it_runs(self) -> None:
        for _ in range(300):
            if running(self.url):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it does not run")

    async def until_nothing_runs(self) -> None:
        for _ in range(100):
            if not running(self.url):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(running(self.url))


def running(url: str) -> list[Any]:
    return execute(url, "SELECT info FROM information_schema.processlist WHERE info LIKE 'SELECT COUNT(*) FROM seq%'")


@pytest.fixture
async def sessions(mysql_url: str) -> AsyncIterator[Sessions]:
    async with Sessions(mysql_url) as sessions:
        yield sessions


async def test_a_session_is_strict_and_in_utc(sessions: Sessions) -> None:
    row = (await sessions.use("SELECT @@sql_mode, @@time_zone, @@character_set_client, @@autocommit"))[0]
    assert "STRICT_ALL_TABLES" in row[0]
    assert "ANSI" not in row[0]
    assert row[1:] == ("+00:00", "utf8mb4", "1")
    assert await sessions.use("SELECT @@innodb_snapshot_isolation, @@max_statement_time") == [("1", "20.000000")]


async def test_values_come_as_the_server_writes_them(sessions: Sessions) -> None:
    rows = await sessions.use(
        "SELECT NULL, -7, 12.50, 1e30, 'ü🎈', x'00ff', DATE'2026-01-31', TIME'-838:59:59', b'101', CAST('a' AS BINARY)"
    )
    assert rows == [
        (None, "-7", "12.50", "1e30", "ü🎈", b"\0\xff", "2026-01-31", "-838:59:59", b"\5", b"a"),
    ]


async def test_values_go_in_exactly(sessions: Sessions) -> None:
    from decimal import Decimal

    values = [
        "it's \\ \" % \n\0\x1a 🎈",
        b"\0\xff'\\",
        -(2**63),
        2**64 - 1,
        Decimal("1E+3"),
        Decimal("0.10"),
        0.1,
        True,
        None,
    ]
    lease = sessions.backend.connection()
    await lease.acquire()
    for mode in ("", "NO_BACKSLASH_ESCAPES"):
        await lease.session.fetch(f"SET sql_mode = '{mode}'")
        rows = (await lease.session.fetch(f"SELECT {', '.join(['%s'] * len(values))}, '%%'", values)).rows
        assert rows == [
            (values[0], values[1], str(values[2]), str(values[3]), "1000", "0.10", "0.1", "1", None, "%"),
        ]
    with pytest.raises(UnicodeEncodeError):
        await lease.session.fetch("SELECT %s", ["\ud800"])
    with pytest.raises(ProgramLimitExceeded):
        await lease.session.fetch("SELECT LENGTH(%s)", ["x" * lease.session.packet_max])
    await lease.release()
    assert await sessions.use("SELECT 1") == [("1",)]


async def test_two_statements_in_one_are_refused(sessions: Sessions) -> None:
    with pytest.raises(pymysql.err.ProgrammingError):
        await sessions.use("SELECT 1; SELECT 2")
    assert await sessions.use("SELECT 1") == [("1",)]


async def test_nothing_is_left_behind(sessions: Sessions) -> None:
    await sessions.use("CREATE TABLE kept (a int) ENGINE=InnoDB")
    await sessions.use(
        "SET time_zone = '+05:00', @mine = 1, sql_mode = 'ANSI', max_statement_time = 0, NAMES latin1",
        "SELECT GET_LOCK('mine', 0)",
        "CREATE TEMPORARY TABLE passing (a int)",
        "SET autocommit = 0",
        "INSERT INTO kept VALUES (1)",
    )
    [row] = await sessions.use(
        "SELECT @@time_zone, @mine, @@autocommit, @@max_statement_time, @@character_set_results, IS_FREE_LOCK('mine'),"
        " (SELECT COUNT(*) FROM kept)"
    )
    assert row == ("+00:00", None, "1", "20.000000", "utf8mb4", "1", "0")
    with pytest.raises(pymysql.err.ProgrammingError):
        await sessions.use("SELECT * FROM passing")
    assert sessions.backend.running_pool.opened == 1


async def test_a_reading_session_does_not_stay_writable(mysql_url: str) -> None:
    async with Sessions(mysql_url, read_only=True) as sessions:
        execute(mysql_url, "CREATE TABLE t (a int)")
        assert await sessions.use("SET SESSION TRANSACTION READ WRITE", "INSERT INTO t VALUES (1)") == []
        with pytest.raises(pymysql.err.MySQLError) as refused:
            await sessions.use("INSERT INTO t VALUES (1)")
        assert refused.value.args[0] == 1792
        assert sessions.backend.running_pool.opened == 1


async def test_a_statement_whose_caller_left_is_stopped_and_the_session_goes_on(sessions: Sessions) -> None:
    task = asyncio.create_task(sessions.use(SLOW))
    await sessions.until_it_runs()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await sessions.until_nothing_runs()
    await sessions.settled()
    for _ in range(3):
        assert await sessions.use("SELECT 1") == [("1",)]
    assert sessions.backend.running_pool.opened == 1


async def test_a_session_that_is_thrown_away_leaves_no_statement(sessions: Sessions) -> None:
    lease = sessions.backend.connection()
    await lease.acquire()
    task = asyncio.create_task(lease.session.fetch(SLOW))
    await sessions.until_it_runs()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lease.broken = True
    await lease.release()
    await sessions.until_nothing_runs()
    assert await sessions.use("SELECT 1") == [("1",)]
    assert sessions.backend.running_pool.opened == 2


async def test_cancelled_at_random_moments_the_session_stays_whole(sessions: Sessions) -> None:
    for delay in range(60):
        task = asyncio.create_task(sessions.use("SELECT 1", "SELECT SLEEP(0.002)", "SELECT 2"))
        await asyncio.sleep(delay / 10_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sessions.settled()
        assert await sessions.use("SELECT 3") == [("3",)]
    assert sessions.backend.running_pool.opened == 1


async def test_a_cursor_that_is_left_is_read_away(sessions: Sessions) -> None:
    for rows in (0, 1, 5000):
        lease = sessions.backend.connection()
        await lease.acquire()
        cursor = await lease.session.open_cursor("SELECT seq, REPEAT('x', 100) FROM seq_1_to_1000000", None)
        assert len(await cursor.fetch(rows)) == rows
        await lease.release()
        assert await sessions.use("SELECT 1") == [("1",)]
    assert sessions.backend.running_pool.opened == 1


async def test_a_connection_that_the_server_ended_is_not_lent(sessions: Sessions) -> None:
    [[number]] = await sessions.use("SELECT CONNECTION_ID()")
    await sessions.settled()
    execute(sessions.url, f"KILL CONNECTION {number}")
    await asyncio.sleep(0.05)
    [[other]] = await sessions.use("SELECT CONNECTION_ID()")
    assert other != number


async def test_sqlalchemy_expressions_run_over_a_lease(sessions: Sessions) -> None:
    table = sqlalchemy.Table(
        "thing",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("name", sqlalchemy.String(20)),
        sqlalchemy.Column("data", sqlalchemy.LargeBinary),
        sqlalchemy.Column("price", sqlalchemy.Numeric(10, 2)),
        sqlalchemy.Column("seen", sqlalchemy.DateTime),
    )
    from datetime import datetime
    from decimal import Decimal

    await sessions.use(
        "CREATE TABLE thing (id int PRIMARY KEY, name text, data blob, price decimal(10,2), seen datetime)"
    )
    lease = sessions.backend.connection()
    await lease.acquire()
    seen = datetime(2026, 1, 31, 12)
    row = {"id": 1, "name": "100% 'ü'", "data": b"\0'", "price": Decimal("1.50"), "seen": seen}
    await lease.execute(table.insert().values(**row))
    found = await lease.fetch_all(table.select().where(table.c.name.like("100%")))
    assert [dict(each._mapping) for each in found] == [row]
    assert [each["id"] async for each in lease.iterate(table.select())] == [1]
    await lease.release()
    assert await sessions.use("SELECT 1") == [("1",)]


async def test_who_cannot_connect_is_told_so(mysql_url: str) -> None:
    for url in (
        with_user(mysql_url, "nobody"),
        mysql_url + "_not_there",
        "mysql://root:@127.0.0.1:1/x",
        "mysql:///x?unix_socket=/nowhere",
        "mysql://root:@127.0.0.1:1/x?ssl_ca=/nowhere",
    ):
        async with Sessions(url) as sessions:
            with pytest.raises(DatabaseUnavailable):
                await sessions.use("SELECT 1")


async def test_who_asks_for_tls_never_speaks_in_the_clear(mysql_url: str) -> None:
    async with Sessions(f"{mysql_url}?ssl=true&ssl_verify_cert=false") as sessions:
        if execute(mysql_url, "SELECT @@have_ssl") == [("YES",)]:
            [[_, cipher]] = await sessions.use("SHOW STATUS LIKE 'Ssl_cipher'")
            assert cipher
        else:
            with pytest.raises(DatabaseUnavailable):
                await sessions.use("SELECT 1")


async def test_no_connection_is_forgotten(mysql_url: str) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with Sessions(mysql_url) as sessions:
            await sessions.use("SELECT 1")
            lease = sessions.backend.connection()
            await lease.acquire()
        gc.collect()
    assert not [str(warning.message) for warning in seen]
