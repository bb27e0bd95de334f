"""A bound on how long a transaction may do nothing: what it has locked, everybody else waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlwright.transaction.deadline import Deadline
from sqlwright.transaction.open import OpenTransaction


@contextmanager
def idle_limit(transaction: OpenTransaction, limit: Deadline, seconds: float) -> Iterator[None]:
    """End the time of `limit` once no statement of the transaction has run for `seconds`.

    One timer a transaction, which looks when the last statement ended, and none a statement.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        since = transaction.idle_since
        left = seconds if since is None else since + seconds - loop.time()
        if left > 0:
            timer = loop.call_later(left, look)
        else:
            limit.end(f"the transaction did nothing for longer than {seconds:g} s")

    timer = loop.call_later(seconds, look)
    try:
        yield
    finally:
        timer.cancel()
