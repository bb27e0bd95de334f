"""What a call of a query has cost so far, and how many calls may therefore run as one statement."""

from __future__ import annotations

from dataclasses import dataclass

ITEMS_MAX = 32
"""Calls in one batch."""
BUDGET_SECONDS = 0.003
"""What a batch may take, by what a call costs: fewer are taken of a dearer query."""
DEAR_SECONDS = 0.001
"""From this cost on a query is not batched: it is better served by all connections side by side."""
_BELIEVE_RISING = 0.02


@dataclass(slots=True)
class Measured:
    """Seconds of the clock, so a busy machine makes a query look dear; that is believed slowly, the opposite at once.
    Else a crowd would stop batching, which makes a larger crowd."""

    item_seconds: float = 0.0
    """Of one call; 0 is not known yet."""
    lines: int = 0
    """In which calls of it run or wait now."""
    together_max: int = ITEMS_MAX
    """Halved when a batch fails, so that a caller who always sends what fails costs the others little."""

    @property
    def is_cheap(self) -> bool:
        """False also as long as nothing is known: who waits for a slow one could have a connection of his own."""
        return 0 < self.item_seconds < DEAR_SECONDS

    def learn(self, seconds: float) -> None:
        known = self.item_seconds
        if not known or seconds < known:
            self.item_seconds = seconds
        else:
            self.item_seconds = known + (seconds - known) * _BELIEVE_RISING

    def batch_size(self) -> int:
        return max(1, min(self.together_max, int(BUDGET_SECONDS / (self.item_seconds or BUDGET_SECONDS))))

    def batch_failed(self) -> None:
        self.together_max = max(1, self.together_max // 2)

    def batch_went_well(self) -> None:
        if self.together_max < ITEMS_MAX:
            self.together_max += 1
