"""What happens to a SQLite file while it is served."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

from chaos.faults import Fault
from chaos.places import FilePlace
from chaos.scene import Scene

LONGER_THAN_LIMITS_SECONDS = 2.5


def _there(scene: Scene) -> FilePlace:
    assert isinstance(scene.place, FilePlace)
    return scene.place


async def locked(scene: Scene) -> None:
    """Another program writes for a while."""
    with contextlib.closing(sqlite3.connect(_there(scene).file, isolation_level=None, timeout=5)) as other:
        await _begin(other)
        await asyncio.sleep(LONGER_THAN_LIMITS_SECONDS)
        other.execute("ROLLBACK")


async def _begin(other: sqlite3.Connection) -> None:
    other.execute("PRAGMA busy_timeout = 0")  # a wait in here would stop the load
    while True:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            await asyncio.sleep(0.002)
        else:
            return


async def checkpoint(scene: Scene) -> None:
    """Another program empties the write-ahead log under the service's hands."""

    def work() -> None:
        with contextlib.closing(sqlite3.connect(_there(scene).file, timeout=0.5)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    for _ in range(10):
        with contextlib.suppress(sqlite3.OperationalError):  # busy
            await asyncio.to_thread(work)
        await asyncio.sleep(scene.dice.uniform(0.02, 0.2))


async def disk_full(scene: Scene) -> None:
    """What another program wrote leaves nothing, then is removed."""
    disk = _there(scene).disk
    assert disk is not None
    ballast = disk / "ballast"

    def fill() -> None:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 65536)

    try:
        for _ in range(10):
            await asyncio.to_thread(fill)  # again: a checkpoint may have made room
            await asyncio.sleep(0.2)
    finally:
        ballast.unlink()


OF_FILES = (
    Fault("file locked", locked),
    Fault("checkpoint by another", checkpoint),
    Fault("disk full", disk_full),
)
