"""A bound on how long a transaction may do nothing: what it has locked, everybody else waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlwright.transaction.deadline import Deadline
from sqlwright.transaction.open import OpenTransaction


class _IdleLimit:
    def __init__(self, transaction: OpenTransaction, limit: Deadline, seconds: float) -> None:
        self._transaction = transaction
        self._limit = limit
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        since = self._transaction.idle_since
        left = self._seconds if since is None else since + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._limit.end(f"the transaction did nothing for longer than {self._seconds:g} s")

    def end(self) -> None:
        self._timer.cancel()  # which lets go of this, too


@contextmanager
def idle_limit(transaction: OpenTransaction, limit: Deadline, seconds: float) -> Iterator[None]:
    """End the time of `limit` once no statement of the transaction has run for `seconds`.

    One timer a transaction, which looks when the last statement ended, and none a statement.
    """
    idle = _IdleLimit(transaction, limit, seconds)
    try:
        yield
    finally:
        idle.end()
