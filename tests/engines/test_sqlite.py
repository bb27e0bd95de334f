"""What SQLite does differently: describing, running, locks, deadlines, files."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlwright.engines.base import SessionOptions
from sqlwright.engines.connector import PoolLimits
from sqlwright.engines.sqlite.session import SQLiteBackend
from sqlwright.errors import (
    CheckViolation,
    DatabaseCorrupt,
    DatabaseUnavailable,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NotNullViolation,
    ProgramLimitExceeded,
    QueryInvalid,
    RaisedByStatement,
    ReadQueryWrote,
    SqlwrightError,
    StatementFailed,
    StatementTimeout,
    UniqueViolation,
)
from sqlwright.query import Access

CASES = json.loads((Path(__file__).parent.parent / "cases" / "sqlite_describe.json").read_text(encoding="utf-8"))
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
SHOP = """
-- name: make#
CREATE TABLE item (
  item_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, amount INTEGER CHECK (amount >= 0), parent_id INTEGER
    REFERENCES item ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE log (line TEXT);
CREATE TABLE exact (n INTEGER, t TEXT) STRICT;
CREATE TRIGGER refuse BEFORE INSERT ON item WHEN new.name = 'bad' BEGIN
  SELECT RAISE(ABORT, 'no bad names; please'); END;
INSERT INTO item VALUES (1, 'one', 1, NULL), (2, 'two', 2, NULL), (3, 'three', 3, 1);
-- name: items
SELECT item_id, name, amount FROM item ORDER BY item_id;
-- name: count$
SELECT count(*) AS n FROM item;
-- name: add!
INSERT INTO item (item_id, name, amount, parent_id) VALUES (:id, :name, :amount, :parent);
-- name: add_exact!
-- @param n text
INSERT INTO exact (n) VALUES (:n);
-- name: insert :insert
INSERT OR IGNORE INTO item (name) VALUES (:name);
-- name: rename!
WITH which AS (SELECT :low AS low) UPDATE item SET name = name || '!' WHERE item_id >= (SELECT low FROM which);
-- name: remove!
DELETE FROM item WHERE item_id = :id;
-- name: bulk_with*!
WITH x AS (SELECT 1) INSERT INTO item (name) SELECT :name FROM x;
-- name: bulk_returning*!
INSERT INTO item (name) VALUES (:name) RETURNING item_id;
-- name: endless$
ENDLESS;
-- name: endless_write!
INSERT INTO log ENDLESS;
-- name: slow_write!
INSERT INTO log WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT max(i) FROM n;
-- name: slow$
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT max(i) FROM n;
-- name: log_lines$
SELECT count(*) FROM log;
-- name: json_of$
-- @param text text
SELECT json_extract(:text, '$.a');
-- name: values
VALUES (1), (2), (3);
-- name: huge$
SELECT length(zeroblob(:n) || zeroblob(:n));
""".replace("ENDLESS", ENDLESS)


@pytest.fixture
async def shop(open_bench: Any, sqlite_url: str) -> Any:
    bench = await open_bench(sqlite_url, {"shop.sql": SHOP}, lock_timeout_seconds=0.3)
    await bench.call("make")
    return bench


async def ask(lease: Any, sql: str) -> Any:
    """The first value of a statement, past everything that the engine does around one."""
    return await lease.session.call(lambda raw, hop: raw.execute(sql).fetchone()[0], 5)


# --- describe ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def describe(open_bench: Any, sqlite_url: str) -> Callable[..., Any]:
    script = "-- name: make#\n" + ";\n".join(CASES["schema"]) + ";"
    bench = await open_bench(sqlite_url, {"schema.sql": script})
    await bench.call("make")

    async def contract(sql: str) -> Any:
        returning = "returning" in sql.lower() or sql.startswith(("SELECT", "VALUES", "WITH"))
        bench.write({"asked.sql": f"-- name: asked{'' if returning else '!'}\n{sql}\n;"})
        return await bench.contracts.get(bench.registry["asked"])

    return contract


@pytest.mark.parametrize(("sql", "expected"), CASES["parameters"])
async def test_types_of_parameters(describe: Any, sql: str, expected: dict[str, str]) -> None:
    found = {p.name: str(p.type.kind) for p in (await describe(sql)).parameters}
    assert found == {name: expected.get(name, "any") for name in found}
    assert set(expected) <= set(found)


@pytest.mark.parametrize(("sql", "expected"), CASES["columns"])
async def test_columns(describe: Any, sql: str, expected: list[str]) -> None:
    found = []
    for column in (await describe(sql)).columns:
        scale = f".{column.type.scale}" if column.type and column.type.scale is not None else ""
        kind = f"{column.type.kind}{scale}" if column.type else "-"
        found.append(f"{column.name} {kind}{'' if column.nullable else ' !'}")
    assert found == expected


@pytest.mark.parametrize(("sql", "place", "message", "hint"), CASES["refused"])
async def test_a_refusal_points_at_the_word_it_is_about(
    describe: Any, sql: str, place: str, message: str, hint: str
) -> None:
    with pytest.raises(QueryInvalid) as refused:
        await describe(sql)
    found = refused.value.diagnostic
    assert found is not None
    assert (found.message, found.hint) == (message, hint)
    assert found.source[found.column - 1 :].startswith(place)
    assert message not in str(refused.value)


async def test_describing_leaves_no_trace(open_bench: Any, sqlite_url: str, tmp_path: Path) -> None:
    for url in (sqlite_url, "sqlite:///:memory:"):
        bench = await open_bench(url, {"one.sql": "-- name: views$\nSELECT count(*) FROM sqlite_temp_master;"})
        await bench.contracts.get(bench.registry["views"])
        assert await bench.call("views") == {"value": 0}
        async with bench.database.lease(Access.READ) as lease:
            read_only = lease.read_only
            assert await ask(lease, "PRAGMA query_only") == int(read_only)


async def test_columns_that_come_after_the_description(shop: Any) -> None:
    shop.write({"more.sql": "-- name: all\nSELECT * FROM log;\n-- name: alter#\nALTER TABLE log ADD COLUMN at TEXT;"})
    assert (await shop.call("all"))["data"] == []
    await shop.call("alter")
    shop.write({"add.sql": "-- name: fill!\nINSERT INTO log VALUES ('a', 'b');"})
    await shop.call("fill")
    assert (await shop.call("all"))["data"] == [{"line": "a", "at": "b"}]


# --- run --------------------------------------------------------------------------------------------------------


async def test_affected_and_keys(shop: Any) -> None:
    assert await shop.call("rename", {"low": 2}) == {"affected": 2}
    assert await shop.call("insert", {"name": "four"}) == {"value": 4}
    assert await shop.call("insert", {"name": "four"}) == {"value": None}
    assert await shop.call("bulk_with", [{"name": "a"}, {"name": "b"}]) == {"affected": 2}
    assert await shop.call("bulk_returning", [{"name": "c"}, {"name": "d"}, {"name": "e"}]) == {"affected": 3}
    assert await shop.call("count") == {"value": 9}


async def test_a_pragma_that_gives_rows(shop: Any) -> None:
    shop.write({"pragma.sql": "-- name: columns\nPRAGMA table_info(log);"})
    assert [row["name"] for row in (await shop.call("columns"))["data"]] == ["line"]


async def test_pages_where_limit_cannot_follow(shop: Any) -> None:
    first = await shop.call("values", {"limit": 2})
    assert first["data"] == [{"column1": 1}, {"column1": 2}]
    second = await shop.call("values", {"limit": 2, "next": first["next"]})
    assert second == {"data": [{"column1": 3}], "next": None}


ITEM = {"id": 9, "name": "nine", "amount": 1, "parent": None}


@pytest.mark.parametrize(
    ("query", "body", "error"),
    [
        ("add", {**ITEM, "id": 1}, UniqueViolation),
        ("add", {**ITEM, "name": "one"}, UniqueViolation),
        ("add", {**ITEM, "amount": -1}, CheckViolation),
        ("add", {**ITEM, "parent": 77}, ForeignKeyViolation),
        ("remove", {"id": 1}, ForeignKeyViolation),
        ("add", {**ITEM, "name": "bad"}, RaisedByStatement),
        ("add_exact", {"n": "text"}, InvalidValue),
        ("json_of", {"text": "{"}, InvalidValue),
        ("huge", {"n": 900_000_000}, ProgramLimitExceeded),
    ],
)
async def test_errors_are_ours_and_the_next_call_works(
    shop: Any, query: str, body: dict[str, Any], error: type[SqlwrightError]
) -> None:
    shop.write(
        {"shop.sql": SHOP.replace("-- name: add!", "-- name: add!\n-- @param parent int?\n-- @param name text?")}
    )
    with pytest.raises(error) as raised:
        await shop.call(query, body)
    if error is RaisedByStatement:
        assert str(raised.value) == "no bad names; please"
    assert await shop.call("add", ITEM) == {"affected": 1}
    with pytest.raises(NotNullViolation):
        await shop.call("add", {**ITEM, "id": 10, "name": None})
    await shop.assert_whole()


async def test_a_read_that_writes_is_stopped(open_bench: Any, sqlite_url: str) -> None:
    for url in (sqlite_url, "sqlite:///:memory:"):
        bench = await open_bench(url, {"shop.sql": SHOP})
        await bench.call("make")
        query = replace(bench.registry["remove"], access=Access.READ)
        contract = await bench.contracts.get(query)
        with pytest.raises(ReadQueryWrote):
            async with bench.database.lease(Access.READ) as lease:
                await bench.database.engine.run(lease, contract.program, [3], window=None, timeout_seconds=1)
        assert await bench.call("remove", {"id": 3}) == {"affected": 1}


async def test_statements_that_refuse_a_transaction(shop: Any, tmp_path: Path) -> None:
    shop.write(
        {
            "outside.sql": f"""
            -- name: vacuum!
            VACUUM;
            -- name: attach!
            ATTACH '{tmp_path / "other.db"}' AS other;
            -- name: checks_off!
            PRAGMA foreign_keys = off;
            -- name: migrate#
            PRAGMA user_version = 7;
            INSERT INTO log VALUES ('migrated'); ;
            VACUUM;
            """.replace("            ", "")
        }
    )
    assert await shop.call("vacuum") == {"affected": 0}
    await shop.call("migrate")
    assert await shop.call("log_lines") == {"value": 1}
    await shop.call("attach")
    await shop.call("checks_off")
    with pytest.raises(ForeignKeyViolation):  # what a call does to its session is gone with it
        await shop.call("remove", {"id": 1})


SCRIPTS = {
    "half": ("INSERT INTO log VALUES ('a');\nINSERT INTO nowhere VALUES (1);", QueryInvalid, 0),
    "fails": ("INSERT INTO log VALUES ('a');\nINSERT INTO item (item_id, name) VALUES (1, 'x');", UniqueViolation, 0),
    "own": ("BEGIN; INSERT INTO log VALUES ('a'); COMMIT; BEGIN; INSERT INTO log VALUES ('b'); ROLLBACK;", None, 1),
    "left_open": ("BEGIN; INSERT INTO log VALUES ('a');", StatementFailed, 0),
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_scripts(shop: Any, name: str) -> None:
    script, error, lines = SCRIPTS[name]
    shop.write({"script.sql": f"-- name: script#\n{script}"})
    if error is None:
        await shop.call("script")
    else:
        with pytest.raises(error) as raised:
            await shop.call("script")
        if isinstance(raised.value, QueryInvalid):
            assert raised.value.diagnostic is not None
            assert (raised.value.diagnostic.line, raised.value.diagnostic.column) == (3, 13)
    assert await shop.call("log_lines") == {"value": lines}


async def test_core_expressions_run_over_a_lease(shop: Any) -> None:
    from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

    item = Table("item", MetaData(), Column("item_id", Integer), Column("name", String))
    async with shop.database.lease(Access.READ) as lease:
        rows = await lease.fetch_all(select(item.c.name).where(item.c.name.like("t%")).order_by(item.c.name))
        assert [row.name for row in rows] == ["three", "two"]
        assert (await lease.fetch_one(select(item.c.item_id).limit(1)))[0] == 1
        assert {row[0] async for row in lease.iterate(select(item.c.item_id))} == {1, 2, 3}
    async with shop.database.lease(Access.WRITE) as lease:
        assert await lease.execute(insert(item).values(item_id=8, name="eight")) == 8
        connection = lease.raw_connection
        await connection.execute("BEGIN")
        await connection.execute("DELETE FROM item WHERE item_id = 3")
    await shop.assert_whole()
    assert await shop.call("count") == {"value": 4}  # the open transaction was rolled back


# --- deadlines, cancellation, locks -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["endless", "endless_write"])
async def test_a_statement_stops_at_its_deadline_and_when_its_caller_leaves(shop: Any, name: str) -> None:
    for query in ("endless", "endless_write", "log_lines"):
        await shop.contracts.get(shop.registry[query])
    short = replace((await shop.contracts.get(shop.registry[name])), timeout_seconds=0.05)
    shop.contracts._ready[name] = short
    with pytest.raises(StatementTimeout):
        await shop.call(name)
    shop.contracts._ready[name] = replace(short, timeout_seconds=600)
    task = asyncio.create_task(shop.call(name))
    await asyncio.sleep(0.05)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert task.cancelled()  # the caller does not wait for the statement
    await shop.assert_whole()
    assert await shop.call("log_lines") == {"value": 0}
    assert await shop.call("remove", {"id": 3}) == {"affected": 1}


async def test_a_thousand_cancellations(shop: Any) -> None:
    chance = random.Random(11)
    queries: list[tuple[str, Any]] = [
        ("items", {}), ("count", {}), ("slow", {}), ("slow_write", {}), ("endless", {}), ("endless_write", {}),
        ("rename", {"low": 99}), ("bulk_with", [{"name": None}]),
    ]  # fmt: skip
    for _ in range(20):
        tasks = [asyncio.create_task(shop.call(*chance.choice(queries))) for _ in range(50)]
        for task in tasks:
            asyncio.get_running_loop().call_later(chance.random() * 0.03, task.cancel)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, dict | SqlwrightError | asyncio.CancelledError), outcome
    await shop.assert_whole()
    lines = (await shop.call("log_lines"))["value"]
    assert await shop.call("slow_write") == {"affected": 1}
    assert await shop.call("log_lines") == {"value": lines + 1}
    assert await shop.call("count") == {"value": 3}


def other_connection(shop: Any) -> sqlite3.Connection:
    return sqlite3.connect(shop.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)


@pytest.mark.reliability(26, engine="sqlite")
async def test_a_lock_of_another_program(shop: Any) -> None:
    other = other_connection(shop)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LockTimeout):
        await shop.call("remove", {"id": 3})
    assert await shop.call("count") == {"value": 3}  # readers do not wait
    task = asyncio.create_task(shop.call("remove", {"id": 3}))
    await asyncio.sleep(0.05)
    other.execute("ROLLBACK")
    assert await task == {"affected": 1}
    other.close()


async def test_who_leaves_while_waiting_for_a_lock_leaves_nothing_behind(open_bench: Any, sqlite_url: str) -> None:
    shop = await open_bench(sqlite_url, {"shop.sql": SHOP}, lock_timeout_seconds=600)
    await shop.call("make")
    other = other_connection(shop)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(shop.call("remove", {"id": 3}))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await shop.assert_whole()  # long before the lock timeout
    other.close()


async def test_a_commit_that_fails_is_rolled_back(shop: Any) -> None:
    shop.write({"shop.sql": SHOP.replace("-- name: add!", "-- name: add!\n-- @param parent int?")})
    for _ in range(3):
        with pytest.raises(ForeignKeyViolation):  # deferred: found by COMMIT
            await shop.call("add", {**ITEM, "parent": 77})
    await shop.assert_whole()
    assert await shop.call("count") == {"value": 3}
    assert await shop.call("add", ITEM) == {"affected": 1}


# --- files ------------------------------------------------------------------------------------------------------


def options(*, read_only: bool) -> SessionOptions:
    return SessionOptions(read_only, PoolLimits(2), 5.0, 0.3, 2.0)


@pytest.mark.parametrize("read_only", [False, True])
async def test_files_that_cannot_be_opened(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "text.db").write_text("not a database " * 100)
    (tmp_path / "folder").mkdir()
    for name, message in {
        "text.db": "not a SQLite database",
        "folder": "is a folder",
        "missing/x.db": "folder of the database file does not exist",
    }.items():
        backend = SQLiteBackend(f"sqlite:///{tmp_path / name}", options=options(read_only=read_only))
        await backend.connect()
        lease = backend.connection()
        for _ in range(3):
            with pytest.raises((DatabaseUnavailable, DatabaseCorrupt), match=message) as refused:
                await lease.acquire()
            assert isinstance(refused.value, DatabaseCorrupt) == (name == "text.db")
            assert str(tmp_path) not in str(refused.value)
        assert backend.pool is not None
        assert backend.pool.status.size == 0
        await backend.disconnect()


async def test_a_file_that_does_not_exist_yet(open_bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "ünusual %41 #name?.db"
    backend = SQLiteBackend(f"sqlite:///{path}", options=options(read_only=True))
    await backend.connect()
    lease = backend.connection()
    await lease.acquire()
    assert await ask(lease, "SELECT count(*) FROM sqlite_master") == 0
    writer = sqlite3.connect(path)
    writer.execute("CREATE TABLE t (a)")
    writer.close()
    assert await ask(lease, "SELECT count(*) FROM t") == 0
    with pytest.raises(sqlite3.OperationalError):
        await ask(lease, "DELETE FROM t")
    await lease.release()
    await backend.disconnect()


async def test_opening_waits_for_a_file_that_is_being_closed(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    backend = SQLiteBackend(sqlite_url, options=options(read_only=True))
    await backend.connect()
    for _ in range(2):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("PRAGMA journal_mode = delete")
        other.execute("BEGIN EXCLUSIVE")
        lease = backend.connection()
        opening = asyncio.create_task(lease.acquire())
        await asyncio.sleep(0.05)
        assert not opening.done()
        other.execute("ROLLBACK")
        await opening
        lease.broken = True
        await lease.release()
        other.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        await backend.connection().acquire()
    other.close()
    await backend.disconnect()


async def test_a_reader_recovers_what_a_crash_left(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    crash = (
        "import os, sqlite3; c = sqlite3.connect({!r}, isolation_level=None); c.execute('PRAGMA journal_mode=wal'); "
    )
    crash += "c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (7)'); os._exit(9)"
    crashed = await asyncio.create_subprocess_exec(sys.executable, "-c", crash.format(path))
    assert await crashed.wait() == 9
    backend = SQLiteBackend(sqlite_url, options=options(read_only=True))
    await backend.connect()
    lease = backend.connection()
    await lease.acquire()
    assert await ask(lease, "SELECT a FROM t") == 7
    await lease.release()
    await backend.disconnect()


async def test_a_database_in_memory_is_one_connection(open_bench: Any) -> None:
    bench = await open_bench("sqlite:///:memory:", {"shop.sql": SHOP})
    await bench.call("make")
    assert await bench.call("count") == {"value": 3}
    task = asyncio.create_task(bench.call("endless"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(*(bench.call("count") for _ in range(20)), bench.call("remove", {"id": 3}))
    assert await bench.call("count") == {"value": 2}
    await bench.call("bulk_with", [{"name": "x"}])
    assert [pool.size for pool in bench.database.status()["reader"]] == [1]


async def test_sessions_are_set_up(shop: Any) -> None:
    for access, query_only in ((Access.READ, 1), (Access.WRITE, 0)):
        async with shop.database.lease(access) as lease:
            found = [
                await ask(lease, f"PRAGMA {name}")
                for name in ("journal_mode", "foreign_keys", "synchronous", "query_only")
            ]
            assert found == ["wal", 1, 1, query_only]


async def test_a_call_that_is_cut_off_by_the_end_of_the_service(shop: Any) -> None:
    await shop.contracts.get(shop.registry["endless"])
    task = asyncio.create_task(shop.call("endless"))
    await asyncio.sleep(0.05)
    await shop.database.close()
    with pytest.raises(DatabaseUnavailable):
        await task


async def test_threads_and_descriptors_end_with_the_database(open_bench: Any, sqlite_url: str) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    threads, files = threading.active_count(), descriptors()
    for _ in range(3):
        bench = await open_bench(sqlite_url, {"shop.sql": SHOP.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")})
        bench.write({"one.sql": "-- name: one$\nSELECT 1 AS one;"})
        await asyncio.gather(*(bench.call("one") for _ in range(50)))
        tasks = [asyncio.create_task(bench.call("one")) for _ in range(50)]
        lost = asyncio.create_task(bench.call("one"))
        await asyncio.sleep(0)
        await bench.database.close()  # while in use
        await asyncio.gather(*tasks, lost, return_exceptions=True)
    for _ in range(200):
        if (threading.active_count(), descriptors()) <= (threads, files):
            break
        await asyncio.sleep(0.01)
    assert (threading.active_count(), descriptors()) <= (threads, files)
