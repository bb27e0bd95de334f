"""Rows as they come: NDJSON and CSV. Over sockets: `tests/faults/test_streams_break.py`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from streamed_numbers import CSV, FAILS_AT, NDJSON, ROWS, SCHEMA, Reader, files, lent, schema, until, until_whole

import sqlwright
from record_shop import assert_problem, run_script, running, write_files
from reliability import Tally
from sqlwright.config import Settings
from sqlwright.http.app import create_app

LINES = {"accept": NDJSON.decode()}
TABLE = {"accept": CSV.decode()}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    asyncio.run(run_script(database_url, schema()))
    queries = write_files(tmp_path / "queries", files(database_url))
    return Settings(database_url=database_url, queries=queries, tables=("*",), log_calls=False, reader_pool_size=3)


@pytest.fixture
def app(settings: Settings) -> Any:
    return create_app(settings)


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app=app) as client:
        yield client
        await until_whole(app)


async def pages(client: httpx.AsyncClient, path: str) -> list[str]:
    """The rows of all pages, each as it is written there."""
    rows: list[str] = []
    url: str | None = path
    while url is not None:
        answer = await client.get(url)
        text = answer.text
        rows += text[text.index("[") + 1 : text.rindex("]")].replace("},{", "}\n{").split("\n")
        url = answer.links["next"]["url"] if "next" in answer.links else None
    return rows


async def test_lines_are_the_rows_of_the_pages(client: httpx.AsyncClient, app: Any) -> None:
    expected = await pages(client, "/queries/numbers/all")
    answer = await client.get("/queries/numbers/all", headers=LINES)
    assert answer.text.split("\n") == [*expected, ""]
    assert len(expected) == ROWS
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert (await client.post("/queries/numbers/all", json={}, headers=LINES)).text == answer.text
    reader = Reader("all", NDJSON)
    assert await reader.read(app) == answer.text
    assert [message["type"] for message in reader.sent[:2]] == ["http.response.start", "http.response.body"]
    assert len(reader.sent) > 5
    assert reader.is_complete
    for name in ("server-timing", "x-request-id", "cache-control", "x-content-type-options", "vary"):
        assert name in answer.headers
    assert (await client.get("/queries/numbers/all")).headers["vary"] == "accept"


async def test_csv_has_the_same_values(client: httpx.AsyncClient) -> None:
    rows = [json.loads(row, parse_float=str, parse_int=str) for row in await pages(client, "/queries/numbers/all")]
    answer = await client.get("/queries/numbers/all", headers=TABLE)
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert found == [{name: value or "" for name, value in row.items()} for row in rows]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert (await client.get("/queries/numbers/above?least=9999", headers=TABLE)).text == "n\r\n"
    assert (await client.get("/queries/numbers/above?least=9999", headers=LINES)).text == ""


@pytest.mark.reliability(11)
async def test_cells_that_look_like_formulas(client: httpx.AsyncClient, tally: Tally) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "=cmd|' /C calc'!A0", "a,b", 'a"b', "a\nb", " a", ""]
    for number, name in enumerate(names):
        assert (await client.post("/tables/number", json={"n": 5000 + number, "text": name})).status_code == 201
    answer = await client.get("/tables/number?n__gte=5000&sort=n", headers=TABLE)
    assert answer.headers["x-csv-formulas"] == "as-stored"
    assert [row["text"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))] == names
    tally.inputs(11, len(names))


async def test_limit_and_next(client: httpx.AsyncClient) -> None:
    async def count(path: str, body: object = None) -> int:
        url = f"/queries/numbers/{path}"
        answer = await (client.get(url, headers=LINES) if body is None else client.post(url, json=body, headers=LINES))
        assert answer.status_code == 200, answer.text
        return answer.text.count("\n")

    for limit in (1, 7, 256, 257, 501, ROWS, ROWS + 1, 10**17):  # more than a page may have
        assert await count(f"all?limit={limit}") == min(limit, ROWS)
    assert await count("all", {"limit": 9}) == 9
    assert await count("own_limit") == 3
    assert await count("own_limit?limit=2") == 2
    assert await count("own_names?next=1&limit=4") == 3
    for query in ("limit=0", "limit=-1", "limit=x", "limit=1&limit=2", "next=abc", "nxt=1"):
        answer = await client.get(f"/queries/numbers/all?{query}", headers=LINES)
        assert_problem(answer, 422, "invalid_parameters")
    answer = await client.post("/queries/numbers/all", json={"next": "abc"}, headers=TABLE)
    assert "all rows" in assert_problem(answer, 422, "invalid_parameters")["errors"][0]["detail"]


async def test_tables(client: httpx.AsyncClient) -> None:
    query = "price__gt=3&sort=-n"
    expected = await pages(client, f"/tables/number?{query}")
    answer = await client.get(f"/tables/number?{query}", headers=LINES)
    assert answer.text.split("\n") == [*expected, ""]
    assert (await client.get("/tables/number?sort=n&limit=2", headers=TABLE)).text.split("\r\n")[1:] == [
        '1,"""1,",0.50',
        '2,"""2,",1.00',
        "",
    ]
    assert_problem(await client.get("/tables/number?next=x", headers=LINES), 422, "invalid_parameters")
    assert_problem(await client.get("/tables/number?wrong=x", headers=LINES), 422, "invalid_parameters")
    assert_problem(await client.get("/tables/number/1", headers=LINES), 406, "not_acceptable")
    assert_problem(await client.post("/tables/number", json={}, headers=LINES), 406, "not_acceptable")


