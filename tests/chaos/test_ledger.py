"""The ledger and the tally see every fault that they are there for."""

from __future__ import annotations

import json

import pytest

from chaos.client import Answer, Broken, Hung
from chaos.ledger import Fate, Ledger
from chaos.report import curve
from chaos.tally import Tally

GOOD = {
    "type": "urn:x", "title": "Away", "status": 503, "detail": "away", "instance": "/x", "code": "database_unavailable",
    "request_id": "1", "retryable": True, "outcome": "none", "errors": [],
}  # fmt: skip


def problem(status: int = 503, **changes: object) -> Answer:
    headers = {"content-type": "application/problem+json", "retry-after": "1"}
    return Answer(status, headers, json.dumps({**GOOD, "status": status, **changes}).encode(), 0.0)


def test_what_the_database_may_hold() -> None:
    ledger = Ledger()
    for fate in Fate:
        ledger.settle(ledger.refs(2), fate)
    for unknown in ([], [(5, 1), (6, 1)]):
        verdict = ledger.check([(1, 1), (2, 1), *unknown])
        assert not verdict.faults
        assert (verdict.acknowledged, verdict.unknown) == (2, 2)


@pytest.mark.parametrize(
    ("stored", "faults"),
    [
        ([], {"lost": [1, 2]}),
        ([(1, 1)], {"lost": [2], "halves": [1]}),
        ([(1, 1), (2, 1), (2, 1)], {"doubled": [2]}),
        ([(1, 1), (2, 1), (3, 1), (4, 1)], {"applied though denied": [3, 4]}),
        ([(1, 1), (2, 1), (6, 1)], {"halves": [5]}),
        ([(1, 1), (2, 1), (99, 1)], {"written by nobody": [99]}),
        ([(1, 1), (2, 7)], {"lost": [2]}),
    ],
)
def test_what_it_may_not_hold(stored: list[tuple[int, int]], faults: dict[str, list[int]]) -> None:
    ledger = Ledger()
    for fate in Fate:
        ledger.settle(ledger.refs(2), fate)
    assert ledger.check(stored).faults == faults


def test_versions_of_a_row() -> None:
    ledger = Ledger()
    refs = ledger.refs(1)
    ledger.settle(refs, Fate.ACKNOWLEDGED)
    ledger.settle(refs, Fate.ACKNOWLEDGED, before=1, after=2)
    assert ledger.check([(1, 1)]).lost == [1]
    ledger.settle(refs, Fate.NONE, before=2, after=3)
    assert ledger.check([(1, 3)]).denied == [1]
    ledger.settle(refs, Fate.UNKNOWN, before=2, after=0)
    assert not ledger.check([]).faults
    assert not ledger.check([(1, 2)]).faults
    ledger.settle(refs, Fate.ACKNOWLEDGED, before=2, after=0)
    assert ledger.check([(1, 2)]).lost == [1]


def test_answers_as_promised() -> None:
    tally = Tally()
    assert tally.count("x", Answer(200, {}, b"{}", 0.0), (200,)) is Fate.ACKNOWLEDGED
    assert tally.count("x", problem(422), (422,)) is Fate.NONE
    assert tally.count("x", problem(), (200,)) is Fate.NONE
    assert tally.count("x", problem(504, outcome="unknown"), (200,)) is Fate.UNKNOWN
    tally.breaking += 1
    assert tally.failed("x", Broken("reset")) is Fate.UNKNOWN
    assert not tally.complaints
    assert tally.calls == 5


@pytest.mark.parametrize(
    "answer",
    [
        Answer(201, {}, b"{}", 0.0),
        Answer(503, {}, b"upstream failed", 0.0),
        Answer(503, {"content-type": "application/json", "retry-after": "1"}, problem().body, 0.0),
        Answer(503, {"content-type": "application/problem+json"}, problem().body, 0.0),
        problem(outcome="unknown"),
        problem(422),
        problem(500),
        problem(detail="INSERT INTO entry"),
        problem(detail="postgresql://me:secret@localhost"),
    ],
)
def test_answers_that_are_not(answer: Answer) -> None:
    tally = Tally()
    tally.count("x", answer, (200,))
    assert tally.complaints


def test_no_answer() -> None:
    tally = Tally()
    tally.failed("x", Broken("without a cause"))
    tally.failed("x", Hung("for ever"))
    assert tally.hung == 1
    assert tally.complaints.total() == 2


def test_the_curve_begins_at_zero() -> None:
    assert curve([50, 100]) == "▅█"
    assert len(curve([1.0] * 1000, width=60)) <= 60
    assert curve([]) == ""
