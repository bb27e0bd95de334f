"""What `migrate` can undo on each engine, and what it does where an engine cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.errors import LoadError, QueryInvalid
from sqlwright.migrations import look, migrate
from sqlwright.query import Access

Migrate = Callable[[str, dict[str, str]], Any]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Migrate]:
    """`await run(url, files)` writes the files and migrates."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    databases = []

    async def migrate_files(url: str, files: dict[str, str]) -> Database:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        settings = Settings(database_url=url)
        database = Database(settings)
        databases.append(database)
        await database.open()
        await migrate(database, settings, folder)
        return database

    async def states(url: str) -> list[str]:
        settings = Settings(database_url=url)
        return [entry.state.value for entry in await look(databases[0], settings, folder)]

    migrate_files.states = states  # type: ignore[attr-defined]
    yield migrate_files
    for database in databases:
        await database.close()


async def value(database: Database, sql: str) -> Any:
    from sqlalchemy import text

    async with database.lease(Access.READ) as lease:
        return (await lease.fetch_one(text(sql)))[0]


# --- PostgreSQL -------------------------------------------------------------------------------------------------


async def test_postgresql_undoes_tables_too_and_points_at_the_word(postgresql_url: str, run: Migrate) -> None:
    text = "CREATE TABLE made (a int);\nCREATE TABLE other (\n    b nosuchtype\n);\n"
    with pytest.raises(QueryInvalid) as raised:
        await run(postgresql_url, {"1_a.sql": text})
    assert raised.value.diagnostic is not None
    assert (raised.value.diagnostic.line, raised.value.diagnostic.column) == (3, 7)
    assert raised.value.diagnostic.length == len("nosuchtype")
    database = await run(postgresql_url, {"1_a.sql": "CREATE TABLE made (a int)"})
    assert await value(database, "SELECT count(*) FROM made") == 0


async def test_postgresql_builds_an_index_concurrently(postgresql_url: str, run: Migrate) -> None:
    text = "CREATE INDEX CONCURRENTLY made_a ON made (a);\nANALYZE made;\n"
    with pytest.raises(QueryInvalid, match="2_index") as raised:
        await run(postgresql_url, {"1_a.sql": "CREATE TABLE made (a int)", "2_index.sql": text})
    assert "transaction block" in str(raised.value.diagnostic)
    database = await run(postgresql_url, {"2_index.sql": f"-- @no_transaction\n{text}"})
    assert await value(database, "SELECT count(*) FROM pg_indexes WHERE indexname = 'made_a'") == 1


async def test_postgresql_keeps_functions_whole(postgresql_url: str, run: Migrate) -> None:
    text = """
    CREATE FUNCTION twice(a int) RETURNS int LANGUAGE plpgsql AS $body$
    BEGIN
        IF a IS NULL THEN RETURN 0; END IF;
        RETURN $1 * 2; -- name: no query
    END $body$;
    CREATE FUNCTION thrice(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a; SELECT a * 3; END;
    """
    database = await run(postgresql_url, {"1_a.sql": text})
    assert await value(database, "SELECT twice(2) + thrice(1)") == 7


async def test_postgresql_settings_of_a_file_end_with_it(postgresql_url: str, run: Migrate) -> None:
    files = {
        "1_a.sql": "CREATE SCHEMA s; SET search_path = s; CREATE TABLE a (x int)",
        "2_b.sql": "CREATE TABLE b (x int)",
    }
    database = await run(postgresql_url, files)
    assert await value(database, "SELECT count(*) FROM s.a") == 0
    assert await value(database, "SELECT count(*) FROM public.b") == 0


async def test_postgresql_a_deferred_constraint_speaks_at_commit(postgresql_url: str, run: Migrate) -> None:
    table = "CREATE TABLE a (x int PRIMARY KEY, y int REFERENCES a DEFERRABLE INITIALLY DEFERRED)"
    with pytest.raises(QueryInvalid) as raised:
        await run(postgresql_url, {"1_a.sql": table, "2_b.sql": "INSERT INTO a VALUES (1, 2)"})
    assert raised.value.diagnostic is not None
    assert raised.value.diagnostic.code == "foreign_key_violation"
    assert await run.states(postgresql_url) == ["applied", "pending"]  # type: ignore[attr-defined]


