"""A running service whose SQLite file is damaged, moved, taken away, or has no room to grow."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from served import Caller, serving

from record_shop import assert_problem

SCHEMA = """
PRAGMA page_size = 4096;
PRAGMA journal_mode = wal;
CREATE TABLE item (n integer PRIMARY KEY, size blob);
CREATE TABLE other (n integer PRIMARY KEY, body text);
INSERT INTO item VALUES (1, NULL);
INSERT INTO other WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
  SELECT i, printf('%0500d', i) FROM n;
"""
FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: others$
SELECT sum(length(body)) FROM other;

-- name: add!
INSERT INTO item (size) VALUES (zeroblob(:size));

-- name: many*!
INSERT INTO item (size) VALUES (zeroblob(:size));
"""
}
JUNK = b"\xde\xad\xbe\xef" * 1024


def prepare(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript(SCHEMA)
    return f"sqlite:///{path}"


@asynccontextmanager
async def served(path: Path, folder: Path) -> AsyncIterator[Caller]:
    async with serving(prepare(path), folder, FILES) as caller:
        await until_ready(caller, "/readyz", 200)
        yield caller


async def until_ready(caller: Caller, path: str, status: int, seconds: float = 10) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while True:
        answer = await caller.http.get(path)
        if answer.status_code == status:
            body: dict[str, Any] = answer.json()
            return body
        assert time.monotonic() < end, answer.text
        await asyncio.sleep(0.05)


def overwrite(path: Path, start: int, junk: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(junk)


def spoil_others(path: Path) -> None:
    """The pages of the table `other`, and none of the table `item`."""
    overwrite(path, 3 * 4096, JUNK * 20)


def take_logs_away(path: Path) -> None:
    for rest in ("-wal", "-shm"):
        Path(f"{path}{rest}").unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    source.replace(target)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def content(path: Path) -> list[bytes]:
    log = Path(f"{path}-wal")
    return [path.read_bytes(), log.read_bytes() if log.exists() else b""]


async def writes_are_refused(caller: Caller, detail: str) -> None:
    for name, body in (("add", {"size": 1}), ("many", [{"size": 1}])):
        problem = assert_problem(await caller.post(name, body), 500, "database_corrupt")
        assert (problem["outcome"], problem["retryable"]) == ("none", False)
        assert detail in problem["detail"]
    steps = [{"query": "items.add", "params": {"size": 1}}]
    assert_problem(await caller.http.post("/transaction", json={"steps": steps}), 500, "database_corrupt")


@pytest.mark.reliability(27, engine="sqlite")
async def test_a_file_that_is_damaged_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    async with served(path, tmp_path) as caller:
        shutil.copy(path, tmp_path / "backup.db")
        assert (await caller.post("add", {"size": 1})).status_code == 200
        assert (await caller.get("count")).json() == {"value": 2}
        spoil_others(path)
        before = content(path)
        problem = assert_problem(await caller.get("others"), 500, "database_corrupt")
        assert (problem["outcome"], problem["retryable"]) == ("none", False)
        assert problem["detail"] == "the database file is damaged"
        await writes_are_refused(caller, "nothing is written to it any more")
        assert (await caller.get("count")).json() == {"value": 2}  # reads that work go on
        await asyncio.sleep(1.1)  # it stays so
        await writes_are_refused(caller, "nothing is written to it any more")
        assert content(path) == before, "somebody has written to it"
        body = await until_ready(caller, "/readyz", 200)
        assert body["writes"] == {
            "ready": False,
            "detail": "the database file is damaged: nothing is written to it any more",
        }
        assert (await caller.http.get("/readyz?access=write")).status_code == 503
        assert caller.server.errors.count("is damaged; nothing is written to it any more") == 1

        take_logs_away(path)
        move(tmp_path / "backup.db", path)
        await until_ready(caller, "/readyz?access=write", 200, 3)
        assert (await caller.post("add", {"size": 1})).status_code == 200
        assert (await caller.get("count")).json() == {"value": 2}
        assert (await caller.get("others")).json() == {"value": 250_000}
        await caller.until_whole()


@pytest.mark.reliability(27, engine="sqlite")
@pytest.mark.parametrize("place", ["header", "schema", "rows"])
async def test_a_file_that_was_damaged_before(tmp_path: Path, place: str) -> None:
    path = tmp_path / "test.db"
    url = prepare(path)
    if place == "rows":
        spoil_others(path)
    else:
        overwrite(path, 0 if place == "header" else 100, JUNK[:100])
    before = path.read_bytes()
    async with serving(url, tmp_path, FILES) as caller:
        if place == "rows":
            await until_ready(caller, "/readyz", 200)
            assert (await caller.get("count")).json() == {"value": 1}
            assert_problem(await caller.get("others"), 500, "database_corrupt")
        else:
            assert_problem(await caller.get("count"), 500, "database_corrupt")
            assert "damaged" in (detail := (await caller.http.get("/readyz")).json()["database"]["detail"]) or (
                "not a SQLite database" in detail
            )
            assert (await caller.http.get("/readyz")).status_code == 503
        await writes_are_refused(caller, "")
        assert (await caller.http.get("/livez")).status_code == 200
        assert path.read_bytes() == before
        assert "Traceback" not in caller.server.errors


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MB in memory. Only who may mount can have it."""
    with tempfile.TemporaryDirectory(prefix="sqlwright-disk-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False, text=True
        )
        if mounted.returncode:
            pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.mark.reliability(27, engine="sqlite")
async def test_a_disk_that_is_full(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "test.db"
    async with served(path, tmp_path) as caller:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(2_500_000))
        added = 1
        while (answer := await caller.post("add", {"size": 100_000})).status_code == 200:
            added += 1
            assert added < 30
        steps = [{"query": "items.add", "params": {"size": 900_000}}]
        for refused in (
            answer,
            await caller.post("add", {"size": 900_000}),
            await caller.post("many", [{"size": 10}, {"size": 900_000}]),
            await caller.http.post("/transaction", json={"steps": steps}),
        ):
            problem = assert_problem(refused, 503, "database_unavailable")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
            assert "full" in problem["detail"], problem
            assert (await caller.get("count")).json() == {"value": added}
        assert (await caller.get("others")).status_code == 200
        body = await until_ready(caller, "/readyz?access=write", 503)
        assert body["writes"] == {"ready": False, "detail": "the disk of the database is full"}
        for _ in range(3):  # it stays so, however often it is asked
            assert (await caller.http.get("/readyz?access=write")).status_code == 503
            assert (await caller.http.get("/readyz")).status_code == 200
            await asyncio.sleep(0.5)

        ballast.unlink()
        await until_ready(caller, "/readyz?access=write", 200, 3)  # by itself: nobody has written meanwhile
        assert (await caller.post("add", {"size": 900_000})).json() == {"affected": 1}
        assert (await caller.get("count")).json() == {"value": added + 1}
        assert (await caller.http.get("/readyz")).json()["writes"] == {"ready": True, "detail": None}
        await caller.until_whole()


@pytest.mark.reliability(27, engine="sqlite")
async def test_a_disk_that_can_only_be_read(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "test.db"
    url = prepare(path)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = delete")
    remount(small_disk, "ro")
    async with serving(url, tmp_path, FILES) as caller:
        await until_ready(caller, "/readyz", 200)
        for _ in range(2):
            problem = assert_problem(await caller.post("add", {"size": 1}), 503, "database_unavailable")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
            assert problem["detail"] == "the database is read-only at present"
            assert (await caller.get("count")).json() == {"value": 1}
        body = await until_ready(caller, "/readyz?access=write", 503)
        assert body["writes"] == {"ready": False, "detail": "the database is read-only at present"}
        remount(small_disk, "rw")
        await until_ready(caller, "/readyz?access=write", 200, 3)
        assert (await caller.post("add", {"size": 1})).status_code == 200
        await caller.until_whole()


@pytest.mark.reliability(27, engine="sqlite")
async def test_a_file_that_is_taken_away(tmp_path: Path) -> None:
    """Writes stop; no empty database is made in its place; what is put there is taken up, by readers too."""
    path = tmp_path / "test.db"
    async with served(path, tmp_path) as caller:
        with contextlib.closing(sqlite3.connect(path)) as raw:
            raw.execute("VACUUM INTO ?", [str(tmp_path / "other.db")])
        with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as raw:
            raw.executescript("INSERT INTO item VALUES (77, NULL), (78, NULL)")
        assert (await caller.post("add", {"size": 1})).status_code == 200
        move(path, tmp_path / "moved.db")
        for _ in range(3):
            problem = assert_problem(await caller.post("add", {"size": 1}), 503, "database_unavailable")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
            assert not path.exists()
        assert (await caller.http.get("/readyz?access=write")).status_code == 503
        assert (await caller.get("count")).json() == {"value": 2}

        take_logs_away(path)
        move(tmp_path / "other.db", path)
        await until_ready(caller, "/readyz?access=write", 200, 3)
        assert (await caller.get("count")).json() == {"value": 3}
        assert (await caller.post("add", {"size": 1})).status_code == 200
        assert (await caller.get("count")).json() == {"value": 4}
        await caller.until_whole()


@pytest.mark.reliability(27, engine="sqlite")
async def test_another_file_in_its_place_is_read(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    async with served(path, tmp_path) as caller:
        assert (await caller.get("count")).json() == {"value": 1}
        with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as raw:
            raw.executescript(SCHEMA + "INSERT INTO item VALUES (77, NULL)")
        move(tmp_path / "other.db", path)
        end = time.monotonic() + 3
        while (await caller.get("count")).json() != {"value": 2}:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        await caller.until_whole()


@pytest.mark.reliability(27, engine="sqlite")
async def test_a_log_that_is_taken_away(tmp_path: Path) -> None:
    """It holds what was written last: no more is written, and the log's last session folds it into the file."""
    path = tmp_path / "test.db"
    async with served(path, tmp_path) as caller:
        for _ in range(3):
            assert (await caller.post("add", {"size": 1})).status_code == 200
        take_logs_away(path)
        for _ in range(3):
            problem = assert_problem(await caller.post("add", {"size": 1}), 503, "database_unavailable")
            assert (problem["outcome"], problem["retryable"]) == ("none", True)
            assert "write-ahead log" in problem["detail"]
        assert (await caller.get("count")).json() == {"value": 4}
        assert (await caller.http.get("/readyz?access=write")).status_code == 503
        assert (await caller.http.get("/readyz")).status_code == 200
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*) FROM item").fetchone() == (4,)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
