"""Log lines that come too often: the first ones of a second are written, the others counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

GATHER_SECONDS = 1.0


class Gathered:
    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self._tell = tell
        """Is told the kind and how many were not written, at the end of a second."""
        self._seen: Counter[str] = Counter()
        self._most: dict[str, int] = {}
        self._end: asyncio.TimerHandle | None = None

    def is_written(self, kind: str, most: int) -> bool:
        """Whether one more is among the first `most` of this second. Kinds are few and ours."""
        self._seen[kind] += 1
        self._most[kind] = most
        if self._end is None:
            self._end = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.tell)
        return self._seen[kind] <= most

    def tell(self) -> None:
        """End the second now."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        seen, self._seen = self._seen, Counter()
        for kind, count in seen.items():
            if count > self._most[kind]:
                self._tell(kind, count - self._most[kind])
