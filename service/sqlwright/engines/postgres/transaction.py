"""What PostgreSQL is told to begin, end and subdivide a transaction, and to keep a query that reads from writing in it.

A transaction cannot be made read-only and writable again, but a savepoint in it can be read-only: PostgreSQL restores
that setting when the savepoint ends. It stays for the next query that reads, and is released before the next write.
"""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from sqlwright.engines.postgres.session import UNKNOWN, Session, milliseconds
from sqlwright.errors import TransactionFailed
from sqlwright.query import Isolation

_GUARD = "sqlwright_reads"


async def begin(session: Session, isolation: Isolation | None, *, read_only: bool) -> None:
    level = "" if isolation is None else f" ISOLATION LEVEL {isolation.replace('_', ' ').upper()}"
    # The snapshot is taken before any guard against writing stands: a serializable transaction that is read-only when
    # it takes it is not watched for conflicts, and stays unwatched when it writes later.
    access = " READ ONLY" if read_only else ""
    first = "" if read_only else "SELECT 1"
    await session.execute(f"BEGIN{level}{access}; {session.locals}{first}")
    if session.locals:
        session.limit_ms, session.plan_mode = session.timeout_ms, "auto"


async def commit(session: Session, timeout_seconds: float) -> None:
    limit = milliseconds(timeout_seconds)
    before = "" if limit == session.limit_ms else f"SET LOCAL statement_timeout = {limit}; "
    tag = None
    with suppress(asyncpg.InFailedSQLTransactionError):
        # No timeout holds for what a COMMIT does, so deferred triggers run before it, where one does.
        tag = await session.execute(f"{before}SET CONSTRAINTS ALL IMMEDIATE; COMMIT")
    if tag != "COMMIT":
        raise TransactionFailed("the database rolled the transaction back: a statement of it had failed")
    _ended(session)


async def rollback(session: Session) -> None:
    if session.is_in_transaction():
        await session.execute("ROLLBACK")
    _ended(session)


def _ended(session: Session) -> None:
    session.reads_only = False
    session.limit_ms, session.plan_mode = UNKNOWN, None


async def write_nothing(session: Session) -> None:
    """A server that only reads refuses this, too."""
    await session.execute("BEGIN; CREATE TEMP TABLE sqlwright_writes (n int); ROLLBACK")


async def savepoint(session: Session, name: str) -> None:
    await session.execute(f"{_release_guard(session)}SAVEPOINT {name}")
    session.reads_only = False


async def release_savepoint(session: Session, name: str) -> None:
    await session.execute(f"RELEASE SAVEPOINT {name}")  # and the guard in it
    session.reads_only = False


async def rollback_to_savepoint(session: Session, name: str) -> None:
    # A statement_timeout that was set after the savepoint is undone with the rest.
    await session.execute(
        f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}; SET LOCAL statement_timeout = {session.limit_ms}"
    )
    session.reads_only, session.plan_mode = False, None


async def keep_from_writing(session: Session) -> None:
    if not session.reads_only:
        # The SELECT first: a serializable transaction whose first snapshot is taken in the savepoint would pass for
        # one that never writes, and its writes would collide with nothing.
        await session.execute(f"SELECT 1; SAVEPOINT {_GUARD}; SET LOCAL transaction_read_only = on")
        session.reads_only = True


async def allow_writes(session: Session) -> None:
    if session.reads_only:
        await session.execute(_release_guard(session))
        session.reads_only = False


async def stay_idle(session: Session) -> None:
    await session.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


def _release_guard(session: Session) -> str:
    return f"RELEASE SAVEPOINT {_GUARD}; " if session.reads_only else ""
