"""What calls took, by the name of the query: counted at every call, added up over workers when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlwright.tuning.ledger import Ledger, Row

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds; one more bucket takes what is above."""
NAMES_MAX = 10_000
"""Names that are told apart. Reloading may bring new ones for ever."""
OTHERS = "(others)"

# Cells of a row: the buckets, then these.
_SECONDS = len(BUCKETS) + 1
_ROWS, _WAITED, _DATABASE, _BATCHED, _STATEMENTS = range(_SECONDS + 1, _SECONDS + 6)

# First words of keys.
_QUERY, _ERROR, _WAIT, _POOL, _REQUESTS = "query", "error", "wait", "pool", "requests"
_GAUGES = frozenset({_POOL, _REQUESTS})


@dataclass(slots=True)
class Histogram:
    """Durations: how many fell into each bucket (one more than BUCKETS), and their sum in seconds."""

    buckets: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return int(sum(self.buckets))

    def add(self, row: Sequence[float]) -> None:
        for number in range(len(self.buckets)):
            self.buckets[number] += row[number]
        self.seconds += row[_SECONDS]


@dataclass(slots=True)
class Calls:
    """All calls of one name."""

    durations: Histogram = field(default_factory=Histogram)
    """From the request to its answer."""
    rows: int = 0
    waited_seconds: float = 0.0
    database_seconds: float = 0.0
    batched: int = 0
    """Those that ran in one statement with others."""
    statements: float = 0.0
    """That they ran in: each call counts as its part of one."""
    errors: dict[str, int] = field(default_factory=dict)
    """By code."""


@dataclass(slots=True)
class PoolGauge:
    size: int = 0
    idle: int = 0
    waiting: int = 0


@dataclass(slots=True)
class Totals:
    """What all workers counted; pools, requests and workers are those of the living."""

    calls: dict[str, Calls] = field(default_factory=dict)
    waits: dict[str, Histogram] = field(default_factory=dict)
    """Waiting for a connection, by pool."""
    pools: dict[str, PoolGauge] = field(default_factory=dict)
    requests: int = 0
    """In flight."""
    workers: int = 0


class Statistics:
    """Counts the calls of this process. `folder` is shared by the workers of one service."""

    def __init__(self, folder: Path | None = None) -> None:
        self._ledger = Ledger(folder)
        self._calls: dict[str, Row] = {key[1]: row for key, row in self._ledger.items() if key[0] == _QUERY}
        self._waits: dict[str, Row] = {}
        self._forget_gauges()
        self._requests = self._ledger.row((_REQUESTS,))

    def _forget_gauges(self) -> None:
        """Those of a worker that had this place before: it has no connections any more."""
        for key, row in self._ledger.items():
            if key[0] in _GAUGES:
                for number in range(len(row)):
                    row[number] = 0.0

    def begin(self) -> None:
        """A request came."""
        self._requests[0] += 1

    def end(self) -> None:
        """It was answered, or will never be."""
        self._requests[0] -= 1

    def call(
        self,
        name: str,
        seconds: float,
        *,
        rows: int = 0,
        waited_seconds: float = 0.0,
        database_seconds: float = 0.0,
        together: int = 0,
        code: str | None = None,
    ) -> None:
        """Count a call that has ended; `code` is what it failed with, `together` how many calls its statement was for
        (0: there was none). Names must come from what is loaded."""
        row = self._calls.get(name)
        if row is None:
            name, row = self._first(name)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[_SECONDS] += seconds
        if rows:
            row[_ROWS] += rows
        row[_WAITED] += waited_seconds
        row[_DATABASE] += database_seconds
        if together == 1:
            row[_STATEMENTS] += 1
        elif together:
            row[_BATCHED] += 1
            row[_STATEMENTS] += 1 / together
        if code is not None:
            self._ledger.row((_ERROR, name, code))[0] += 1

    def _first(self, name: str) -> tuple[str, Row]:
        """The row of a name that has none yet, and what it is counted under."""
        if len(self._calls) >= NAMES_MAX:
            name = OTHERS
        row = self._calls[name] = self._ledger.row((_QUERY, name))
        return name, row

    def waited(self, pool: str, seconds: float) -> None:
        """Count the waiting for a connection of a pool."""
        row = self._waits.get(pool)
        if row is None:
            row = self._waits[pool] = self._ledger.row((_WAIT, pool))
        row[bisect_left(BUCKETS, seconds)] += 1
        row[_SECONDS] += seconds

    def pool(self, name: str, gauge: PoolGauge) -> None:
        """How a pool of this process is now."""
        row = self._ledger.row((_POOL, name))
        row[0], row[1], row[2] = gauge.size, gauge.idle, gauge.waiting

    def totals(self) -> Totals:
        """Added up over all workers. Reads files."""
        totals = Totals()
        for counted in self._ledger.counted():
            totals.workers += counted.alive
            for key, row in counted.rows.items():
                if counted.alive or key[0] not in _GAUGES:
                    _add(totals, key, row)
        return totals

    def close(self) -> None:
        """Leave what was counted to the worker that takes this one's place."""
        self._ledger.close()
        self._calls, self._waits = {}, {}
        self._requests = self._ledger.row((_REQUESTS,))


def _add(totals: Totals, key: Sequence[str], row: Sequence[float]) -> None:
    match key:
        case (str(kind), name) if kind == _QUERY:
            calls = totals.calls.setdefault(name, Calls())
            calls.durations.add(row)
            calls.rows += int(row[_ROWS])
            calls.waited_seconds += row[_WAITED]
            calls.database_seconds += row[_DATABASE]
            calls.batched += int(row[_BATCHED])
            calls.statements += row[_STATEMENTS]
        case (str(kind), name, code) if kind == _ERROR:
            errors = totals.calls.setdefault(name, Calls()).errors
            errors[code] = errors.get(code, 0) + int(row[0])
        case (str(kind), name) if kind == _WAIT:
            totals.waits.setdefault(name, Histogram()).add(row)
        case (str(kind), name) if kind == _POOL:
            gauge = totals.pools.setdefault(name, PoolGauge())
            gauge.size += int(row[0])
            gauge.idle += int(row[1])
            gauge.waiting += int(row[2])
        case _:
            totals.requests += int(row[0])


def quantile(buckets: Iterable[tuple[float, float]], part: float) -> float | None:
    """The value below which `part` (0 to 1) of all lie, None without any. `buckets` are upper bounds with cumulative
    counts, rising, as Prometheus has them.

    Inside a bucket values count as evenly spread; above the last finite bound that bound is all that is known.
    """
    known = sorted(buckets)
    if not known or known[-1][1] <= 0:
        return None
    wanted = part * known[-1][1]
    below, counted = 0.0, 0.0
    for bound, cumulative in known:
        if cumulative >= wanted and cumulative > counted:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (wanted - counted) / (cumulative - counted)
        below, counted = bound, cumulative
    return below


def cumulated(histogram: Histogram) -> Mapping[float, int]:
    """Counts of what is at most each bound, infinity the last."""
    total, found = 0, {}
    for bound, count in zip([*BUCKETS, float("inf")], histogram.buckets, strict=True):
        total += int(count)
        found[bound] = total
    return found
