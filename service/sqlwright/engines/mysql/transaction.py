"""What the server is told to begin, end and subdivide a transaction, and how a query that reads is kept from writing.

A transaction cannot be made read-only for a while, and a session's counters cannot be argued with: MariaDB counts the
rows written by each session, those of its own temporary tables apart. A query that reads and has written anything
(a function did, or a sequence) is refused afterwards, which makes the transaction fail: nothing of it is kept.
MySQL counts its temporary tables too, so there only what stands alone or in a read-only transaction is kept from it.
"""

from __future__ import annotations

from sqlwright.engines.mysql.session import Session
from sqlwright.errors import StatementFailed, TransactionFailed
from sqlwright.query import Isolation
from sqlwright.sql.dialect import MYSQL

_IDLE_LIMITS = "idle_transaction_timeout = 0"
# Statements are counted inside functions, too. `handler_update` is left out: window functions raise it. A sequence
# raises `handler_write` alone.
_WRITTEN = (
    "SELECT CAST(SUM(variable_value) AS UNSIGNED) FROM information_schema.session_status"
    " WHERE variable_name IN ('handler_write', 'handler_delete', 'com_insert', 'com_insert_select', 'com_update',"
    " 'com_update_multi', 'com_delete', 'com_delete_multi', 'com_replace', 'com_replace_select')"
)
_CALLS = frozenset({"call", "execute"})
"""What they do cannot be told beforehand."""


async def begin(session: Session, isolation: Isolation | None, *, read_only: bool) -> None:
    """A serializable transaction locks what it reads, also when it only reads. One moment's snapshot is as serializable
    as the transactions that write are, and is in nobody's way."""
    snapshot = read_only and isolation == "serializable"
    level: Isolation | None = "repeatable_read" if snapshot else isolation
    if level is not None:
        await session.fetch(f"SET TRANSACTION ISOLATION LEVEL {level.replace('_', ' ').upper()}")
    consistent = "WITH CONSISTENT SNAPSHOT, " if snapshot else ""
    await session.fetch(f"START TRANSACTION {consistent}{'READ ONLY' if read_only else 'READ WRITE'}")


async def stop_committing(session: Session) -> None:
    """From here on statements are in a transaction until COMMIT, and then in the next one; the reset ends that."""
    await session.fetch("SET autocommit = 0")


async def commit(session: Session) -> None:
    if not session.in_transaction:
        raise TransactionFailed("the database had to roll the transaction back")
    await session.fetch("COMMIT")


async def rollback(session: Session) -> None:
    await session.fetch("ROLLBACK")


async def savepoint(session: Session, name: str) -> None:
    _refuse_ended(session)
    await session.fetch(f"SAVEPOINT {name}")


async def release_savepoint(session: Session, name: str) -> None:
    await session.fetch(f"RELEASE SAVEPOINT {name}")


async def rollback_to_savepoint(session: Session, name: str) -> None:
    """Raises where there is none: a deadlock, for one, undoes the whole transaction."""
    await session.fetch(f"ROLLBACK TO SAVEPOINT {name}")
    await session.fetch(f"RELEASE SAVEPOINT {name}")


async def stay_idle(session: Session) -> None:
    if session.is_mariadb:
        await session.fetch(f"SET {_IDLE_LIMITS}")


def refuse_committing(verb: str) -> None:
    """DDL and its like would silently commit what the transaction has done so far."""
    if MYSQL.undoable is not None and verb not in MYSQL.undoable and verb not in _CALLS:
        raise StatementFailed(f"{verb.upper()} would commit the transaction on this database: run it outside of one")


def _refuse_ended(session: Session) -> None:
    if not session.in_transaction:
        raise TransactionFailed("the database had to roll the transaction back")


def refuse_ending(session: Session) -> None:
    """After a statement in a transaction: what a procedure did."""
    if not session.in_transaction:
        raise StatementFailed("the statement ended the transaction that it ran in: what came before is committed")


async def writes_of(session: Session) -> int:
    """Rises with every write of this session, also inside a function."""
    if not session.is_mariadb:
        return 0
    return int((await session.fetch(_WRITTEN)).rows[0][0])
