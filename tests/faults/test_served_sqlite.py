"""A running service whose SQLite file cannot be used for a while."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
from pathlib import Path

import pytest
from served import serving

from record_shop import assert_problem

FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item (size) VALUES (zeroblob(:size));

-- name: many*!
INSERT INTO item (size) VALUES (zeroblob(:size));

-- name: endless$
-- @timeout 0.5s
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;

-- name: endless_write!
-- @timeout 0.5s
INSERT INTO item WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i + 1000000, 1 FROM n;
"""
}


def prepare(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript("PRAGMA journal_mode=wal; CREATE TABLE item (n integer PRIMARY KEY, size blob)")
    return f"sqlite:///{path}"


def limit_files(process: int, size: int) -> None:
    """No file of a process and its children may grow beyond `size` bytes: a full disk that needs no rights."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    for child in children:
        limit_files(int(child), size)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.prlimit(process, resource.RLIMIT_FSIZE)[1]))


@pytest.mark.reliability(26, engine="sqlite")
async def test_a_file_that_another_program_locks(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    url = prepare(path)
    async with serving(url, tmp_path, FILES) as caller:
        await caller.until_whole(10)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            answers = await asyncio.gather(*(caller.post("add", {"size": 1}) for _ in range(2)), caller.get("count"))
            for answer in answers[:2]:
                problem = assert_problem(answer, 503, "lock_timeout")
                assert (problem["outcome"], problem["retryable"]) == ("none", True)
                assert answer.elapsed.total_seconds() < 1.5
            assert answers[2].json() == {"value": 0}
            other.execute("ROLLBACK")
        assert (await caller.post("add", {"size": 1})).json() == {"affected": 1}
        await caller.until_whole()
        for name in ("endless", "endless_write"):
            answer = await caller.post(name, {})
            problem = assert_problem(answer, 504, "statement_timeout")
            assert (problem["outcome"], problem["retryable"]) == ("none", False)
            assert answer.elapsed.total_seconds() < 1.0 + 0.3
            await caller.until_whole()
        assert (await caller.get("count")).json() == {"value": 1}
    assert not (tmp_path / "test.db-wal").exists()


@pytest.mark.reliability(27, engine="sqlite")
async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    url = prepare(tmp_path / "test.db")
    async with serving(url, tmp_path, FILES) as caller:
        await caller.until_whole(10)
        limit_files(caller.server.process.pid, 1_000_000)
        added = 0
        while (answer := await caller.post("add", {"size": 100_000})).status_code == 200:
            added += 1
            assert added < 20
        for refused in (answer, await caller.post("add", {"size": 900_000})):
            problem = assert_problem(refused, 503, "database_unavailable")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
            assert (await caller.get("count")).json() == {"value": added}
        limit_files(caller.server.process.pid, resource.RLIM_INFINITY)
        assert (await caller.post("add", {"size": 900_000})).json() == {"affected": 1}
        await caller.until_whole()
        assert (await caller.get("count")).json() == {"value": added + 1}
