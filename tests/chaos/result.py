"""What a run found, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.ledger import Verdict
from chaos.processes import Footprint


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault that was tried."""

    name: str
    promise: float
    recovered: float
    """Seconds from the end of its cause to good calls everywhere."""
    complaints: int

    @property
    def survived(self) -> bool:
        return self.recovered <= self.promise and not self.complaints


@dataclass(frozen=True, slots=True)
class OverloadResult:
    """What `overload.Held` tells, and which promises it breaks."""

    engine: str
    seconds: float
    goodput: float
    accepted_p99_seconds: float
    recovery_seconds: float
    capacity: float
    shed_p50_seconds: float
    statuses: dict[str, int]
    complaints: list[str]

    @property
    def passed(self) -> bool:
        return not self.complaints

    @property
    def line(self) -> str:
        return (
            f"three times {self.capacity:.0f} calls/s for {self.seconds:g} s: goodput {self.goodput:.2f} of the"
            f" capacity, p99 {self.accepted_p99_seconds:.2f} s, half of the refusals in"
            f" {self.shed_p50_seconds * 1000:.0f} ms, recovered in {self.recovery_seconds:.2f} s"
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "line": self.line}


@dataclass(frozen=True, slots=True)
class ChaosResult:
    engine: str
    seed: int
    seconds: float
    answers: dict[str, dict[str, int]]
    """Kind of call → what became of it → how many."""
    codes: dict[str, int]
    walks: int
    """Pages that were walked from the first to the last."""
    bad_inputs: int
    internal: int
    hung: int
    faults: list[Struck]
    before: Footprint
    after: Footprint
    verdict: Verdict
    complaints: dict[str, int]

    @property
    def passed(self) -> bool:
        return not self.complaints and not self.verdict.faults and all(fault.survived for fault in self.faults)

    def line(self, overload: OverloadResult | None = None) -> str:
        """The last line of the table of reliability, for one engine."""
        survived = sum(fault.survived for fault in self.faults)
        held = "not measured" if overload is None else f"{overload.goodput:.2f}"
        return (
            f"load held {held} / faults survived {survived} of {len(self.faults)}"
            f" / bad inputs {self.bad_inputs:,}, 5xx {self.internal}"
            f" / acknowledged {self.verdict.acknowledged:,}, lost {len(self.verdict.lost)}"
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, slots=True)
class SoakResult:
    engine: str
    seed: int
    calls: int
    seconds: float
    before: Footprint
    """When it was warm."""
    after: Footprint
    samples: list[float]
    """Resident memory of the largest worker in MB, over time."""
    verdict: Verdict
    complaints: dict[str, int] = field(default_factory=dict)

    @property
    def growth(self) -> float:
        return self.after.rss_mb / self.before.rss_mb - 1

    @property
    def passed(self) -> bool:
        return not self.complaints and not self.verdict.faults

    @property
    def line(self) -> str:
        return (
            f"{self.calls:,} calls in {self.seconds:.0f} s:"
            f" memory {self.before.rss_mb:.1f} → {self.after.rss_mb:.1f} MB ({self.growth:+.1%})"
            f", threads {self.before.threads} → {self.after.threads},"
            f" descriptors {self.before.descriptors} → {self.after.descriptors}"
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "line": self.line}
