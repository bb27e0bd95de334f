"""What the worker processes of a service take, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of the largest worker, each for itself."""

    rss_mb: float
    threads: int
    descriptors: int
    """Without pipes, which are the parent's: a worker that replaces another inherits more of them. A database's file
    counts once: SQLite keeps a closed connection's descriptor for the next one, because closing it would drop the locks
    of all."""

    def fits(self, other: Footprint) -> bool:
        """No more threads and descriptors than there."""
        return self.threads <= other.threads and self.descriptors <= other.descriptors


def workers(parent: int) -> frozenset[int]:
    """None when the parent has ended."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return frozenset()
    return frozenset(map(int, children.split()))


def footprint(parent: int) -> Footprint:
    each = [_of(process) for process in workers(parent)] or [(0.0, 0, 0)]
    return Footprint(*(max(column) for column in zip(*each, strict=True)))


def _of(process: int) -> tuple[float, int, int]:
    folder = Path(f"/proc/{process}")
    pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
    targets = [_target(link) for link in (folder / "fd").iterdir()]
    files = {target for target in targets if target.endswith(".db")}
    others = [target for target in targets if not target.startswith("pipe:") and target not in files]
    return pages * _PAGE_BYTES / 1e6, len(list((folder / "task").iterdir())), len(files) + len(others)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return "pipe: closed meanwhile"
