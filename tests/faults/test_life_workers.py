"""Workers that are killed under load: they come back, what was acknowledged stays, what was not finished is undone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from life_load import FILES, ITEM, Load

from record_shop import run_script, write_files
from reliability import Tally
from server_process import GRANIAN, Server, start

QUIET = {"log_calls": "false"}
PAIRS = {
    "items/pairs.sql": """
-- name: pair*!
INSERT INTO item (n) VALUES (:n);
"""
}


def children(server: Server) -> list[int]:
    parent = server.process.pid
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


async def _write_pairs(server: Server, stop: asyncio.Event, acknowledged: list[int]) -> None:
    """Two rows in one transaction: `n` and `-n`."""
    number = 1_000_000
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as http:
        while not stop.is_set():
            number += 1
            try:
                answer = await http.post("/queries/items/pair", json=[{"n": number}, {"n": -number}])
            except httpx.TransportError:
                await asyncio.sleep(0.01)
                continue
            if answer.status_code == 200:
                acknowledged.append(number)


@pytest.mark.reliability(39)
@pytest.mark.parametrize("everyone", [False, True], ids=["one", "all"])
async def test_acknowledged_writes_stay(database_url: str, tmp_path: Path, tally: Tally, everyone: bool) -> None:
    await run_script(database_url, ITEM)
    folder = write_files(tmp_path / "queries", FILES | PAIRS)
    with start("granian", database_url, folder, workers=2, page_rows_max=100_000, **QUIET) as server:
        await asyncio.to_thread(server.until, "/readyz", 200)
        load = Load(server.port, names=("add",))
        stop = asyncio.Event()
        pairs: list[int] = []
        writers = [asyncio.create_task(_write_pairs(server, stop, pairs))]
        async with load.running(4):
            for _ in range(3):
                await asyncio.sleep(0.6)
                for victim in children(server)[: 2 if everyone else 1]:
                    os.kill(victim, signal.SIGKILL)
            await asyncio.sleep(1.0)
            stop.set()
            await asyncio.gather(*writers)
        await asyncio.to_thread(server.until, "/readyz", 200)
        answer = await asyncio.to_thread(server.get, "/queries/items/all?limit=100000")
        stored = {row["n"] for row in answer.json()["data"]}
        assert server.process.poll() is None
        assert len(children(server)) == 2
        assert await asyncio.to_thread(server.stop) == 0
    written = [*load.acknowledged, *pairs, *(-n for n in pairs)]
    tally.acknowledged(len(written), len(set(written) - stored))
    assert load.acknowledged
    assert pairs
    assert not set(written) - stored
    assert not {n for n in stored if abs(n) > 1_000_000 and -n not in stored}  # no half of a pair
    assert {n for n in stored if 0 <= n < 1_000_000} <= {*load.acknowledged, *load.doubtful}


@pytest.mark.reliability(39)
def test_killed_again_and_again(sqlite_url: str, tmp_path: Path) -> None:
    """As soon as there is one: also before it is ready. The pauses grow, are bounded, and end when the killing does."""
    folder = write_files(tmp_path / "queries", FILES)
    with start("granian", sqlite_url, folder, workers=2, **QUIET) as server:
        end = time.monotonic() + 30
        killed = set()
        while "ended by SIGKILL; starting another in 0.4 s" not in server.errors:
            assert time.monotonic() < end, server.errors
            for victim in children(server):
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)
            time.sleep(0.02)
        server.until("/readyz", 200)
        assert server.errors.count("ended by SIGKILL") == len(killed)
        assert server.stop() == 0


FAILS = """
import os
from pathlib import Path
from sqlwright.http.service import Service
real = Service.open
async def open(self):
    if Path(os.environ["FAILS"]).exists():
        raise RuntimeError("the lifespan fails")
    await real(self)
Service.open = open
"""
CANNOT_LOAD = """
import os
from pathlib import Path
import sqlwright.http.worker as worker
real = worker.read_queries
def read_queries(folder):
    if Path(os.environ["FAILS"]).exists():
        raise OSError("the snapshot cannot be read")
    return real(folder)
worker.read_queries = read_queries
"""


@pytest.mark.reliability(39)
@pytest.mark.parametrize("broken", [FAILS, CANNOT_LOAD], ids=["lifespan", "load"])
def test_a_worker_that_cannot_start_never_ends_the_server(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    folder = write_files(tmp_path / "queries", FILES)
    marker = tmp_path / "fails"
    marker.touch()
    monkeypatch.setenv("FAILS", str(marker))
    monkeypatch.setattr("server_process.GRANIAN", broken + GRANIAN)
    with start("granian", sqlite_url, folder, workers=2, **QUIET) as server:
        server.until_told("worker 1 ended with code 1; starting another in 0.4 s")
        assert "a worker failed" in server.errors
        assert server.process.poll() is None
        marker.unlink()
        server.until("/readyz", 200)
        assert server.stop() == 0


@pytest.mark.reliability(39)
def test_a_successor_that_cannot_start_takes_nothing_away(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_files(tmp_path / "queries", FILES)
    marker = tmp_path / "fails"
    monkeypatch.setenv("FAILS", str(marker))
    monkeypatch.setattr("server_process.GRANIAN", FAILS + GRANIAN)
    with start("granian", sqlite_url, folder, workers=2, **QUIET) as server:
        server.until("/readyz", 200)
        marker.touch()
        write_files(folder, {"fresh.sql": "-- :result :value\nSELECT 42 AS answer\n"})
        server.process.send_signal(signal.SIGHUP)
        server.until_told("worker 1 ended with code 1; starting another in 0.1 s")
        assert server.get("/queries/items/one").status_code == 200
        assert server.get("/queries/fresh").status_code == 404
        marker.unlink()
        server.until("/queries/fresh", 200)
        assert server.stop() == 0


@pytest.mark.reliability(39)
def test_a_worker_that_never_gets_ready_is_not_waited_for_when_stopping(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_files(tmp_path / "queries", FILES)
    hangs = "import asyncio\nfrom sqlwright.http.service import Service\nasync def open(self):\n"
    monkeypatch.setattr("server_process.GRANIAN", f"{hangs}    await asyncio.sleep(60)\nService.open = open\n{GRANIAN}")
    with start("granian", sqlite_url, folder, workers=2, drain_seconds=20, **QUIET) as server:
        while len(children(server)) < 2:
            time.sleep(0.02)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 6
