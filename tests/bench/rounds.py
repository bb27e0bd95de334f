"""Interleaved rounds and what they say: ratios to the hand-written peer, with an interval.

A machine is faster at one moment and slower at the next, so services take turns and a ratio is taken inside of a round;
the interval is that of the median over rounds, by resampling them.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from load import Figures
from services import BASE

RESAMPLED = 2_000
SEED = 12
CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Ratio:
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}–{self.high:.2f}]"


@dataclass(slots=True)
class Measured:
    """All rounds of one service in one case."""

    case: str
    connections: int
    service: str
    rounds: list[Figures] = field(default_factory=list)

    def median(self, figure: str) -> float:
        return statistics.median(getattr(one, figure) for one in self.rounds)


def run_rounds(
    keys: Iterable[tuple[str, int]], services: Sequence[str], rounds: int, measure: Callable[[str, int, str], Figures]
) -> list[Measured]:
    """`measure(case, connections, service)`, in turns."""
    keys = list(keys)
    found = {(c, n, s): Measured(c, n, s) for c, n in keys for s in services}
    dice = random.Random(SEED)
    for _ in range(rounds):
        for case, connections in keys:
            for service in dice.sample(services, len(services)):  # who comes first has no advantage
                found[case, connections, service].rounds.append(measure(case, connections, service))
    return list(found.values())


def ratio(one: Measured, base: Measured, figure: str) -> Ratio:
    pairs = [
        getattr(a, figure) / getattr(b, figure)
        for a, b in zip(one.rounds, base.rounds, strict=True)
        if getattr(b, figure)
    ]
    if not pairs:
        return Ratio(float("nan"), float("nan"), float("nan"))
    dice = random.Random(SEED)
    medians = sorted(statistics.median(dice.choices(pairs, k=len(pairs))) for _ in range(RESAMPLED))
    edge = round((1 - CONFIDENCE) / 2 * RESAMPLED)
    return Ratio(statistics.median(pairs), medians[edge], medians[-1 - edge])


def compared(results: Sequence[Measured]) -> list[dict[str, Any]]:
    """One entry a case, connections and service: medians, and ratios to the base where it was measured."""
    bases = {(one.case, one.connections): one for one in results if one.service == BASE}
    entries = []
    for one in results:
        base = bases.get((one.case, one.connections))
        figures = {name: one.median(name) for name in ("requests_per_second", "service_us", "database_us", "p99_ms")}
        ratios = {} if base is None else {name: asdict(ratio(one, base, name)) for name in figures}
        entries.append(
            {"case": one.case, "connections": one.connections, "service": one.service, **figures, "ratios": ratios}
        )
    return entries
