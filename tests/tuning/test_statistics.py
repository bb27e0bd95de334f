"""What calls took: counted by processes that come and go, added up without losing or repeating any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlwright.tuning import statistics
from sqlwright.tuning.statistics import BUCKETS, Histogram, PoolGauge, Statistics, cumulated, quantile

INFINITY = float("inf")

COUNTING = """
import sys
from pathlib import Path
from sqlwright.tuning.statistics import PoolGauge, Statistics
counting = Statistics(Path(sys.argv[1]))
counting.begin()
counting.pool("reader", PoolGauge(4, 3, 2))
for number in range(int(sys.argv[2])):
    counting.call("shared", 0.003, rows=2, code="no_row" if number % 2 else None)
    counting.call(f"own.{number}", 0.003)
print("counted", flush=True)
sys.stdin.read()
"""


@contextmanager
def counting_process(folder: Path, calls: int) -> Iterator[subprocess.Popen[str]]:
    """A worker that has counted, and lives until it is killed or told to end."""
    command = [sys.executable, "-c", COUNTING, str(folder), str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        yield process
        if process.poll() is None:
            process.communicate("")


def test_calls_are_told_apart_by_name_and_code() -> None:
    counted = Statistics()
    counted.call("a", 0.002, rows=3, waited_seconds=0.5, database_seconds=0.25)
    counted.call("a", 100.0, code="statement_timeout")
    counted.call("b", 0.0, code="no_row")
    counted.waited("reader", 0.5)
    totals = counted.totals()
    assert (totals.calls["a"].durations.count, totals.calls["a"].rows) == (2, 3)
    assert totals.calls["a"].durations.seconds == pytest.approx(100.002)
    assert (totals.calls["a"].waited_seconds, totals.calls["a"].database_seconds) == (0.5, 0.25)
    assert totals.calls["a"].errors == {"statement_timeout": 1}
    assert totals.calls["b"].errors == {"no_row": 1}
    assert totals.waits["reader"].count == 1


@pytest.mark.parametrize("bound", BUCKETS)
def test_a_bound_belongs_to_its_bucket(bound: float) -> None:
    counted = Statistics()
    counted.call("a", bound)
    below = cumulated(counted.totals().calls["a"].durations)
    assert {limit for limit, count in below.items() if count} == {b for b in [*BUCKETS, INFINITY] if b >= bound}


def test_statistics_in_one_process_do_not_meet() -> None:
    one, other = Statistics(), Statistics()
    one.call("a", 0.1)
    assert other.totals().calls == {}


def test_workers_add_up(tmp_path: Path) -> None:
    mine = Statistics(tmp_path / "statistics")
    mine.begin()
    mine.call("shared", 0.003)
    with counting_process(tmp_path / "statistics", 5), counting_process(tmp_path / "statistics", 7):
        totals = mine.totals()
        assert totals.calls["shared"].durations.count == 1 + 5 + 7
        assert totals.calls["shared"].errors == {"no_row": 2 + 3}
        assert totals.calls["own.4"].durations.count == 2
        assert totals.calls["own.6"].durations.count == 1
        assert (totals.workers, totals.requests) == (3, 3)
        assert totals.pools["reader"] == PoolGauge(8, 6, 4)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_died_is_followed_by_another(tmp_path: Path, end: int) -> None:
    folder = tmp_path / "statistics"
    mine = Statistics(folder)
    for round in range(1, 4):
        with counting_process(folder, 5) as process:
            assert mine.totals().calls["shared"].durations.count == 5 * round
            process.send_signal(end)
            process.wait()
        totals = mine.totals()
        assert totals.calls["shared"].durations.count == 5 * round
        assert totals.calls["shared"].rows == 10 * round
        # What was true of the dead is not counted among the living, and nobody inherits it.
        assert (totals.workers, totals.requests, totals.pools) == (1, 0, {})
    assert len(list(folder.glob("*.names"))) == 2


def test_a_worker_inherits_no_requests_in_flight(tmp_path: Path) -> None:
    with counting_process(tmp_path, 1) as process:
        process.kill()
        process.wait()
    totals = Statistics(tmp_path).totals()
    assert (totals.requests, totals.calls["shared"].durations.count) == (0, 1)


def test_one_that_is_closed_leaves_its_place(tmp_path: Path) -> None:
    first = Statistics(tmp_path)
    first.call("a", 0.1)
    first.close()
    first.call("a", 0.1)  # too late to be seen, and not in the way of who comes next
    second = Statistics(tmp_path)
    second.call("a", 0.1)
    assert second.totals().calls["a"].durations.count == 2
    assert len(list(tmp_path.glob("*.names"))) == 1


def test_a_name_that_was_being_written_is_none(tmp_path: Path) -> None:
    first = Statistics(tmp_path)
    first.call("whole", 0.1)
    first.close()
    with (tmp_path / "0.names").open("ab") as names:
        names.write(b'["query", "ha')
    assert set(Statistics(tmp_path / "other").totals().calls) == set()
    second = Statistics(tmp_path)
    second.call("next", 0.1)
    third = Statistics(tmp_path)
    for totals in (second.totals(), third.totals()):
        assert {name: calls.durations.count for name, calls in totals.calls.items()} == {"whole": 1, "next": 1}


def test_many_names(tmp_path: Path) -> None:
    """More than are mapped at once, with characters of all kinds."""
    counted = Statistics(tmp_path)
    names = [f"näme\n{number}\U0001f3b5" for number in range(3000)]
    for name in names:
        counted.call(name, 0.1, rows=1)
    counted.call(names[0], 0.1, rows=1)
    for totals in (counted.totals(), Statistics(tmp_path).totals()):
        assert set(totals.calls) == set(names)
        assert totals.calls[names[0]].rows == 2
        assert totals.calls[names[-1]].rows == 1


def test_names_have_a_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(statistics, "NAMES_MAX", 3)
    for _ in range(2):  # the second has the names of the first
        counted = Statistics(tmp_path)
        for number in range(10):
            counted.call(f"q{number}", 0.1, code="no_row")
        counted.close()
    totals = Statistics(tmp_path).totals()
    assert set(totals.calls) == {"q0", "q1", "q2", statistics.OTHERS}
    assert totals.calls[statistics.OTHERS].durations.count == 14
    assert totals.calls[statistics.OTHERS].errors == {"no_row": 14}


def test_a_full_disk_stops_no_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted = Statistics(tmp_path)
    counted.call("before", 0.1)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", full)
        counted.call("meanwhile", 0.1)
    counted.call("after", 0.1)
    seen = counted.totals().calls
    assert {name: calls.durations.count for name, calls in seen.items()} == {"before": 1, "meanwhile": 1, "after": 1}
    others = Statistics(tmp_path).totals().calls
    assert {name: calls.durations.count for name, calls in others.items()} == {"before": 1, "after": 1}


def test_quantiles_of_nothing() -> None:
    assert quantile([], 0.5) is None
    assert quantile([(0.1, 0), (INFINITY, 0)], 0.5) is None


def test_quantiles_inside_a_bucket() -> None:
    buckets = [(1.0, 10), (2.0, 20), (INFINITY, 20)]
    assert quantile(buckets, 0.5) == pytest.approx(1.0)
    assert quantile(buckets, 0.25) == pytest.approx(0.5)
    assert quantile(buckets, 0.75) == pytest.approx(1.5)
    assert quantile([(1.0, 0), (2.0, 0), (INFINITY, 4)], 0.99) == 2.0  # at least that


@given(st.lists(st.floats(0, 40), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_in_the_bucket_of_the_true_one(durations: list[float], part: float) -> None:
    histogram = Histogram()
    counted = Statistics()
    for duration in durations:
        counted.call("a", duration)
    histogram = counted.totals().calls["a"].durations
    found = quantile(cumulated(histogram).items(), part)
    true = sorted(durations)[max(0, -(-round(part * len(durations) * 1e9) // 10**9) - 1)]
    bounds = [0.0, *BUCKETS]
    lower = max(bound for bound in bounds if bound < true or bound == 0)
    upper = min((bound for bound in BUCKETS if bound >= true), default=BUCKETS[-1])
    assert found is not None
    assert lower <= found <= upper + 1e-9
