"""The database is down when the service starts: alive, not ready, quick to say so, and ready as soon as it comes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_servers import OWN_SERVERS, OwnServer, PostgreSQL

import mariadb_server
from record_shop import run_script, write_files
from server_process import start

FILES = {"count.sql": "-- :result :value\nSELECT count(*) AS n FROM item\n"}
QUIET = {"log_calls": "false"}


@pytest.fixture(params=OWN_SERVERS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnServer]:
    if request.param == "mysql" and (reason := mariadb_server.missing()):
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)
    server = OWN_SERVERS[request.param](tmp_path / "server")
    asyncio.run(run_script(server.url, "CREATE TABLE item (n int PRIMARY KEY)"))
    yield server
    server.stop()


def take_down(server: OwnServer) -> None:
    if isinstance(server, PostgreSQL):
        server._control("-m", "fast", "stop")
    else:
        server._server.stop(signal.SIGTERM)  # type: ignore[attr-defined]


def timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


@pytest.mark.reliability(40)
@pytest.mark.parametrize("workers", [1, 3])
def test_it_comes_later(own_server: OwnServer, tmp_path: Path, workers: int) -> None:
    take_down(own_server)
    folder = write_files(tmp_path / "queries", FILES)
    # More connections than either server gives: not known now, told when it is.
    sizes = {"reader_pool_size": 400, "writer_pool_size": 400, "workers": workers}
    with start("granian", own_server.url, folder, **sizes, **QUIET) as server:
        assert server.until("/livez", 200).json() == {"status": "ok"}
        told = server.get("/readyz")
        assert told.status_code == 503
        assert told.json()["database"]["answers"] is False
        spent = []
        for _ in range(5):
            begun = time.monotonic()
            refused = server.get("/queries/count")
            spent.append(time.monotonic() - begun)
            assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
            assert refused.json()["retryable"] is True
            assert refused.headers["retry-after"]
        assert sorted(spent)[2] < 0.5
        own_server.restart(crashes=False)
        assert timed(lambda: server.until("/readyz", 200)) < 3
        assert server.get("/queries/count").json() == {"value": 0}
        server.until_told("connections, and the database gives this user")
        assert server.errors.count("gives this user") == 1
        assert "SQLWRIGHT_READER_POOL_SIZE" in server.errors
        assert server.stop() == 0


@pytest.mark.reliability(40)
def test_a_black_hole_does_not_hold_the_start(own_server: OwnServer, tmp_path: Path) -> None:
    """Stopped (SIGSTOP): it takes connections and says nothing."""
    folder = write_files(tmp_path / "queries", FILES)
    own_server.signal(signal.SIGSTOP)
    try:
        with start("granian", own_server.url, folder, connect_timeout_seconds=0.5, **QUIET) as server:
            server.until("/livez", 200)
            assert server.until("/readyz", 503).json()["database"]["answers"] is False
            assert server.get("/queries/count").status_code == 503
            own_server.signal(signal.SIGCONT)
            server.until("/readyz", 200)
            assert server.get("/queries/count").json() == {"value": 0}
            assert server.stop() == 0
    finally:
        own_server.signal(signal.SIGCONT)
