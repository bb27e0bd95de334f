"""What this process knows about a database file, over all the pools that have it open."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

from sqlwright.errors import DatabaseCorrupt, DatabaseUnavailable

LOOK_SECONDS = 1.0
"""How often at most is looked whether another file has come in the place of this one."""

Identity = tuple[int, int]

logger = logging.getLogger(__name__)


class KnownFile:
    """A file that was opened. Another one that takes its place is noticed: sessions with the old one have had it.

    Nothing is written to a damaged file any more, until another one has come or the process has been started anew:
    what is written after damage makes it worse. What can be read of it is read.
    """

    _known: ClassVar[WeakValueDictionary[Path, KnownFile]] = WeakValueDictionary()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = Path(f"{path}-wal")
        self.number = 0
        """Rises when another file has taken its place."""
        self.damage: DatabaseCorrupt | None = None
        self._identity: Identity | None = None
        self._look_at = 0.0

    @classmethod
    def of(cls, path: Path) -> KnownFile:
        path = path.absolute()
        known = cls._known.get(path)
        if known is None:
            known = cls._known[path] = cls(path)
        return known

    @property
    def was_there(self) -> bool:
        """It was opened before, so that an empty one must not silently be made in its place."""
        return self._identity is not None

    def look(self) -> int:
        """The `number` now; the disk is asked every second at most."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self.recognize()
        return self.number

    def recognize(self) -> int:
        """The `number` of the file that stands there."""
        identity = _identity(self.path)
        if identity is not None:  # what is gone can still be read where it is open; who writes or opens is told
            if self._identity is not None and identity != self._identity:
                self.number += 1
                self.damage = None
            self._identity = identity
        return self.number

    def damaged(self, damage: DatabaseCorrupt) -> None:
        if self.damage is None:
            self.damage = damage
            logger.error("%s: %s; nothing is written to it any more", self.path, damage)

    def refuse_writes(self) -> None:
        """Before each write. Raises `DatabaseUnavailable` when the file is gone: SQLite itself would go on writing to
        what nobody finds any more. Raises `DatabaseCorrupt` while it is known to be damaged."""
        if self.was_there and _identity(self.path) != self._identity:
            number = self.number
            if self.recognize() == number:
                raise DatabaseUnavailable("the database file is gone: it was moved or deleted while it was in use")
        if self.damage is not None:
            raise DatabaseCorrupt(f"{self.damage}: nothing is written to it any more")

    def log_of(self, known: Identity | None) -> Identity | None:
        """Which write-ahead log there is. Raises `DatabaseUnavailable` when it is not the one that is `known`, which
        holds what was written last; it is folded into the file when its last session ends."""
        found = _identity(self._log)
        if known is not None and found != known:
            raise DatabaseUnavailable(
                "the write-ahead log of the database file was taken away: what it held is folded into the file when"
                " the service stops, and nothing more is written until then"
            )
        return found


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
