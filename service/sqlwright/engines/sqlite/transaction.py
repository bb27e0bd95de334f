"""Transactions on a session's thread. Nothing here awaits.

SQLite ends a transaction by itself after a full disk, an interrupted write and the like; what comes after that would
each be committed on its own, so it is refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlwright.engines.sqlite.hop import Hop
from sqlwright.errors import DatabaseUnavailable, TransactionFailed

ROOM_BYTES = 1024 * 1024
"""What must be free on a disk that was full before it passes for one that has room."""


def begin(raw: sqlite3.Connection, hop: Hop, *, read_only: bool) -> None:
    """A writer takes its lock at once, so that nothing it reads can be stale when it writes: that is serializable, as
    is the snapshot of a reader."""
    hop.patiently(raw.execute, "BEGIN" if read_only else "BEGIN IMMEDIATE").close()


def commit(raw: sqlite3.Connection, hop: Hop) -> None:
    refuse_ended(raw)
    with undone_after_error(raw, hop):
        hop.patiently(raw.execute, "COMMIT").close()


@contextmanager
def undone_after_error(raw: sqlite3.Connection, hop: Hop) -> Iterator[None]:
    """After a COMMIT that was refused, the transaction is still open."""
    try:
        yield
    except BaseException:
        hop.finish()
        rollback(raw)
        raise


def rollback(raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        raw.execute("ROLLBACK").close()


def write_nothing(raw: sqlite3.Connection, hop: Hop) -> None:
    """A page goes to the disk with what it held before. Raises what refuses that, also for want of some room."""
    begin(raw, hop, read_only=False)
    with undone_after_error(raw, hop):
        number = raw.execute("PRAGMA user_version").fetchone()[0]
        raw.execute(f"PRAGMA user_version = {number}").close()
        hop.patiently(raw.execute, "COMMIT").close()
    path = raw.execute("PRAGMA database_list").fetchone()[2]
    if path:
        disk = os.statvfs(path)
        if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
            raise DatabaseUnavailable("the disk of the database is full")


def savepoint(raw: sqlite3.Connection, name: str) -> None:
    refuse_ended(raw)  # or it would begin a transaction of its own
    raw.execute(f"SAVEPOINT {name}").close()


def release_savepoint(raw: sqlite3.Connection, name: str) -> None:
    refuse_ended(raw)
    raw.execute(f"RELEASE {name}").close()


def rollback_to_savepoint(raw: sqlite3.Connection, name: str) -> None:
    refuse_ended(raw)
    raw.execute(f"ROLLBACK TO {name}").close()
    raw.execute(f"RELEASE {name}").close()


def refuse_ended(raw: sqlite3.Connection) -> None:
    if not raw.in_transaction:
        raise TransactionFailed("the database had to roll the transaction back")
