"""Log lines that come too often: the first ones of a second are written, the others counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

GATHER_SECONDS = 1.0


class Gathered:
    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self._tell = tell
        """Is told a kind and how many of it were not written, at the end of a second."""
        self._begun = 0.0
        self._seen: Counter[str] = Counter()
        self._unwritten: Counter[str] = Counter()
        self._end: asyncio.TimerHandle | None = None

    def is_written(self, kind: str, most: int) -> bool:
        """Whether one more is among the first `most` of this second. Kinds are few and ours."""
        now = time.monotonic()
        if now - self._begun >= GATHER_SECONDS:
            self.tell()
            self._begun = now
        self._seen[kind] += 1
        if self._seen[kind] <= most:
            return True
        self._unwritten[kind] += 1
        if self._end is None:
            self._end = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.tell)
        return False

    def tell(self) -> None:
        """End the second now."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        unwritten, self._unwritten, self._seen = self._unwritten, Counter(), Counter()
        for kind, count in unwritten.items():
            self._tell(kind, count)
