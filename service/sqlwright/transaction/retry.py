"""Work that met a concurrent change is done again: a few times, after a moment, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlwright.errors import SerializationFailure, TransactionFailed

T = TypeVar("T")

RETRY_PAUSE_SECONDS = 0.01
"""Twice that is the most that is waited before a second attempt, four times before a third, and so on."""
RETRY_TURN_SECONDS = 1.0
"""How long one that collided waits for others that did, so that they do not collide again."""


async def retry(work: Callable[[], Awaitable[T]], *, attempts: int = 3, turn: asyncio.Lock | None = None) -> T:
    """Do `work`, a whole transaction, and do it again after a `SerializationFailure`: at most `attempts` times in all.

    With `turn`, those that collided go one after the other, so that they do not collide again.
    """
    try:
        return await work()
    except (SerializationFailure, TransactionFailed) as error:
        if attempts <= 1 or not _has_collided(error):
            raise
    return await retry_collided(work, attempts=attempts - 1, turn=turn)


async def retry_collided(work: Callable[[], Awaitable[T]], *, attempts: int, turn: asyncio.Lock | None = None) -> T:
    """As `retry`, for work that has collided once."""
    async with _own(turn):
        attempt = 1
        while True:
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret
            try:
                return await work()
            except (SerializationFailure, TransactionFailed) as error:
                if attempt >= attempts or not _has_collided(error):
                    raise
            attempt += 1


@asynccontextmanager
async def _own(turn: asyncio.Lock | None) -> AsyncIterator[None]:
    """Hold `turn`, if it comes in time: work that retries inside of work that is retried must not wait for itself."""
    held = False
    if turn is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_TURN_SECONDS):
                held = await turn.acquire()
    try:
        yield
    finally:
        if turn is not None and held:
            turn.release()


def _has_collided(error: BaseException) -> bool:
    return isinstance(error, SerializationFailure) or isinstance(error.__cause__, SerializationFailure)
