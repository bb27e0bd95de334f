"""/metrics: what is counted, under which names, and that workers add up whatever happens to one of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from record_shop import assert_problem, running, write_files
from server_process import Server, start
from sqlwright.config import Settings
from sqlwright.tuning.statistics import BUCKETS

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def named(samples: Samples) -> set[str]:
    """Every query that has a line."""
    return {dict(labels)["query"] for _, labels in samples if "query" in dict(labels)}


async def scraped(client: httpx.AsyncClient) -> Samples:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    return read(response.text)


async def test_calls_rows_and_durations(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        assert (await client.get("/queries/artists/all")).status_code == 200
    samples = await scraped(client)
    assert value(samples, "sqlwright_query_calls_total", query="artists.all") == 3
    assert value(samples, "sqlwright_query_rows_total", query="artists.all") == 15
    assert value(samples, "sqlwright_query_duration_seconds_count", query="artists.all") == 3
    assert value(samples, "sqlwright_query_duration_seconds_bucket", query="artists.all", le="+Inf") == 3
    total = value(samples, "sqlwright_query_duration_seconds_sum", query="artists.all")
    database = value(samples, "sqlwright_query_database_seconds_total", query="artists.all")
    assert 0 < database < total
    assert value(samples, "sqlwright_pool_wait_seconds_count", pool="reader") == 3
    bounds = {
        float(dict(labels)["le"]) for name, labels in samples if name == "sqlwright_query_duration_seconds_bucket"
    }
    assert bounds == {*BUCKETS, float("inf")}


async def test_errors_by_code(client: httpx.AsyncClient) -> None:
    await client.get("/queries/artists/get?artist_id=99")
    await client.get("/queries/artists/get?artist_id=x")
    await client.get("/queries/artists/get?artist_id=y")
    await client.get("/queries/artists/two")
    await client.get("/queries/artists/add")
    await client.get("/queries/artists/get?artist_id=1")
    samples = await scraped(client)
    assert value(samples, "sqlwright_query_errors_total", query="artists.get", code="no_row") == 1
    assert value(samples, "sqlwright_query_errors_total", query="artists.get", code="invalid_parameters") == 2
    assert value(samples, "sqlwright_query_errors_total", query="artists.two", code="more_than_one_row") == 1
    assert value(samples, "sqlwright_query_errors_total", query="artists.add", code="method_not_allowed") == 1
    assert value(samples, "sqlwright_query_calls_total", query="artists.get") == 4


async def test_what_callers_make_up_becomes_no_label(client: httpx.AsyncClient) -> None:
    before = await scraped(client)
    for path in ("/queries/made/up", "/queries/artists/wipe", "/queries/artists", "/tables/made_up", "/made/up", "/"):
        await client.get(path)
    await client.get("/queries/artists/all", headers={"Host": "evil.example"})
    assert named(await scraped(client)) == named(before) == set()


async def test_tables_and_transactions_have_fixed_names(settings: Settings) -> None:
    async with running(settings.model_copy(update={"tables": ("artist",)})) as client:
        for key in (1, 2, 99):
            await client.get(f"/tables/artist/{key}")
        await client.get("/tables/artist?rating__gt=3&sort=-name&limit=2")
        await client.post("/tables/artist", json={"artist_id": 50, "name": "New"})
        await client.patch("/tables/artist/50", json={"name": "Newer"})
        await client.post("/transaction", json={"steps": [{"query": "artists.all", "params": {}}]})
        await client.post("/transaction", json={"steps": []})
        samples = await scraped(client)
    assert value(samples, "sqlwright_query_calls_total", query="tables.artist.get") == 3
    assert value(samples, "sqlwright_query_errors_total", query="tables.artist.get", code="no_row") == 1
    assert value(samples, "sqlwright_query_rows_total", query="tables.artist.list") == 2
    assert value(samples, "sqlwright_query_calls_total", query="tables.artist.create") == 1
    assert value(samples, "sqlwright_query_calls_total", query="tables.artist.update") == 1
    assert value(samples, "sqlwright_query_calls_total", query="transaction") == 2


async def test_a_failed_call_has_its_times(settings: Settings) -> None:
    """What was spent in the database until it failed counts, too."""
    async with running(settings) as client:
        await client.get("/queries/artists/two")
        samples = await scraped(client)
    assert value(samples, "sqlwright_query_database_seconds_total", query="artists.two") > 0


async def test_openmetrics_where_it_is_accepted(client: httpx.AsyncClient) -> None:
    await client.get("/queries/artists/all")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"}
    response = await client.get("/metrics", headers=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(response.text)}
    assert families["sqlwright_query_calls"].type == "counter"
    assert families["sqlwright_query_duration_seconds"].type == "histogram"
    plain = await client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")


async def test_pools_and_requests(client: httpx.AsyncClient) -> None:
    await client.get("/queries/artists/all")
    samples = await scraped(client)
    assert value(samples, "sqlwright_pool_size", pool="reader") >= 1
    assert ("sqlwright_pool_idle", frozenset({("pool", "reader")})) in samples
    assert value(samples, "sqlwright_pool_waiting", pool="reader") == 0
    assert value(samples, "sqlwright_requests_in_flight") == 1  # this one
    assert value(samples, "sqlwright_workers") == 1


async def test_the_guard_holds(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/metrics", headers={"Host": "evil.example"}), 403, "host_not_allowed")
    assert_problem(await client.get("/metrics", headers={"Origin": "https://evil.example"}), 403, "origin_not_allowed")
    assert_problem(await client.post("/metrics"), 405, "method_not_allowed")
    head = await client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")


async def test_two_applications_do_not_meet(settings: Settings) -> None:
    async with running(settings) as one, running(settings) as other:
        await one.get("/queries/artists/all")
        assert value(await scraped(one), "sqlwright_query_calls_total", query="artists.all") == 1
        assert named(await scraped(other)) == set()


async def test_a_call_that_is_given_up_counts(settings: Settings) -> None:
    from sqlwright.http.app import create_app

    app = create_app(settings)
    async with running(app=app) as client:
        await client.get("/queries/artists/all")
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def receive() -> dict[str, object]:
            await never  # a body that does not come
            return {}

        async def send(_: object) -> None:
            raise AssertionError("nothing is sent")

        scope = {
            "type": "http", "method": "POST", "path": "/queries/artists/all", "query_string": b"", "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")],
        }  # fmt: skip
        call = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert value(await scraped(client), "sqlwright_requests_in_flight") == 2
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        samples = await scraped(client)
    assert value(samples, "sqlwright_requests_in_flight") == 1
    assert value(samples, "sqlwright_query_errors_total", query="artists.all", code="cancelled") == 1
    assert value(samples, "sqlwright_query_calls_total", query="artists.all") == 2


async def test_a_reloaded_query_goes_on(settings: Settings) -> None:
    async with running(settings.model_copy(update={"reload": True})) as client:
        await client.get("/queries/artists/all")
        changed = "SELECT artist_id FROM artist WHERE artist_id = 1\n"
        write_files(settings.queries, {"artists/all.sql": changed})
        for _ in range(200):
            answer = await client.get("/queries/artists/all")
            if answer.json()["data"] == [{"artist_id": 1}]:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the file was not reloaded")
        calls = value(await scraped(client), "sqlwright_query_calls_total", query="artists.all")
        await client.get("/queries/artists/all")
        assert value(await scraped(client), "sqlwright_query_calls_total", query="artists.all") == calls + 1
        assert calls >= 2


# --- workers ----------------------------------------------------------------------------------------------------

WORKERS = 2


def call(server: Server, times: int) -> None:
    """A connection a call, so that they are spread over the workers."""
    for _ in range(times):
        assert server.get("/queries/one").status_code == 200


def calls(server: Server) -> float:
    return value(read(server.get("/metrics").text), "sqlwright_query_calls_total", query="one")


def workers_of(server: Server) -> set[int]:
    """Processes whose parent is the server."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[1]) == server.process.pid and after_name[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def until_workers(server: Server, *, without: set[int]) -> None:
    """Until there are as many as there should be, none of them in `without`, and all have begun."""

    def alive() -> bool:
        present = workers_of(server)
        if len(present) != WORKERS or present & without:
            return False
        return value(read(server.until("/metrics", 200).text), "sqlwright_workers") == WORKERS

    for _ in range(300):
        if alive():
            return
        asyncio.run(asyncio.sleep(0.1))
    raise AssertionError(f"{workers_of(server)} serve\n{server.errors}")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_workers_add_up_whatever_happens_to_one(sqlite_url: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", {"one.sql": "-- :result :value\nSELECT 1 AS one\n"})
    with start("granian", sqlite_url, folder, workers=WORKERS, log_calls=False) as server:
        server.until("/readyz", 200)
        until_workers(server, without=set())
        call(server, 40)
        # Whichever worker answers, the sum is the same.
        assert {calls(server) for _ in range(20)} == {40}

        first = workers_of(server)
        os.kill(min(first), signal.SIGKILL)
        until_workers(server, without={min(first)})
        assert {calls(server) for _ in range(10)} == {40}
        call(server, 20)
        assert {calls(server) for _ in range(20)} == {60}

        before = workers_of(server)
        server.process.send_signal(signal.SIGHUP)
        server.until_told("replacing the workers")
        until_workers(server, without=before)
        assert {calls(server) for _ in range(10)} == {60}
        call(server, 20)
        assert {calls(server) for _ in range(20)} == {80}
        samples = read(server.get("/metrics").text)
        assert value(samples, "sqlwright_query_duration_seconds_count", query="one") == 80
        assert re.search(r"^sqlwright_requests_in_flight 1\.0$", server.get("/metrics").text, re.MULTILINE)
        assert server.stop() == 0


async def test_calls_that_ran_together(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlwright.engines.measured.DEAR_SECONDS", 10.0)  # whatever the machine does besides
    monkeypatch.setattr("sqlwright.engines.measured.BUDGET_SECONDS", 10.0)
    slow = "-- name: slow$\n-- @param n int\nSELECT count(*) + :n AS n FROM generate_series(1, 2000) a;"
    queries = write_files(tmp_path / "queries", {"slow.sql": slow})
    async with running(Settings(database_url=postgresql_url, queries=queries, log_calls=False)) as client:
        for _ in range(2):
            answers = await asyncio.gather(*(client.get(f"/queries/slow?n={n}") for n in range(40)))
            assert [answer.json() for answer in answers] == [{"value": 2000 + n} for n in range(40)]
        samples = await scraped(client)
    calls, batched, statements = (
        value(samples, f"sqlwright_query_{what}_total", query="slow")
        for what in ("calls", "batched_calls", "statements")
    )
    assert calls == 80
    assert 0 < batched < 80
    assert 80 - batched < statements < 80
