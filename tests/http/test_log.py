"""The log: JSON for programs, text for people, nothing of a caller's can forge a line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from record_shop import running
from sqlwright.config import Settings
from sqlwright.errors import StatementFailed
from sqlwright.http.app import create_app
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
    Log(Settings(log_calls=True), stream).call(exchange(), 0.0123)
    line = json.loads(stream.getvalue())
    assert (line["query"], line["status"], line["rows"], line["total_ms"]) == ("artists.all", 200, 3, 12.3)
    assert line["time"].endswith("+00:00")
    assert "hidden" not in stream.getvalue()


def test_only_what_failed_where_nobody_looks() -> None:
    stream = io.StringIO()
    for status in (200, 201, 204, 304):
        Log(Settings(), stream).call(exchange(status=status), 0.0)
    assert stream.getvalue() == ""
    for status in (0, 404, 422, 500):
        Log(Settings(), stream).call(exchange(status=status), 0.0)
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == [0, 404, 422, 500]


def test_colours_in_a_terminal() -> None:
    stream = Terminal()
    Log(Settings(), stream).call(exchange(), 0.0123)
    assert "\033[32m200" in stream.getvalue()
    assert "3 rows" in stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_the_format_can_be_chosen(stream: io.StringIO) -> None:
    Log(Settings(log_format="json", log_calls=True), stream).call(exchange(), 0.0)
    json.loads(stream.getvalue())
    text = io.StringIO()
    Log(Settings(log_format="text", log_calls=True), text).call(exchange(), 0.0)
    assert "\033" not in text.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_a_path_writes_no_lines_of_its_own(stream: io.StringIO) -> None:
    Log(Settings(log_calls=True), stream).call(exchange("/a\n2026 forged\r\033[2J\x85\u2028"), 0.0)
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


# --- slow calls -------------------------------------------------------------------------------------------------

SLOW = {"slow_ms": 0.001, "log_calls": False}


async def slow_lines(
    settings: Settings, path: str, body: object = None, **changed: object
) -> tuple[list[dict[str, Any]], str]:
    """What is written about one call: the slow lines as JSON has them, and all of it as text."""
    written = []
    for log_format in ("json", "text"):
        stream = io.StringIO()
        app = create_app(settings.model_copy(update={"log_format": log_format, **SLOW, **changed}))
        app.service.log = Log(app.service.settings, stream)  # type: ignore[attr-defined]
        async with running(app=app) as client:
            await (client.get(path) if body is None else client.post(path, json=body))
        written.append(stream.getvalue())
    lines = [json.loads(line) for line in written[0].splitlines()]
    return [line for line in lines if line["message"] == "slow call"], written[1]


async def test_a_slow_call_is_told_with_its_types(settings: Settings) -> None:
    lines, text = await slow_lines(settings, "/queries/artists/get?artist_id=3")
    (line,) = lines
    assert (line["level"], line["query"], line["rows"], line["status"]) == ("warning", "artists.get", 1, 200)
    assert set(line["parameters"]) == {"artist_id"}
    assert line["parameters"]["artist_id"] not in ("", "any")
    assert line["total_ms"] >= line["db_ms"] > 0
    assert line["queue_ms"] >= 0
    assert line["request_id"]
    assert "values" not in line
    assert text.count("slow: artists.get(artist_id ") == 1
    assert "3" not in text.partition(")")[0].partition("slow:")[2]
    assert "SELECT" not in str(lines) + text


async def test_values_only_in_development(settings: Settings) -> None:
    lines, text = await slow_lines(settings, "/queries/artists/find", {"name": "a\n\033[31m" + "x" * 1000}, reload=True)
    assert lines[0]["values"]["name"].startswith("'a\\n")
    assert len(lines[0]["values"]["name"]) < 200
    slow = [line for line in text.splitlines() if "slow:" in line]
    assert len(slow) == 1
    assert " = 'a" in slow[0]
    assert "\033" not in slow[0]


async def test_a_slow_bulk_call(settings: Settings) -> None:
    items = [{"artist_id": 1000 + number, "name": f"new {number}"} for number in range(50)]
    lines, text = await slow_lines(settings, "/queries/artists/add_many", items)
    assert set(lines[0]["parameters"]) == {"artist_id", "name"}
    assert "new 0" not in str(lines) + text


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/queries/artists/two", None, "more_than_one_row"),
        ("/queries/artists/get?artist_id=99", None, "no_row"),
        ("/queries/artists/add", {"artist_id": 1, "name": "again", "rating": 1}, "unique_violation"),
    ],
)
async def test_a_slow_call_that_failed(settings: Settings, path: str, body: object, code: str) -> None:
    lines, _ = await slow_lines(settings, path, body)
    (line,) = lines
    assert line["code"] == code
    assert line["db_ms"] > 0


async def test_slow_tables_and_transactions(settings: Settings) -> None:
    lines, _ = await slow_lines(settings, "/tables/artist/99", tables=("artist",))
    assert lines[0]["query"] == "tables.artist.get"
    assert lines[0]["db_ms"] > 0
    lines, _ = await slow_lines(
        settings, "/transaction", {"steps": [{"query": "artists.two", "params": {}}]}, tables=("artist",)
    )
    assert (lines[0]["query"], lines[0]["code"]) == ("transaction", "more_than_one_row")
    assert lines[0]["db_ms"] > 0


async def test_who_is_fast_or_asks_for_none_is_not_told(settings: Settings) -> None:
    for slow_ms in (0, 1_000_000):
        assert await slow_lines(settings, "/queries/artists/all", slow_ms=slow_ms) == ([], "")
    assert await slow_lines(settings, "/livez") == ([], "")


def test_a_slow_call_that_was_cancelled() -> None:
    stream = io.StringIO()
    late = exchange(status=0)
    late.database_seconds = 0.9
    Log(Settings(), stream).call(late, 1.0)
    slow, call = map(json.loads, stream.getvalue().splitlines())
    assert (slow["message"], slow["query"], slow["status"], slow["db_ms"]) == ("slow call", "artists.all", 0, 900)
    assert call["status"] == 0
