"""Which ids were written, what was said about each, and whether the database agrees."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

ABSENT = 0


class Fate(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    NONE = "not applied"
    """Refused, or failed with `outcome: none`."""
    UNKNOWN = "unknown"
    """`outcome: unknown`, or the connection broke."""


@dataclass(slots=True)
class _Row:
    allowed: frozenset[int]
    """Versions that the database may hold; `ABSENT` is none."""
    denied: int | None = None
    """What a call would have made of it that was told not to be applied."""


@dataclass(frozen=True, slots=True)
class Verdict:
    acknowledged: int
    """Writes that were answered with success, by row."""
    unknown: int
    lost: list[int] = field(default_factory=list)
    """Acknowledged, and not in the database as acknowledged."""
    doubled: list[int] = field(default_factory=list)
    denied: list[int] = field(default_factory=list)
    """Told not to be applied, and applied."""
    halves: list[int] = field(default_factory=list)
    """First ids of groups of which a part is there."""
    strangers: list[int] = field(default_factory=list)
    """Written by nobody."""

    @property
    def faults(self) -> dict[str, list[int]]:
        found = {"lost": self.lost, "doubled": self.doubled, "applied though denied": self.denied,
                 "halves": self.halves, "written by nobody": self.strangers}  # fmt: skip
        return {name: ids for name, ids in found.items() if ids}


class Ledger:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._rows: dict[int, _Row] = {}
        self._groups: list[tuple[int, ...]] = []
        self.acknowledged = 0
        self.unknown = 0

    def refs(self, count: int) -> tuple[int, ...]:
        """New ids of one group; until they are settled, nothing is known about them."""
        refs = tuple(itertools.islice(self._numbers, count))
        for ref in refs:
            self._rows[ref] = _Row(frozenset((ABSENT, 1)))
        if count > 1:
            self._groups.append(refs)
        return refs

    def settle(self, refs: Iterable[int], fate: Fate, *, before: int = ABSENT, after: int = 1) -> None:
        """A call that makes version `after` of `before` ended. An unknown one may come yet: leave it."""
        allowed = {Fate.ACKNOWLEDGED: {after}, Fate.NONE: {before}, Fate.UNKNOWN: {before, after}}[fate]
        for ref in refs:
            self._rows[ref] = _Row(frozenset(allowed), after if fate is Fate.NONE else None)
            self.acknowledged += fate is Fate.ACKNOWLEDGED
            self.unknown += fate is Fate.UNKNOWN

    def known(self, ref: int, versions: Sequence[int]) -> bool:
        """Whether this may be what the database holds of it."""
        return (versions[0] if versions else ABSENT) in self._rows[ref].allowed and len(versions) <= 1

    def check(self, stored: Iterable[tuple[int, int]]) -> Verdict:
        """Against all (ref, version) of the database."""
        found: dict[int, list[int]] = defaultdict(list)
        for ref, version in stored:
            found[ref].append(version)
        verdict = Verdict(self.acknowledged, self.unknown)
        verdict.strangers.extend(found.keys() - self._rows.keys())
        for ref, row in self._rows.items():
            versions = found.get(ref, ())
            if len(versions) > 1:
                verdict.doubled.append(ref)
            elif not self.known(ref, versions):
                state = versions[0] if versions else ABSENT
                (verdict.denied if state == row.denied else verdict.lost).append(ref)
        for group in self._groups:
            if len(Counter(ref in found for ref in group)) > 1:
                verdict.halves.append(group[0])
        return verdict
