"""A bound on how long something takes as a whole."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlwright.errors import DeadlineExceeded, Outcome


class Deadline:
    """The time that something has as a whole."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.timeout = asyncio.timeout(None if seconds == math.inf else seconds)
        self.outcome: Callable[[], Outcome] = lambda: "none"

    def check(self) -> None:
        """Raises when time is up, also where the cancellation that said so was swallowed."""
        if self.timeout.expired():
            raise TimeoutError


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[Deadline]:
    """Cancel what runs inside when time is up, and raise `DeadlineExceeded`."""
    limit = Deadline(seconds)
    try:
        async with limit.timeout:
            yield limit
    except TimeoutError as error:
        if not limit.timeout.expired():
            raise
        message = f"the transaction took longer than {seconds:g} s"
        raise DeadlineExceeded(message, outcome=limit.outcome()) from error
