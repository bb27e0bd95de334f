"""A transaction from BEGIN to its end: the one place where one is begun, committed and rolled back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from sqlwright.engines.base import Engine
from sqlwright.query import Isolation
from sqlwright.transaction.deadline import deadline
from sqlwright.transaction.idle import idle_limit
from sqlwright.transaction.open import OpenTransaction


@asynccontextmanager
async def begin(
    holding: AbstractAsyncContextManager[Any],
    engine: Engine,
    *,
    isolation: Isolation | None,
    read_only: bool,
    timeout_seconds: float,
    control_seconds: float,
    idle_seconds: float,
) -> AsyncIterator[OpenTransaction]:
    """A transaction on a lease of its own, from BEGIN to COMMIT, or to ROLLBACK after any exception.

    Raises what refused the COMMIT; `TransactionFailed` when a statement failed and nobody let that be known;
    `DeadlineExceeded`, with an unknown outcome when COMMIT had been sent, or with none when the body did nothing on it
    for `idle_seconds`.
    """
    async with deadline(timeout_seconds) as limit:
        lease = await holding.__aenter__()
        left_by: BaseException | None = None
        tx = OpenTransaction(engine, lease, isolation=isolation, read_only=read_only, control_seconds=control_seconds)
        limit.outcome = lambda: "unknown" if tx.commits and not read_only else "none"
        try:
            await engine.begin(lease, isolation=isolation, read_only=read_only, timeout_seconds=control_seconds)
            with idle_limit(tx, limit, idle_seconds):
                yield tx
            limit.check()
            await tx.commit()
        except BaseException as error:
            left_by = error
            await tx.rollback(error)
            raise
        finally:
            give_back = partial(holding.__aexit__, type(left_by) if left_by else None, left_by, None)
            left_by = None  # its traceback leads back here: a cycle would keep all of the call until it is collected
            await tx.leave(give_back)
