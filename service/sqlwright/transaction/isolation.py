"""Levels of isolation, from the weakest to the strongest."""

from __future__ import annotations

from collections.abc import Iterable

from sqlwright.query import ISOLATIONS, Isolation


def check_isolation(isolation: str | None) -> None:
    if isolation is not None and isolation not in ISOLATIONS:
        raise ValueError(f"{isolation!r} is not an isolation level: one of {', '.join(ISOLATIONS)}")


def strongest(isolations: Iterable[Isolation | None]) -> Isolation | None:
    """The one that satisfies all; None when none is asked for."""
    asked = [isolation for isolation in isolations if isolation is not None]
    return max(asked, key=ISOLATIONS.index, default=None)
