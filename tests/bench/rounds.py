"""Interleaved rounds and what they say: ratios to the others, with an interval.

A machine is faster at one moment and slower at the next, so services take turns and a ratio is taken inside of a round;
the interval is that of the median over rounds, by resampling them.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from load import Figures
from services import BASE

RESAMPLED = 2_000
SEED = 12
CONFIDENCE = 0.9
FIGURES = tuple(each.name for each in fields(Figures))


@dataclass(frozen=True, slots=True)
class Cell:
    """A case with so many connections, and the services that are compared in it."""

    case: str
    connections: int
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    median: float
    low: float
    high: float


@dataclass(slots=True)
class Measured:
    """All rounds of one service in one cell."""

    case: str
    connections: int
    service: str
    rounds: list[Figures] = field(default_factory=list)

    def median(self, figure: str) -> float:
        return statistics.median(getattr(one, figure) for one in self.rounds)


def run_rounds(cells: Iterable[Cell], rounds: int, measure: Callable[[str, int, str], Figures]) -> list[Measured]:
    """`measure(case, connections, service)`, in turns."""
    cells = list(cells)
    found = {(c.case, c.connections, s): Measured(c.case, c.connections, s) for c in cells for s in c.services}
    dice = random.Random(SEED)
    for _ in range(rounds):
        for cell in cells:
            for service in dice.sample(cell.services, len(cell.services)):  # who comes first has no advantage
                found[cell.case, cell.connections, service].rounds.append(measure(cell.case, cell.connections, service))
    return list(found.values())


def ratio(one: Measured, other: Measured, figure: str) -> Ratio | None:
    """None where the other's figures are zero."""
    pairs = [
        getattr(a, figure) / getattr(b, figure)
        for a, b in zip(one.rounds, other.rounds, strict=True)
        if getattr(b, figure)
    ]
    if not pairs:
        return None
    dice = random.Random(SEED)
    medians = sorted(statistics.median(dice.choices(pairs, k=len(pairs))) for _ in range(RESAMPLED))
    edge = round((1 - CONFIDENCE) / 2 * RESAMPLED)
    return Ratio(statistics.median(pairs), medians[edge], medians[-1 - edge])


def compared(results: Sequence[Measured]) -> list[dict[str, Any]]:
    """One entry a service and cell: medians; `ratios` to the hand-written peer and `against` every other."""
    entries = []
    for one in results:
        others = [r for r in results if (r.case, r.connections) == (one.case, one.connections)]
        against = {other.service: _ratios(one, other) for other in others if other is not one}
        ratios = _ratios(one, one) if one.service == BASE else against.get(BASE, {})
        figures = {name: one.median(name) for name in FIGURES}
        key = {"case": one.case, "connections": one.connections, "service": one.service}
        entries.append({**key, **figures, "ratios": ratios, "against": against})
    return entries


def _ratios(one: Measured, other: Measured) -> dict[str, Any]:
    found = {name: ratio(one, other, name) for name in FIGURES}
    return {name: asdict(each) for name, each in found.items() if each is not None}
