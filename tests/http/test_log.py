"""The log: JSON for programs, text for people, nothing of a caller's can forge a line."""

from __future__ import annotations

import io
import json

import pytest

from sqlwright.config import Settings
from sqlwright.errors import StatementFailed
from sqlwright.http.exchange import Exchange, request_ids
from sqlwright.http.log import Log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def exchange(path: str = "/queries/artists/all", status: int = 200) -> Exchange:
    scope = {"method": "GET", "path": path, "query_string": b"a=hidden", "headers": []}
    made = Exchange(scope, request_ids())
    made.query, made.status, made.rows = "artists.all", status, 3
    return made


def test_json_where_nobody_looks() -> None:
    stream = io.StringIO()
    Log(Settings(), stream).call(exchange(), 0.0123)
    line = json.loads(stream.getvalue())
    assert (line["query"], line["status"], line["rows"], line["total_ms"]) == ("artists.all", 200, 3, 12.3)
    assert line["time"].endswith("+00:00")
    assert "hidden" not in stream.getvalue()


def test_colours_in_a_terminal() -> None:
    stream = Terminal()
    Log(Settings(), stream).call(exchange(), 0.0123)
    assert "\033[32m200" in stream.getvalue()
    assert "3 rows" in stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_the_format_can_be_chosen(stream: io.StringIO) -> None:
    Log(Settings(log_format="json"), stream).call(exchange(), 0.0)
    json.loads(stream.getvalue())
    text = io.StringIO()
    Log(Settings(log_format="text"), text).call(exchange(), 0.0)
    assert "\033" not in text.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_a_path_writes_no_lines_of_its_own(stream: io.StringIO) -> None:
    Log(Settings(), stream).call(exchange("/a\n2026 forged\r\033[2J\x85\u2028"), 0.0)
    written = stream.getvalue()
    assert len(written.splitlines()) == 1
    assert "\033[2J" not in written


def test_what_the_database_said_is_in_the_log() -> None:
    stream = io.StringIO()
    failed = exchange(status=500)
    failed.error = StatementFailed("no", native_code="42P01", native_message="relation is missing")
    Log(Settings(), stream).call(failed, 0.0)
    assert json.loads(stream.getvalue())["cause"] == "42P01 relation is missing"


def test_probes_and_silence() -> None:
    stream = io.StringIO()
    Log(Settings(), stream).call(exchange("/livez"), 0.0)
    Log(Settings(log_calls=False), stream).call(exchange(), 0.0)
    assert stream.getvalue() == ""
    Log(Settings(), stream).call(exchange("/readyz", status=503), 0.0)
    assert json.loads(stream.getvalue())["status"] == 503


def test_a_closed_log_stops_nothing() -> None:
    stream = io.StringIO()
    log = Log(Settings(), stream)
    stream.close()
    log.call(exchange(), 0.0)
