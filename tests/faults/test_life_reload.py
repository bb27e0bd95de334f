"""SIGHUP under load: every call is answered while the workers are replaced, and a wrong reload changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from life_load import FILES, ITEM, Load
from test_life_workers import children

from record_shop import run_script, write_files
from reliability import Tally
from server_process import start

QUIET = {"log_calls": "false"}


@pytest.mark.reliability(41)
@pytest.mark.parametrize("workers", [1, 2])
async def test_no_call_is_lost(sqlite_url: str, tmp_path: Path, tally: Tally, workers: int) -> None:
    await run_script(sqlite_url, ITEM)
    folder = write_files(tmp_path / "queries", FILES)
    with start("granian", sqlite_url, folder, workers=workers, **QUIET) as server:
        await asyncio.to_thread(server.until, "/readyz", 200)
        load = Load(server.port)
        async with load.running(8):
            for _ in range(3):
                before = children(server)
                server.process.send_signal(signal.SIGHUP)
                end = time.monotonic() + 60
                while (now := children(server)) and (set(now) & set(before) or len(now) != workers):
                    assert time.monotonic() < end, server.errors
                    await asyncio.sleep(0.05)
        assert not load.lost
        assert not load.refused
        assert set(load.statuses) <= {200, 503}
        answer = await asyncio.to_thread(server.get, "/queries/items/all")
        stored = {row["n"] for row in answer.json()["data"]}
        assert await asyncio.to_thread(server.stop) == 0
    lost = set(load.acknowledged) - stored
    tally.acknowledged(len(load.acknowledged), len(lost))
    assert load.acknowledged
    assert not lost
    assert not load.doubtful


def _not_utf8(folder: Path) -> None:
    (folder / "one.sql").write_bytes(b"SELECT '\xff'")


def _a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / "one.sql").unlink()
    (folder / "one.sql").mkdir()


def _the_folder_is_gone(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def _a_file_in_place_of_the_folder(folder: Path) -> None:
    _the_folder_is_gone(folder)
    folder.write_text("SELECT 1")


def _unreadable(folder: Path) -> None:
    """Root reads everything, so: a link that leads to nothing."""
    (folder / "link.sql").symlink_to(folder / "nothing.sql")


def _two_statements(folder: Path) -> None:
    (folder / "one.sql").write_text("SELECT 1; SELECT 2;")


WRONG = [
    _not_utf8, _a_folder_in_place_of_a_file, _the_folder_is_gone, _a_file_in_place_of_the_folder, _unreadable,
    _two_statements,
]  # fmt: skip


@pytest.mark.reliability(41)
def test_a_wrong_reload_keeps_the_whole_old_snapshot(sqlite_url: str, tmp_path: Path, tally: Tally) -> None:
    """Also for workers that die right after it, and start anew from what the parent has compiled last."""
    with start("granian", sqlite_url, _fresh(tmp_path / "queries"), workers=2, **QUIET) as server:
        server.until("/readyz", 200)
        for number, spoil in enumerate(WRONG, start=1):
            _tidy(tmp_path)
            folder = _fresh(tmp_path / "queries")
            spoil(folder)
            server.process.send_signal(signal.SIGHUP)
            server.until_told("reload refused", number)
            for victim in children(server):
                os.kill(victim, signal.SIGKILL)
            told = server.until("/readyz", 200).json()
            assert told["reload_errors"], spoil
            assert server.get("/queries/one").json() == {"value": 1}
            assert server.get("/queries/two").json() == {"value": 2}
        assert "Traceback" not in server.errors
        tally.inputs(41, len(WRONG))
        _tidy(tmp_path)
        write_files(_fresh(tmp_path / "queries"), {"three.sql": "-- :result :value\nSELECT 3 AS n\n"})
        server.process.send_signal(signal.SIGHUP)
        server.until("/queries/three", 200)
        end = time.monotonic() + 30
        while server.get("/readyz").json()["reload_errors"]:
            assert time.monotonic() < end
        assert server.stop() == 0


def _fresh(folder: Path) -> Path:
    text = "-- :result :value\nSELECT {} AS n\n"
    return write_files(folder, {"one.sql": text.format(1), "two.sql": text.format(2)})


def _tidy(tmp_path: Path) -> None:
    for name in ("queries", "elsewhere"):
        path = tmp_path / name
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
