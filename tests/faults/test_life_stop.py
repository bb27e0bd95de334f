"""A stop signal under load: no call is lost, the service ends in time, what cannot be finished is rolled back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import asyncpg
import httpx
import pytest
from life_load import FILES, ITEM, Load

from record_shop import run_script, write_files
from reliability import Tally
from server_process import Server, start

QUIET = {"log_calls": "false"}


def rows(url: str) -> set[int]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        found = {n for (n,) in connection.execute("SELECT n FROM item")}
    connection.close()
    return found


def children(server: Server) -> list[int]:
    parent = server.process.pid
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.reliability(38)
@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_no_call_is_lost(sqlite_url: str, tmp_path: Path, tally: Tally, workers: int) -> None:
    await run_script(sqlite_url, ITEM)
    folder = write_files(tmp_path / "queries", FILES)
    with start("granian", sqlite_url, folder, workers=workers, shutdown_delay_seconds=1.5, **QUIET) as server:
        await asyncio.to_thread(server.until, "/readyz", 200)
        load = Load(server.port)
        async with load.running(10):
            await asyncio.sleep(0.6)
            begun = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            told = await asyncio.to_thread(server.until, "/readyz", 503)  # the listener still answers
            assert await asyncio.to_thread(server.process.wait, 30) == 0
            seconds = time.monotonic() - begun
        assert (told.status_code, told.json()["draining"]) == (503, True)
        assert told.headers["connection"] == "close"
        assert not load.lost
        assert set(load.statuses) <= {200, 503}  # 503 where the machine has no time: an answer, and nothing applied
        assert load.closes
        assert load.refused
        assert 1.5 < seconds < 8
    lost = set(load.acknowledged) - rows(sqlite_url)
    tally.acknowledged(len(load.acknowledged), len(lost))
    assert load.acknowledged
    assert not lost
    assert not load.doubtful


@pytest.mark.reliability(38)
async def test_a_connection_that_has_sent_nothing_yet_is_heard(sqlite_url: str, tmp_path: Path) -> None:
    """Connected before the signal, sent after it: also in the queue of a worker that is stopped (SIGSTOP)."""
    folder = write_files(tmp_path / "queries", {"one.sql": "-- :result :value\nSELECT 1 AS one\n"})
    with start("granian", sqlite_url, folder, workers=2, **QUIET) as server:
        await asyncio.to_thread(server.until, "/readyz", 200)
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(20)]
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        for each in held:
            each.sendall(b"GET /queries/one HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for each in held:
            assert (await asyncio.to_thread(each.recv, 65536)).startswith(b"HTTP/1.1 200")
            each.close()
        assert await asyncio.to_thread(server.process.wait, 30) == 0


@pytest.mark.reliability(38)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_that_is_slower_than_the_drain_is_cut_and_rolled_back(
    postgresql_url: str, tmp_path: Path, workers: int
) -> None:
    asyncio.run(run_script(postgresql_url, ITEM))
    files = {"add.sql": "-- :result :affected\nINSERT INTO item SELECT 1 FROM pg_sleep(20)\n", **FILES}
    folder = write_files(tmp_path / "queries", files)
    limits = {"statement_timeout_seconds": 60, "drain_seconds": 3, **QUIET}
    with start("granian", postgresql_url, folder, workers=workers, **limits) as server:
        server.until("/readyz", 200)
        ends: list[object] = []

        def call() -> None:
            try:
                ends.append(httpx.post(f"{server.url}/queries/add", timeout=30).status_code)
            except httpx.TransportError as error:
                ends.append(type(error).__name__)

        caller = threading.Thread(target=call)
        caller.start()
        time.sleep(0.5)
        begun = time.monotonic()
        assert server.stop() == 0
        assert 1 < time.monotonic() - begun < 5
        caller.join(30)
        assert ends
        assert ends != [200]
    server.until_told("cut and rolled back")
    # Left alone, the server would finish the statement, and keep what it wrote.
    assert asyncio.run(_running(postgresql_url)) == 0
    with start("granian", postgresql_url, folder, **QUIET) as server:
        server.until("/readyz", 200)
        assert server.get("/queries/items/all").json()["data"] == []


async def _running(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(20)%'"
        )
        return int(await connection.fetchval(f"{query} AND state = 'active' AND pid <> pg_backend_pid()"))
    finally:
        await connection.close()


def _twice(server: Server) -> None:
    for _ in range(3):
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)


def _interrupt_the_group(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGINT)


def _end_the_group(server: Server) -> None:
    """As systemd does it: the workers get the signal as well."""
    os.killpg(server.process.pid, signal.SIGTERM)


def _while_replacing(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)
    server.until_told("replacing the workers")
    server.process.send_signal(signal.SIGTERM)


def _with_a_worker_dead(server: Server) -> None:
    os.kill(children(server)[0], signal.SIGKILL)
    server.process.send_signal(signal.SIGTERM)


def _with_a_worker_frozen(server: Server) -> None:
    os.kill(children(server)[0], signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)


@pytest.mark.reliability(38)
@pytest.mark.parametrize(
    "stop",
    [_twice, _interrupt_the_group, _end_the_group, _while_replacing, _with_a_worker_dead, _with_a_worker_frozen],
)
async def test_every_way_to_stop(sqlite_url: str, tmp_path: Path, stop: object) -> None:
    assert callable(stop)
    await run_script(sqlite_url, ITEM)
    folder = write_files(tmp_path / "queries", FILES)
    with start("granian", sqlite_url, folder, workers=2, drain_seconds=4, **QUIET) as server:
        await asyncio.to_thread(server.until, "/readyz", 200)
        load = Load(server.port, names=("one", "add"))
        async with load.running(4):
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            await asyncio.to_thread(stop, server)
            assert await asyncio.to_thread(server.process.wait, 30) == 0
            assert time.monotonic() - begun < 8
        if stop not in (_with_a_worker_dead, _with_a_worker_frozen):  # what those had taken nobody can answer
            assert not load.lost
        assert set(load.acknowledged) <= rows(sqlite_url)
        with pytest.raises(ProcessLookupError):
            os.killpg(server.process.pid, 0)


@pytest.mark.reliability(38)
@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.6, 0.9, 1.2])
def test_before_the_start_is_complete(sqlite_url: str, tmp_path: Path, seconds: float) -> None:
    """Before it listens the signal ends it as any program, and nothing was taken."""
    folder = write_files(tmp_path / "queries", FILES)
    with start("granian", sqlite_url, folder, workers=3, **QUIET) as server:
        time.sleep(seconds)
        assert server.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in server.errors
        with pytest.raises(ProcessLookupError):
            os.killpg(server.process.pid, 0)


@pytest.mark.reliability(38)
async def test_uvicorn(sqlite_url: str, tmp_path: Path) -> None:
    """Its own way: running calls are finished, and then our lifespan ends as it should (no write-ahead log is left)."""
    await run_script(sqlite_url, ITEM)
    folder = write_files(tmp_path / "queries", FILES)
    with start("uvicorn", sqlite_url, folder, **QUIET) as server:
        await asyncio.to_thread(server.until, "/readyz", 200)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            assert (await http.post("/queries/items/add", json={"n": 1})).status_code == 200
            slow = asyncio.create_task(http.get("/queries/items/slow"))
            await asyncio.sleep(0.05)
            server.process.send_signal(signal.SIGTERM)
            assert (await slow).status_code == 200
        assert await asyncio.to_thread(server.process.wait, 30) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.errors
    assert rows(sqlite_url) == {1}
    assert not [name for name in os.listdir(tmp_path) if name.endswith("-wal")]  # noqa: PTH208 - not async
