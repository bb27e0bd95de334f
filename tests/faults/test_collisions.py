"""Calls that collide with what others change at the same time: done again twice, then told so."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from served import serving
from server_sql import server_sql

from record_shop import assert_problem, run_script

SCHEMA = {
    # A sequence, and a table without transactions, count what is rolled back too.
    "postgresql": """
CREATE TABLE item (n int PRIMARY KEY, size int NOT NULL DEFAULT 0);
INSERT INTO item VALUES (-1), (-2);
CREATE SEQUENCE tries;
CREATE FUNCTION collides(state text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'no luck' USING ERRCODE = state; END $$;
CREATE VIEW tried AS SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS n FROM tries;
""",
    "mysql": """
CREATE TABLE item (n int PRIMARY KEY, size int NOT NULL DEFAULT 0);
INSERT INTO item (n) VALUES (-1), (-2);
CREATE TABLE tries (n int) ENGINE = MyISAM;
CREATE FUNCTION collides(state text) RETURNS int MODIFIES SQL DATA BEGIN
  INSERT INTO tries VALUES (1);
  IF state = '40P01' THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF;
  SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020;
  RETURN 0;
END;
CREATE VIEW tried AS SELECT count(*) AS n FROM tries;
""",
}
FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item (n) VALUES (:n);

-- name: many*!
INSERT INTO item (n) VALUES (:n);

-- name: collide!
-- @param state text
UPDATE item SET size = collides(:state) WHERE n = -1;

-- name: collide_isolated!
-- @isolation serializable
-- @param state text
UPDATE item SET size = collides(:state) WHERE n = -1;

-- name: collide_many*!
-- @param state text
UPDATE item SET size = collides(:state) WHERE n = :n;
"""
}
STATES = ["40001", "40P01"]
"""Or what MariaDB has for them: 1020 and 1213."""


@pytest.fixture(params=["postgresql", "mysql"])
def item_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    asyncio.run(run_script(url, SCHEMA[request.param]))
    return url


@pytest.mark.reliability(25)
async def test_what_never_ends_is_tried_three_times(item_url: str, tmp_path: Path) -> None:
    async with (
        server_sql(item_url).connect(item_url) as execute,
        serving(item_url, tmp_path, FILES) as caller,
    ):
        await caller.until_whole(10)
        tried = 0
        for state in STATES:
            steps = [
                {"query": "items.add", "params": {"n": 1}},
                {"query": "items.collide", "params": {"state": state}},
            ]
            for path, body in (
                ("/queries/items/collide", {"state": state}),
                ("/queries/items/collide_isolated", {"state": state}),
                ("/queries/items/collide_many", [{"state": state, "n": -1}]),
                ("/transaction", {"steps": steps}),
            ):
                answer = await caller.http.post(path, json=body)
                problem = assert_problem(answer, 503, "serialization_failure")
                assert (problem["outcome"], problem["retryable"]) == ("none", True)
                assert answer.headers["retry-after"]
                tried += 3
                assert int((await execute("SELECT n FROM tried"))[0][0]) == tried, path
                assert not await execute("SELECT n FROM item WHERE n = 1")
        await caller.until_whole()


@pytest.mark.reliability(25, engine="sqlite")
async def test_writers_of_several_processes_do_not_fail_each_other(sqlite_url: str, tmp_path: Path) -> None:
    """SQLite has no collision to repeat: a write takes its lock before it reads, so BUSY_SNAPSHOT does not come up."""
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as raw:
        raw.executescript("PRAGMA journal_mode=wal; CREATE TABLE item (n integer PRIMARY KEY, size int DEFAULT 0)")
        raw.executescript("INSERT INTO item (n) VALUES (-1)")
    files = {
        "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: size$
SELECT size FROM item WHERE n = -1;

-- name: set!
UPDATE item SET size = :size WHERE n = -1;

-- name: grow!
UPDATE item SET size = size + 1 WHERE n = -1;

-- name: many*!
INSERT INTO item (n) VALUES (:n);
"""
    }
    async with (
        serving(sqlite_url, tmp_path / "one", files, lock_timeout_seconds=5, acquire_timeout_seconds=5) as one,
        serving(sqlite_url, tmp_path / "two", files, lock_timeout_seconds=5, acquire_timeout_seconds=5) as two,
    ):
        for caller in (one, two):
            await caller.until_whole(10)
        steps = {"steps": [{"query": "items.size", "as": "read"}, {"query": "items.grow"}]}
        answers = await asyncio.gather(
            *(caller.http.post("/transaction", json=steps) for _ in range(20) for caller in (one, two)),
            *(caller.post("grow", {}) for _ in range(20) for caller in (one, two)),
        )
        assert {answer.status_code for answer in answers} == {200}
        assert (await one.get("size")).json() == {"value": 80}
