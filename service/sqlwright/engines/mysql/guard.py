"""Waiting for the server, with the driver's errors as ours, and not for ever."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from sqlwright.engines import outage
from sqlwright.engines.mysql.backend import MySQLLease
from sqlwright.engines.mysql.errors import translate
from sqlwright.errors import Outcome, OutcomeUnknown, StatementTimeout
from sqlwright.query import Access

T = TypeVar("T")

ANSWER_GRACE_SECONDS = 0.4
"""How much longer than its timeout a statement may stay unanswered before the connection is given up."""


async def guarded(
    lease: MySQLLease,
    access: Access,
    timeout_seconds: float | None,
    work: Awaitable[T],
    *,
    undone: bool = False,
) -> T:
    """Await `work`, and stop waiting when the server does not answer.

    MariaDB itself stops a statement that takes too long; this is for a server that cannot, and for MySQL, which stops
    only a SELECT. `undone` says that an open transaction will be rolled back whatever happens, so that no outcome is
    unknown.
    """
    limit = None if timeout_seconds is None else timeout_seconds + ANSWER_GRACE_SECONDS
    guard = lease.time_limits.limit(limit)
    try:
        with guard:
            return await work
    except Exception as error:
        if guard.expired:
            lease.broken = not undone
            outcome: Outcome = "none" if undone or access is Access.READ else "unknown"
            raise StatementTimeout("the database did not answer in time", outcome=outcome) from error
        if isinstance(error, UnicodeDecodeError):
            lease.broken = True  # the rest of the answer has not been read
        translated = translate(error, access)
        if isinstance(translated, OutcomeUnknown) and undone:
            translated = translate(error, Access.READ)
        if outage.speaks_of_server(translated):
            lease.distrust()
        try:
            if translated is None or translated is error:
                raise
            raise translated from error
        finally:
            del translated  # its traceback leads back here: a cycle would keep all of the call
