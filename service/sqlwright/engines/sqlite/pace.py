"""Whether a read is so short that it may run on the event loop, by what it took so far."""

from __future__ import annotations

from dataclasses import dataclass

SHORT_SECONDS = 0.001
"""Reads that take longer go to their session's thread."""
_WEIGHT = 0.05
"""Of the last time that was measured, where it was longer."""
_SKIPPED_MAX = 64


@dataclass(slots=True)
class Pace:
    """Of one query, in seconds of the clock. A busy machine makes it look long, so that is believed slowly."""

    seconds: float = 0.0
    """Smoothed; 0 is not known yet."""
    skip: int = 0
    """How many times it has to run in the usual way before it is tried again."""
    broken_off: int = 0
    """How often in a row one was too long for the loop."""

    def is_short(self) -> bool:
        return not self.skip and 0 < self.seconds < SHORT_SECONDS

    def took(self, seconds: float) -> None:
        if self.skip:
            self.skip -= 1
        if not self.seconds or seconds < self.seconds:
            self.seconds = seconds
        else:
            self.seconds += (seconds - self.seconds) * _WEIGHT

    def was_short(self, seconds: float) -> None:
        self.broken_off = 0
        self.took(seconds)

    def was_too_long(self) -> None:
        self.broken_off += 1
        self.skip = min(2**self.broken_off, _SKIPPED_MAX)