# --- SQLite -----------------------------------------------------------------------------------------------------


async def test_sqlite_undoes_tables_too(sqlite_url: str, run: Migrate) -> None:
    with pytest.raises(QueryInvalid) as raised:
        await run(sqlite_url, {"1_a.sql": "CREATE TABLE made (a int);\nINSERT INTO mad VALUES (1);"})
    assert raised.value.diagnostic is not None
    assert (raised.value.diagnostic.line, raised.value.diagnostic.column) == (2, 13)
    await run(sqlite_url, {"1_a.sql": "CREATE TABLE made (a int)"})


async def test_sqlite_rebuilds_a_table_without_losing_its_children(sqlite_url: str, run: Migrate) -> None:
    """The way of SQLite's own manual. Inside a transaction the PRAGMA does nothing, and DROP TABLE deletes children."""
    make = """
    CREATE TABLE parent (id integer PRIMARY KEY, a text);
    CREATE TABLE child (id integer PRIMARY KEY, parent_id integer REFERENCES parent ON DELETE CASCADE);
    INSERT INTO parent VALUES (1, 'x');
    INSERT INTO child VALUES (1, 1);
    """
    rebuild = """
    PRAGMA foreign_keys = off;
    CREATE TABLE new_parent (id integer PRIMARY KEY, a text NOT NULL);
    INSERT INTO new_parent SELECT id, a FROM parent;
    DROP TABLE parent;
    ALTER TABLE new_parent RENAME TO parent;
    PRAGMA foreign_keys = on;
    """
    database = await run(sqlite_url, {"1_make.sql": make, "2_rebuild.sql": rebuild})
    assert await value(database, "SELECT count(*) FROM child") == 1
    with pytest.raises(LoadError) as raised:
        await run(sqlite_url, {"3_wrong.sql": "SELECT 1;\nPRAGMA foreign_keys = off;\nDROP TABLE parent;"})
    assert [(d.code, d.line) for d in raised.value.diagnostics] == [("transaction", 2)]


async def test_sqlite_keeps_triggers_whole(sqlite_url: str, run: Migrate) -> None:
    text = """
    CREATE TABLE a (x int);
    CREATE TRIGGER t AFTER INSERT ON a BEGIN
        UPDATE a SET x = CASE WHEN x = 1 THEN 2 ELSE x END;
        DELETE FROM a WHERE x = 3;
    END;
    INSERT INTO a VALUES (1);
    VACUUM;
    """
    database = await run(sqlite_url, {"1_a.sql": text})
    assert await value(database, "SELECT x FROM a") == 2


# --- MariaDB ----------------------------------------------------------------------------------------------------


async def test_mariadb_stops_for_good_after_half_a_file(mysql_url: str, run: Migrate) -> None:
    files = {
        "1_a.sql": "CREATE TABLE a (x int);\nINSERT INTO a VALUES (1);\nCREATE TABLE b (x nosuchtype);\n",
        "2_b.sql": "CREATE TABLE c (x int);",
    }
    with pytest.raises(QueryInvalid) as raised:
        await run(mysql_url, files)
    assert raised.value.diagnostic is not None
    assert raised.value.diagnostic.line == 3
    assert "2 of the 3 statements" in raised.value.diagnostic.hint
    with pytest.raises(LoadError, match="2 of its statements are done"):
        await run(mysql_url, {"1_a.sql": files["1_a.sql"].replace("nosuchtype", "int")})
    assert await run.states(mysql_url) == ["unfinished", "pending"]  # type: ignore[attr-defined]


async def test_mariadb_keeps_bodies_whole(mysql_url: str, run: Migrate) -> None:
    text = """
    CREATE TABLE a (x int);
    CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN
        IF new.x = 1 THEN SET new.x = 2; END IF;
        SET new.x = new.x + 1;
    END;
    INSERT INTO a VALUES (1);
    """
    database = await run(mysql_url, {"1_a.sql": text})
    assert await value(database, "SELECT x FROM a") == 3
