"""Which test shows which row of the reliability table, and the line that the suite ends with.

A row is a promise about one fault or one kind of bad input (`cases/reliability.json`). A test that shows it says so:

    @pytest.mark.reliability(19, 20)                    # on the engine that its fixtures name, else on any
    @pytest.mark.reliability(27, engine="sqlite")

and counts what it tried with the fixture `tally`. Both travel with the test's report, so they add up over xdist.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ENGINES = ("sqlite", "postgresql", "mysql")
ANY = "any"
_TABLE = Path(__file__).parent / "cases" / "reliability.json"
_KEY = "reliability"

Pair = tuple[str, str]
"""A row and an engine."""


@dataclass(frozen=True, slots=True)
class Row:
    number: str
    promise: str
    engines: tuple[str, ...]


def read_table() -> dict[str, Row]:
    return {
        entry["row"]: Row(entry["row"], entry["promise"], tuple(entry["engines"]))
        for entry in json.loads(_TABLE.read_text(encoding="utf-8"))
    }


class Tally:
    """What one test tried, for the last line."""

    def __init__(self, item: pytest.Item) -> None:
        self._counts: dict[str, int] = {}  # plain, for xdist
        self._loads: list[str] = []
        item.user_properties.append((f"{_KEY} counts", self._counts))
        item.user_properties.append((f"{_KEY} loads", self._loads))

    def inputs(self, row: int | str, tried: int, *, failed: int = 0, hung: int = 0) -> None:
        """Bad inputs: answered with a 5xx, or not at all."""
        self._count({f"inputs {row}": tried, "5xx": failed, "hangs": hung})

    def acknowledged(self, written: int, lost: int) -> None:
        """Writes that were answered with success, and those of them that are not in the database."""
        self._count({"acknowledged": written, "lost": lost})

    def _count(self, more: Mapping[str, int]) -> None:
        for name, count in more.items():
            self._counts[name] = self._counts.get(name, 0) + count

    def load(self, goodput: float) -> None:
        """Goodput under too much load, as a part of the capacity."""
        self._loads.append(f"{goodput:.2f}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    return Tally(request.node)


def mark(items: Iterable[pytest.Item], rows: Mapping[str, Row]) -> None:
    """Write into each test's report which rows it shows, on which engine."""
    for item in items:
        for marker in item.iter_markers(_KEY):
            engine = marker.kwargs.get("engine") or _engine_of(item)
            for number in map(str, marker.args):
                if number not in rows:
                    raise pytest.UsageError(f"{item.nodeid}: there is no row {number} in {_TABLE.name}")
                item.user_properties.append((_KEY, [number, engine]))


def _engine_of(item: pytest.Item) -> str:
    called = getattr(item, "callspec", None)
    values = [] if called is None else [value for value in called.params.values() if isinstance(value, str)]
    names = [name.removesuffix("_url").removesuffix("_server") for name in getattr(item, "fixturenames", ())]
    return next((word for word in (*values, *names) if word in ENGINES), ANY)


class Ledger:
    """The reports of one run, added up."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self._outcomes: dict[Pair, set[str]] = defaultdict(set)
        self.counts: Counter[str] = Counter()
        self.loads: list[str] = []

    def add(self, report: pytest.TestReport) -> None:
        properties = report.user_properties
        pairs = [(value[0], value[1]) for name, value in _all(properties) if name == _KEY]
        if report.when == "call" or report.outcome != "passed":
            for pair in pairs:
                self._outcomes[pair].add(report.outcome)
        if report.when == "teardown":  # once a test
            for name, value in _all(properties):
                if name == f"{_KEY} counts":
                    self.counts.update(value)
                elif name == f"{_KEY} loads":
                    self.loads += value

    def __bool__(self) -> bool:
        return bool(self._outcomes)

    def state(self, row: Row, engine: str) -> str:
        """`passed`, `failed`, `skipped`, or `not run`."""
        tried = (engine, ANY) if engine != ANY else (ANY, *ENGINES)
        outcomes = set().union(*(self._outcomes.get((row.number, one), set()) for one in tried))
        return next((word for word in ("failed", "passed", "skipped") if word in outcomes), "not run")

    def pairs(self) -> Iterator[tuple[Row, str, str]]:
        for row in self._rows.values():
            for engine in row.engines:
                yield row, engine, self.state(row, engine)

    def line(self) -> str:
        states = [state for _, _, state in self.pairs()]
        tried = sum(count for name, count in self.counts.items() if name.startswith("inputs "))
        return (
            f"load held {', '.join(self.loads) or 'not measured'}"
            f" / faults survived {states.count('passed')} of {len(states)}"
            f" / bad inputs {tried:,}, 5xx {self.counts['5xx']}, hangs {self.counts['hangs']}"
            f" / acknowledged {self.counts['acknowledged']:,}, lost {self.counts['lost']}"
        )

    def table(self) -> list[str]:
        """A line a row that was tried: what is promised, and what became of it on each engine."""
        signs = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "not run": "-"}
        lines = []
        for row in self._rows.values():
            seen = {engine: self.state(row, engine) for engine in row.engines}
            if set(seen.values()) == {"not run"}:
                continue
            states = ", ".join(f"{engine} {signs[state]}" for engine, state in seen.items())
            tried = self.counts[f"inputs {row.number}"]
            lines.append(f"{row.number:>4}  {row.promise}: {states}" + (f" ({tried:,} inputs)" if tried else ""))
        return lines


def _all(properties: Any) -> Iterator[tuple[str, Any]]:
    yield from properties or ()
