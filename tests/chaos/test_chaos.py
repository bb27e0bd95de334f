"""Short forms of `make chaos`: a handful of faults under load, and a soak, on every engine."""

from __future__ import annotations

import pytest

import mariadb_server
from chaos.drill import drill
from chaos.places import missing
from chaos.soak import soak
from reliability import ENGINES, Tally

SEED = 1
OF_A_SERVER = ("crash", "worker killed", "connections cut", "sessions ended")
OF_A_FILE = ("worker killed", "file locked", "clients leave", "checkpoint by another")
SOAK_CALLS = 4_000


@pytest.fixture
def possible(engine: str) -> None:
    if reason := missing(engine):
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)


@pytest.mark.usefixtures("possible")
@pytest.mark.parametrize(
    ("engine", "faults"),
    [
        pytest.param("sqlite", OF_A_FILE, marks=pytest.mark.reliability(39)),
        pytest.param("postgresql", OF_A_SERVER, marks=pytest.mark.reliability(20, 39)),
        pytest.param("mysql", OF_A_SERVER, marks=pytest.mark.reliability(20, 39)),
    ],
)
async def test_faults_under_load(engine: str, faults: tuple[str, ...], tally: Tally) -> None:
    result = await drill(engine, 0, SEED, names=faults)
    tally.acknowledged(result.verdict.acknowledged, len(result.verdict.lost))
    assert result.passed, (result.complaints, result.verdict.faults)
    assert [struck.name for struck in result.faults] == list(faults)
    assert result.verdict.acknowledged > 100
    assert result.walks > 3
    assert result.answers["failing transaction"]["refused"] > 3


@pytest.mark.reliability(37)
@pytest.mark.usefixtures("possible")
@pytest.mark.parametrize("engine", ENGINES)
async def test_many_calls_take_no_more_than_few(engine: str, tally: Tally) -> None:
    result = await soak(engine, SOAK_CALLS, SEED)
    tally.acknowledged(result.verdict.acknowledged, len(result.verdict.lost))
    assert result.passed, (result.line, result.complaints, result.verdict.faults)
    assert result.calls >= SOAK_CALLS
