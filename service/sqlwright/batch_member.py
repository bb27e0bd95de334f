"""The calls in a line of `batching`: one for a task that waits, one for who is called."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any

from sqlwright.errors import AcquireTimeout
from sqlwright.query import Result, Values
from sqlwright.time_limit import Limited

Said = Result | Exception | None
"""What is told of a call: its result, its error, or None, which says: run it alone."""
Tell = Callable[[Said], None]


class Member(Limited):
    """A call in a line. Who it is for hears of one thing: its result, its error, or None, which says: run alone."""

    __slots__ = ("asked", "batch", "begun", "values")

    def __init__(self, values: Values, asked: float) -> None:
        self.values = values
        self.asked = asked
        self.begun = 0.0
        self.batch: Batch | None = None

    @abstractmethod
    def is_through(self) -> bool:
        """It has heard, or waits no longer."""

    @abstractmethod
    def hear(self, outcome: Said) -> None:
        """Called once, and not when it is through."""

    def expire(self) -> None:
        self.fail(AcquireTimeout("no connection became free in time"))

    def fail(self, error: Exception) -> None:
        if not self.is_through():
            self.hear(copy(error))


class Awaited(Member):
    """For a task that waits."""

    __slots__ = ("outcome",)

    def __init__(self, values: Values, asked: float, outcome: asyncio.Future[Result | None]) -> None:
        super().__init__(values, asked)
        self.outcome = outcome

    def is_through(self) -> bool:
        return self.outcome.done()

    def hear(self, outcome: Said) -> None:
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Told(Member):
    """For who is called."""

    __slots__ = ("_tell",)

    def __init__(self, values: Values, asked: float, tell: Tell) -> None:
        super().__init__(values, asked)
        self._tell: Tell | None = tell

    def is_through(self) -> bool:
        return self._tell is None

    def hear(self, outcome: Said) -> None:
        assert self._tell is not None
        tell, self._tell = self._tell, None
        tell(outcome)


class Batch:
    """Members whose statement runs now."""

    __slots__ = ("abandoned", "present", "runner")

    def __init__(self, present: int, runner: asyncio.Task[Any]) -> None:
        self.present = present
        self.runner = runner
        self.abandoned = False

    def leave(self) -> None:
        self.present -= 1
        if not self.present:
            self.abandoned = True
            self.runner.cancel()


class Abandoned(asyncio.CancelledError):
    """The last member of the batch has left. For a lease the same as when its holder was cancelled."""
