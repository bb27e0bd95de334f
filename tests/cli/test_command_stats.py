"""`sqlwright stats` against a service over a socket, and what it makes of histograms."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from item_shop import Cli

from server_process import free_port, start
from sqlwright.cli.stats import read_stats

QUERIES = {
    "one.sql": "-- :result :value\nSELECT 1 AS one\n",
    "two.sql": "SELECT 1 AS n UNION ALL SELECT 2\n",
    "none.sql": "-- :result :one\nSELECT 1 AS n WHERE 1 = 0\n",
}


def write(folder: Path) -> Path:
    folder.mkdir()
    for name, text in QUERIES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_running_service(cli: Cli, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start("uvicorn", sqlite_url, write(tmp_path / "served")) as server:
        server.until("/readyz", 200)
        empty = cli("stats", "--url", server.url)
        assert (empty.code, empty.out, empty.err) == (0, "", "no query has been called yet\n")
        assert json.loads(cli("stats", "--url", server.url, "--json").out) == {"queries": []}

        for path, times in (("one", 3), ("two", 2), ("none", 1)):
            for _ in range(times):
                server.get(f"/queries/{path}")
        answer = cli("stats", "--url", server.url + "/", "--json", "--sort", "calls")
        assert answer.code == 0, answer.err
        found = json.loads(answer.out)["queries"]
        assert [(each["name"], each["calls"], each["errors"], each["rows"]) for each in found] == [
            ("one", 3, 0, 3),
            ("two", 2, 0, 4),
            ("none", 1, 1, 0),
        ]
        assert found[2]["errors_by_code"] == {"no_row": 1}
        assert sum(each["share"] for each in found) == pytest.approx(1)
        for each in found:
            assert each["mean_seconds"] == pytest.approx(each["total_seconds"] / each["calls"])
            assert 0 < each["p50_seconds"] <= each["p95_seconds"] <= each["p99_seconds"]

        # Without --url, the port of the settings.
        monkeypatch.setenv("SQLWRIGHT_PORT", str(server.port))
        table = cli("stats", "--sort", "errors").out.splitlines()
        assert table[0].split() == [
            "query",
            "calls",
            "statements",
            "errors",
            "rows",
            "mean",
            "p50",
            "p95",
            "p99",
            "total",
            "share",
        ]
        assert table[1].split()[:5] == ["none", "1", "1", "1", "0"]
        assert len(table) == 4


def test_nobody_there_is_3(cli: Cli) -> None:
    answer = cli("stats", "--url", f"http://127.0.0.1:{free_port()}")
    assert answer.code == 3
    assert answer.out == ""
    assert "no service answers at http://127.0.0.1:" in answer.err
    assert "hint: " in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "file:///etc/passwd", "http://"])
def test_what_is_no_url_is_2(cli: Cli, url: str) -> None:
    assert cli("stats", "--url", url).code == 2


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Somebody else's service."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"no"), (403, b"no"), (200, b"hello"), (200, b"sqlwright_ {{{ not metrics\n")]
)
def test_somebody_else_there_is_1(cli: Cli, status: int, body: bytes) -> None:
    with answering(status, body) as url:
        answer = cli("stats", "--url", url)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("sqlwright: ")
    assert "unexpected" not in answer.err


METRICS = """\
# TYPE sqlwright_query_calls_total counter
sqlwright_query_calls_total{query="slow"} 10
sqlwright_query_calls_total{query="fast"} 30
# TYPE sqlwright_query_errors_total counter
sqlwright_query_errors_total{query="slow",code="a"} 1
sqlwright_query_errors_total{query="slow",code="b"} 2
# TYPE sqlwright_query_duration_seconds histogram
sqlwright_query_duration_seconds_bucket{query="slow",le="1.0"} 0
sqlwright_query_duration_seconds_bucket{query="slow",le="2.5"} 10
sqlwright_query_duration_seconds_bucket{query="slow",le="+Inf"} 10
sqlwright_query_duration_seconds_sum{query="slow"} 20
sqlwright_query_duration_seconds_bucket{query="fast",le="1.0"} 30
sqlwright_query_duration_seconds_bucket{query="fast",le="2.5"} 30
sqlwright_query_duration_seconds_bucket{query="fast",le="+Inf"} 30
sqlwright_query_duration_seconds_sum{query="fast"} 5
"""


def test_figures() -> None:
    slow, fast = read_stats(METRICS)
    assert (slow.name, slow.calls, slow.errors, slow.errors_by_code) == ("slow", 10, 3, {"a": 1, "b": 2})
    assert (slow.mean_seconds, slow.total_seconds, slow.share) == (2.0, 20.0, 0.8)
    assert slow.p50_seconds == pytest.approx(1.75)
    assert fast.p95_seconds == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("sort", "first"), [("total", "slow"), ("mean", "slow"), ("p95", "slow"), ("calls", "fast"), ("errors", "slow")]
)
def test_the_largest_comes_first(cli: Cli, sort: str, first: str) -> None:
    with answering(200, METRICS.encode()) as url:
        answer = cli("stats", "--url", url, "--sort", sort)
    assert answer.out.splitlines()[1].split()[0] == first