async def test_what_is_no_stream(client: httpx.AsyncClient) -> None:
    for path in ("/queries/numbers/one?n=1", "/queries", "/queries/numbers", "/tables"):
        assert_problem(await client.get(path, headers=LINES), 406, "not_acceptable")
    answer = await client.post("/queries/numbers/add_some", json={"n": 9999}, headers=LINES)
    assert_problem(answer, 406, "not_acceptable")  # its rows are written
    assert_problem(await client.put("/queries/numbers/all", headers=LINES), 405, "method_not_allowed")
    assert_problem(await client.get("/queries/numbers/al", headers=TABLE), 404, "unknown_query")


async def test_head_has_the_headers_alone(client: httpx.AsyncClient) -> None:
    for headers in (LINES, TABLE):
        got = await client.get("/queries/numbers/all", headers=headers)
        head = await client.head("/queries/numbers/all", headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        changing = {"server-timing", "x-request-id"}
        assert {n: v for n, v in head.headers.items() if n not in changing} == {
            n: v for n, v in got.headers.items() if n not in changing
        }


async def test_the_document_and_the_catalogue_say_so(client: httpx.AsyncClient) -> None:
    await client.get("/tables")
    document = (await client.get("/openapi.json")).json()
    both = {"application/json", "application/x-ndjson", "text/csv"}
    for path, method, expected in (
        ("/queries/numbers/all", "get", both), ("/queries/numbers/all", "post", both), ("/tables/number", "get", both),
        ("/queries/numbers/one", "get", {"application/json"}),
        ("/queries/numbers/add_some", "post", {"application/json"}),
    ):  # fmt: skip
        assert set(document["paths"][path][method]["responses"]["200"]["content"]) == expected
    entries = {entry["name"]: entry for entry in (await client.get("/queries/numbers")).json()["queries"]}
    assert set(entries["numbers.all"]["media_types"]) == both
    assert entries["numbers.one"]["media_types"] == ["application/json"]


# --- what goes wrong --------------------------------------------------------------------------------------------


async def test_before_the_first_byte_it_is_a_problem(client: httpx.AsyncClient, app: Any) -> None:
    app.service.settings = app.service.settings.model_copy(update={"page_bytes_max": 1000})
    app.service.contracts._settings = app.service.settings
    answer = await client.get("/queries/numbers/wide?size=2000&least=0", headers=LINES)
    assert "page_bytes_max" in assert_problem(answer, 500, "result_too_large")["hint"]
    await until_whole(app)


async def test_lines_end_with_the_error(client: httpx.AsyncClient, app: Any) -> None:
    answer = await client.get("/queries/numbers/failing", headers=LINES)
    assert answer.status_code == 200
    *rows, last, nothing = answer.text.split("\n")
    assert nothing == ""
    assert [json.loads(row)["n"] for row in rows] == list(range(1, len(rows) + 1))
    assert 0 < len(rows) < FAILS_AT
    problem = json.loads(last)["error"]
    assert list(json.loads(last)) == ["error"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert (problem["type"], problem["outcome"]) == (f"urn:sqlwright:problem:{problem['code']}", "none")
    assert problem["code"] in ("invalid_value", "statement_failed")
    assert "SELECT" not in last
    text = (await client.get("/metrics")).text
    assert f'sqlwright_query_errors_total{{code="{problem["code"]}",query="numbers.failing"}} 1.0' in text
    assert f'sqlwright_query_rows_total{{query="numbers.failing"}} {len(rows)}.0' in text


async def test_csv_is_broken_off(client: httpx.AsyncClient, app: Any) -> None:
    reader = Reader("failing", CSV)
    await reader.read(app)
    assert not reader.is_complete
    assert reader.text.startswith("n,x\r\n1,")
    assert reader.text.endswith("\r\n")
    assert "error" not in reader.text


@pytest.mark.reliability(34)
async def test_a_row_that_is_too_large_alone(client: httpx.AsyncClient, app: Any) -> None:
    contract = await app.service.contracts.get(app.service.registry["numbers.wide"])
    app.service.contracts._ready["numbers.wide"] = type(contract)(
        **{name: getattr(contract, name) for name in contract.__slots__} | {"page_bytes_max": 1000}
    )
    lines = (await client.get("/queries/numbers/wide?size=2000&least=700", headers=LINES)).text.split("\n")
    assert json.loads(lines[-2])["error"]["code"] == "result_too_large"
    assert 1 <= len(lines) - 2 <= 700


@pytest.mark.reliability(33)
async def test_a_caller_that_leaves(client: httpx.AsyncClient, app: Any) -> None:
    for when in (0.0, 0.2):
        reader = Reader("squares", NDJSON)
        task = reader.call(app)
        await until(reader.has_begun)
        assert lent(app) >= 1
        await asyncio.sleep(when)
        reader.left.set()
        await asyncio.wait_for(task, 5)
        await until_whole(app)
        assert not reader.is_complete
    text = (await client.get("/metrics")).text
    assert 'sqlwright_query_errors_total{code="client_left",query="numbers.squares"} 2.0' in text


async def test_a_cancellation_by_the_server_stays_one(client: httpx.AsyncClient, app: Any) -> None:
    reader = Reader("squares", CSV)
    task = reader.call(app)
    await until(reader.has_begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not reader.is_complete


async def test_a_reader_sees_one_snapshot(client: httpx.AsyncClient, app: Any) -> None:
    for name in ("above", "isolated"):
        gate = asyncio.Event()
        reader = Reader(name, NDJSON, b"least=0" if name == "above" else b"")
        reader.takes = gate.wait
        task = reader.call(app)
        await until(lambda: lent(app) > 0)
        await asyncio.sleep(0.1)
        number = ROWS + 1 if name == "above" else ROWS + 2
        assert (await client.post("/queries/numbers/add", json={"n": number})).status_code == 200
        gate.set()
        await task
        assert reader.text.count("\n") == number - 1, name
        await until_whole(app)


@pytest.mark.reliability(34)
async def test_others_have_a_turn_after_each_piece(client: httpx.AsyncClient, app: Any) -> None:
    """Also where rows have come already and their reader takes them at once."""
    turns = 0

    async def take() -> None:
        """At once."""

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    for accept in (NDJSON, CSV):
        reader = Reader("squares", accept, b"limit=20000")
        reader.takes = take
        turns = 0
        other = asyncio.create_task(turn())
        await reader.call(app)
        other.cancel()
        assert reader.text.count("\n") >= 20_000
        assert turns >= len(reader.sent) - 2


# --- limits -----------------------------------------------------------------------------------------------------


async def test_streams_leave_connections_to_others(client: httpx.AsyncClient, app: Any) -> None:
    assert app.service.streams_max == 1  # of three connections
    gate = asyncio.Event()
    reader = Reader("squares", NDJSON)
    reader.takes = gate.wait
    task = reader.call(app)
    await until(lambda: app.service.streams > 0)
    for accept in (LINES, TABLE):
        answer = await client.get("/queries/numbers/all", headers=accept)
        assert_problem(answer, 503, "too_many_streams")
        assert answer.headers["retry-after"] == "1"
    assert (await client.get("/queries/numbers/one?n=1")).status_code == 200
    reader.left.set()
    gate.set()
    await task
    assert (await client.get("/queries/numbers/all?limit=1", headers=LINES)).status_code == 200


def with_limits(settings: Settings, **limits: object) -> Settings:
    return settings.model_copy(update=limits)


@pytest.mark.reliability(35)
async def test_who_takes_nothing_is_let_go(settings: Settings) -> None:
    limited = with_limits(settings, send_timeout_seconds=0.3)
    async with running(app=(app := create_app(limited))) as client:
        for accept in (NDJSON, CSV):
            reader = Reader("squares", accept)
            reader.takes = lambda reader=reader: asyncio.sleep(3600 if len(reader.sent) > 2 else 0)
            await asyncio.wait_for(reader.call(app), 10)
            assert not reader.is_complete
            await until_whole(app)
        text = (await client.get("/metrics")).text
        assert 'sqlwright_query_errors_total{code="reader_too_slow",query="numbers.squares"} 2.0' in text


@pytest.mark.reliability(35)
async def test_who_takes_it_slowly_has_a_time_for_all_of_it(settings: Settings) -> None:
    limited = with_limits(settings, stream_timeout_seconds=0.5)
    async with running(app=(app := create_app(limited))):
        for accept in (NDJSON, CSV):
            reader = Reader("squares", accept)
            reader.takes = lambda: asyncio.sleep(0.05)
            await asyncio.wait_for(reader.call(app), 10)
            await until_whole(app)
            assert reader.is_complete is (accept == NDJSON)
            if accept == NDJSON:
                problem = json.loads(reader.text.split("\n")[-2])["error"]
                assert (problem["code"], problem["status"]) == ("deadline_exceeded", 504)
                assert "stream_timeout_seconds" in problem["hint"]


async def test_a_database_in_memory_gives_what_has_room(tmp_path: Path) -> None:
    queries = write_files(
        tmp_path / "queries", files("sqlite:///:memory:") | {"make.sql": f"-- :result :exec\n{SCHEMA}"}
    )
    settings = Settings(database_url="sqlite:///:memory:", queries=queries, log_calls=False, page_bytes_max=20_000)
    async with running(app=(app := create_app(settings))) as client:
        assert (await client.post("/queries/make", json={})).status_code == 200
        for n in range(20):
            assert (await client.post("/queries/numbers/add", json={"n": n})).status_code == 200
        gate = asyncio.Event()
        reader = Reader("above", NDJSON, b"least=9")
        reader.takes = gate.wait
        task = reader.call(app)
        await asyncio.sleep(0.2)
        assert (await client.get("/queries/numbers/one?n=1")).status_code == 200  # it is not held meanwhile
        gate.set()
        await task
        assert reader.text == "".join(f'{{"n":{n}}}\n' for n in range(10, 20))
        answer = await client.get("/queries/numbers/wide?size=2000&least=-1", headers=LINES)
        assert "pages" in assert_problem(answer, 500, "result_too_large")["hint"]
        await until_whole(app)


async def test_inside_of_another_application(settings: Settings) -> None:
    """With middleware of the simple kind, which completes what we break off: there only NDJSON tells."""
    app = FastAPI()

    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-theirs"] = "stamped"
        return response

    app.include_router(sqlwright.router(settings), prefix="/api")
    async with running(app=app) as client:
        answer = await client.get("/api/queries/numbers/all", headers=LINES)
        assert answer.text.count("\n") == ROWS
        assert answer.headers["x-theirs"] == "stamped"
        answer = await client.get("/api/queries/numbers/failing", headers=LINES)
        assert "error" in json.loads(answer.text.split("\n")[-2])
        reader = Reader("squares", NDJSON)
        reader.scope |= {"path": "/api/queries/numbers/squares", "raw_path": b"/api/queries/numbers/squares"}
        task = reader.call(app)
        await until(reader.has_begun)
        reader.left.set()
        await asyncio.wait_for(task, 5)
        assert (await client.get("/api/queries/numbers/all?limit=2", headers=LINES)).text.count("\n") == 2


# --- any values -------------------------------------------------------------------------------------------------

VALUES = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.none() | st.decimals(-(10**5), 10**5, places=2, allow_nan=False),
)


@pytest.mark.reliability(47)
async def test_whatever_is_stored_comes_alike(client: httpx.AsyncClient) -> None:
    numbers = iter(range(10_000, 1_000_000))

    async def check(values: list[tuple[str, Decimal | None]]) -> None:
        first = next(numbers)
        keys = [first, *(next(numbers) for _ in values[1:])]
        items = [
            {"n": n, "text": text, "price": None if price is None else float(price)}
            for n, (text, price) in zip(keys, values, strict=True)
        ]
        assert (await client.post("/queries/numbers/load", json=items)).status_code == 200
        url = f"/tables/number?n__gte={first}&sort=n"
        page = (await client.get(f"{url}&limit=100")).text
        lines = (await client.get(url, headers=LINES)).text
        assert page == f'{{"data":[{",".join(lines.split(chr(10))[:-1])}],"next":null}}'
        table = list(csv.reader(io.StringIO((await client.get(url, headers=TABLE)).text, newline="")))[1:]
        rows = json.loads(page, parse_float=str, parse_int=str)["data"]
        assert table == [[value or "" for value in row.values()] for row in rows]
        assert [row["text"] for row in rows] == [text for text, _ in values]

    loop = asyncio.get_running_loop()

    @given(st.lists(VALUES, min_size=1, max_size=8))
    @hypothesis.settings(max_examples=25, deadline=None)
    def property(values: list[tuple[str, Decimal | None]]) -> None:
        asyncio.run_coroutine_threadsafe(check(values), loop).result(30)

    await asyncio.to_thread(property)
