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
        self.message = f"the transaction took longer than {seconds:g} s"

    def end(self, message: str) -> None:
        """Let time be up now, because of what the message says."""
        if not self.timeout.expired():
            self.message = message
            self.timeout.reschedule(asyncio.get_running_loop().time())

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
        raise DeadlineExceeded(limit.message, outcome=limit.outcome()) from error
