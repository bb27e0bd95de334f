"""POST /transaction: several calls, all or nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from record_shop import FILES, SCHEMA, assert_problem, run_script, running, until, write_files
from server_process import start
from sqlwright.config import Settings
from sqlwright.http.app import create_app
from sqlwright.pooled import Pooled
from sqlwright.query import Access

MORE = {
    "steps/queries.sql": """
-- name: count_named$
SELECT count(*) FROM artist WHERE name = :name;

-- name: big^
SELECT 9007199254740993 AS id, 12345678901234567890.123456789 AS price;

-- name: note!
-- @param body json
INSERT INTO note (note_id, body) VALUES (:note_id, :body);

-- name: notes
SELECT note_id, body FROM note ORDER BY note_id;

-- name: pause$
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT count(*) FROM n;

-- name: long$
-- @timeout 8s
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT count(*) FROM n;

-- name: rate<!
-- @param rating int?
UPDATE artist SET rating = :rating WHERE artist_id = :artist_id RETURNING artist_id, rating;

-- name: rename_strictly<!
-- @isolation serializable
UPDATE artist SET name = :name WHERE artist_id = :artist_id RETURNING artist_id;
""",
}
NOTES = "CREATE TABLE note (note_id bigint PRIMARY KEY, body json)"


@pytest.fixture
async def settings(database_url: str, tmp_path: Path) -> Settings:
    await asyncio.to_thread(asyncio.run, run_script(database_url, SCHEMA))
    queries = write_files(tmp_path / "queries", FILES | MORE)
    return Settings(database_url=database_url, queries=queries, log_calls=False, tables=("*",), transaction_steps_max=6)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings) as client:
        yield client


async def run(client: httpx.AsyncClient, *steps: Any, **options: Any) -> httpx.Response:
    return await client.post("/transaction", json={"steps": steps, **options})


async def artists(client: httpx.AsyncClient) -> dict[int, str]:
    rows = (await client.get("/queries/artists/all")).json()["data"]
    return {row["artist_id"]: row["name"] for row in rows}


ADD = {"query": "artists.add", "params": {"artist_id": 6, "name": "Beck", "rating": 3}}
GET = {"query": "artists.get", "params": {"artist_id": 6}, "as": "artist"}


def add_album(**params: Any) -> dict[str, Any]:
    return {"query": "shop.add_album", "params": {"album_id": 9, "artist_id": 6, "title": "Odelay", **params}}


async def test_steps_give_what_each_call_gives(client: httpx.AsyncClient) -> None:
    answer = await run(
        client,
        ADD,
        GET,
        add_album(artist_id={"$result": "artist.artist_id"}),
        {"query": "shop.stock.albums", "params": {"artist_id": {"$result": "1.artist_id"}}},
        {"query": "artists.how_many"},
        {"query": "artists.find", "params": {"name": "nobody"}},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "results": [
            {"affected": 1},
            {"artist_id": 6, "name": "Beck", "rating": 3},
            {"affected": 1},
            {"data": [{"title": "Odelay", "price": None}], "next": None},
            {"value": 6},
            None,
        ]
    }
    assert answer.headers["server-timing"].startswith("queue;dur=")
    assert (await artists(client))[6] == "Beck"


@pytest.mark.parametrize(
    ("failing", "status", "code"),
    [
        (add_album(artist_id=99), 409, "foreign_key_violation"),
        ({**ADD, "params": {"artist_id": 1, "name": "Again", "rating": 1}}, 409, "unique_violation"),
        ({**ADD, "params": {"artist_id": 7, "name": "Beck", "rating": 1}}, 409, "unique_violation"),
        ({**ADD, "params": {"artist_id": 7, "name": "Low", "rating": -1}}, 422, "check_violation"),
        ({**GET, "params": {"artist_id": 99}}, 404, "no_row"),
        ({"query": "artists.rename", "params": {"artist_id": 99, "name": "x"}}, 404, "no_row"),
        ({"query": "artists.two"}, 500, "more_than_one_row"),
    ],
)
async def test_a_step_that_fails_undoes_all(
    client: httpx.AsyncClient, failing: dict[str, Any], status: int, code: str
) -> None:
    before = await artists(client)
    body = assert_problem(await run(client, ADD, failing, {"query": "artists.how_many"}), status, code)
    assert (body["step"], body["outcome"]) == (1, "none")
    assert await artists(client) == before
    assert (await run(client, ADD)).status_code == 200  # the connection is whole


async def test_a_dry_run_applies_nothing(client: httpx.AsyncClient) -> None:
    before = await artists(client)
    answer = await run(client, ADD, {"query": "artists.how_many"}, dry_run=True)
    assert answer.json() == {"results": [{"affected": 1}, {"value": 6}], "dry_run": True}
    assert await artists(client) == before
    assert_problem(await run(client, ADD, ADD, dry_run=True), 409, "unique_violation")


async def test_many_rows_are_not_paged(client: httpx.AsyncClient) -> None:
    top = {"query": "artists.top"}
    answer = await run(client, top, {**top, "params": {"limit": 1}}, {"query": "artists.all"})
    three, one, every = answer.json()["results"]
    assert [row["artist_id"] for row in three["data"]] == [1, 2, 3]  # as many as the query's page may have
    assert three == {**three, "next": None, "truncated": True}
    assert one == {"data": three["data"][:1], "next": None, "truncated": True}
    assert (len(every["data"]), "truncated" in every) == (5, False)
    body = assert_problem(await run(client, {**top, "params": {"next": "x"}}), 422, "invalid_parameters")
    assert [fault["parameter"] for fault in body["errors"]] == ["steps[0].params.next"]
    assert_problem(await run(client, {**top, "params": {"limit": 4}}), 422, "invalid_parameters")


async def test_bulk_steps_take_results(client: httpx.AsyncClient) -> None:
    items = [
        {"artist_id": 7, "name": "Seven"},
        {"artist_id": {"$result": "n.value"}, "name": {"$result": "1.name"}},
    ]
    answer = await run(
        client,
        {"query": "steps.count_named", "params": {"name": "nobody"}, "as": "n"},
        {"query": "artists.get", "params": {"artist_id": 1}},
        {"query": "artists.add_many", "params": items},
    )
    # The name is there already: what came by a reference is what was meant.
    body = assert_problem(answer, 409, "unique_violation")
    assert body["step"] == 2
    items[1]["name"] = "Zero"
    answer = await run(
        client,
        {"query": "steps.count_named", "params": {"name": "nobody"}, "as": "n"},
        {"query": "artists.add_many", "params": items},
    )
    assert answer.json()["results"] == [{"value": 0}, {"affected": 2}]
    assert (await artists(client))[0] == "Zero"
    items[0]["artist_id"] = {"$result": "0.values"}
    answer = await run(client, {"query": "artists.how_many"}, {"query": "artists.add_many", "params": [{}, *items]})
    body = assert_problem(answer, 422, "invalid_parameters")
    assert {fault["parameter"] for fault in body["errors"]} == {
        "steps[1].params[0].artist_id", "steps[1].params[0].name", "steps[1].params[1].artist_id",
        "steps[1].params[2].artist_id",
    }  # fmt: skip


async def make_notes(client: httpx.AsyncClient, database_url: str) -> None:
    await asyncio.to_thread(asyncio.run, run_script(database_url, NOTES))
    # Its queries may have been refused a moment ago, which is believed for a second.
    await until(client, "/readyz", 200, lambda answer: "steps.note" not in answer.text)


async def test_every_digit_travels(client: httpx.AsyncClient, database_url: str) -> None:
    await make_notes(client, database_url)
    answer = await run(
        client,
        {"query": "steps.big", "as": "big"},
        {"query": "steps.note", "params": {"note_id": {"$result": "big.id"}, "body": {"$result": "big"}}},
        {"query": "steps.notes"},
    )
    assert answer.status_code == 200, answer.text
    big, _, notes = json.loads(answer.text, parse_float=Decimal)["results"]
    note = notes["data"][0]
    assert note["note_id"] == big["id"] == 9007199254740993
    kept = note["body"] if isinstance(note["body"], dict) else json.loads(note["body"], parse_float=Decimal)
    assert kept == big


async def test_what_looks_like_a_reference(client: httpx.AsyncClient, database_url: str) -> None:
    await make_notes(client, database_url)

    async def note(body: object) -> httpx.Response:
        step = {"query": "steps.note", "params": {"note_id": 1, "body": body}}
        return await run(client, step, {"query": "steps.notes"}, dry_run=True)

    for value, kept in (
        ({"$value": {"$result": "x"}}, {"$result": "x"}),
        ({"$value": {"$value": 1}}, {"$value": 1}),
        ({"$value": [{"$result": "x"}]}, [{"$result": "x"}]),
        ({"a": {"$value": 1}}, {"a": {"$value": 1}}),
    ):
        answer = await note(value)
        assert answer.status_code == 200, answer.text
        stored = answer.json()["results"][1]["data"][0]["body"]
        assert (stored if not isinstance(stored, str) else json.loads(stored)) == kept
    for value in ({"a": {"$result": "x"}}, [{"$result": "x"}], {"$result": "x", "b": 1}, {"$value": 1, "b": 1}):
        body = assert_problem(await note(value), 422, "invalid_parameters")
        assert [(f["parameter"], f["code"]) for f in body["errors"]] == [("steps[0].params.body", "reference")]
        assert "$value" in body["errors"][0]["detail"]


async def test_a_reference_that_leads_to_nothing(client: httpx.AsyncClient) -> None:
    before = await artists(client)
    for steps, step in (
        ([{"query": "artists.find", "params": {"name": "nobody"}}, add_album(artist_id={"$result": "0.artist_id"})], 1),
        ([ADD, {"query": "artists.all"}, add_album(artist_id={"$result": "1.data.40.artist_id"})], 2),
        ([{**GET, "params": {"artist_id": 4}}, add_album(album_id={"$result": "artist.rating"}, artist_id=1)], 1),
        ([{**GET, "params": {"artist_id": 4}}, add_album(album_id={"$result": "artist.name"}, artist_id=1)], 1),
    ):
        body = assert_problem(await run(client, *steps), 422, "invalid_parameters")
        assert (body["step"], len(body["errors"])) == (step, 1)
        assert body["errors"][0]["parameter"].startswith(f"steps[{step}].params.")
    assert await artists(client) == before
    # A null that the parameter takes is a value like any other.
    answer = await run(
        client,
        {**GET, "params": {"artist_id": 4}},
        {"query": "steps.rate", "params": {"artist_id": 1, "rating": {"$result": "artist.rating"}}},
    )
    assert answer.json()["results"][1] == {"artist_id": 1, "rating": None}


async def test_all_faults_of_all_steps(client: httpx.AsyncClient) -> None:
    body = {
        "isolation": "serialisable",
        "dry_run": 1,
        "step": [],
        "steps": [
            {"query": "artists.get", "params": {"artist_id": "x"}, "as": "a"},
            {"query": "artists.get", "params": {"artist": 1}, "as": "a"},
            {"query": "artists.get", "params": {"artist_id": {"$result": "a.nam"}}, "as": "7"},
            {"query": "artists.get", "params": {"artist_id": {"$result": "b.artist_id"}}, "parms": {}},
            {"query": "artists.get", "params": {"artist_id": {"$result": "5.artist_id"}}, "as": ""},
            {"query": "artists.all", "params": {"limit": {"$result": 1}}, "as": "b"},
        ],
    }
    problem = assert_problem(await client.post("/transaction", json=body), 422, "invalid_parameters")
    assert "step" not in problem
    assert {(fault["parameter"], fault["code"]) for fault in problem["errors"]} == {
        ("isolation", "not_allowed"), ("dry_run", "type"), ("step", "unknown"), ("steps[0].params.artist_id", "type"),
        ("steps[1].as", "repeated"), ("steps[1].params.artist_id", "missing"), ("steps[1].params.artist", "unknown"),
        ("steps[2].as", "format"), ("steps[2].params.artist_id", "reference"), ("steps[3].parms", "unknown"),
        ("steps[3].params.artist_id", "reference"), ("steps[4].params.artist_id", "reference"),
        ("steps[4].as", "format"), ("steps[5].params.limit", "type"),
    }  # fmt: skip
    details = " ".join(fault["detail"] for fault in problem["errors"])
    assert "did you mean steps?" in details
    assert "did you mean name?" in details
    assert "did you mean params?" in details


@pytest.mark.parametrize(
    "steps",
    [
        [{"query": "artists.get", "params": {f"p{n}": {"$result": f"nobody{n}"} for n in range(500)}}],
        [GET, {"query": "artists.add_many", "params": [{"name": {"$result": "0.nam"}}] * 500}],
        [{"table": "artist", "list": {f"p{n}": 1 for n in range(90)}}] * 6,
    ],
)
async def test_of_many_faults_the_first_are_looked_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, steps: list[dict[str, Any]]
) -> None:
    """Names that are near take long to find, and one body has room for very many that are wrong."""
    looked = 0

    def count(*_: object, **__: object) -> list[str]:
        nonlocal looked
        looked += 1
        return []

    monkeypatch.setattr("difflib.get_close_matches", count)
    body = assert_problem(await run(client, *steps), 422, "invalid_parameters")
    assert len(body["errors"]) == 100
    assert looked <= 500


@pytest.mark.parametrize(
    ("earlier", "path", "fits"),
    [
        ("artists.get", "0", True),  # the whole body; that it is no number is found when it is there
        ("artists.get", "0.artist_id", True),
        ("artists.get", "0.artist_id.x", False),
        ("artists.get", "0.data.0.artist_id", False),
        ("artists.all", "0.data.0.artist_id", True),
        ("artists.all", "0.data.artist_id", False),
        ("artists.all", "0.artist_id", False),
        ("artists.all", "0.next", False),
        ("artists.all", "0.data.0.artist", False),
        ("artists.how_many", "0.value", True),
        ("artists.how_many", "0.count", False),
        ("artists.add_many", "0.affected", True),
        ("artists.add_many", "0.artist_id", False),
        ("artists.get", "1.artist_id", False),
        ("artists.get", "2.artist_id", False),
        ("artists.get", "-1.artist_id", False),
        ("artists.get", "", False),
    ],
)
async def test_paths_are_checked_before_anything_runs(
    client: httpx.AsyncClient, earlier: str, path: str, fits: bool
) -> None:
    params: Any = {"artists.get": {"artist_id": 99}, "artists.add_many": []}.get(earlier, {})
    refused = {"query": "artists.get", "params": {"artist_id": {"$result": path}}}
    answer = await run(client, {"query": earlier, "params": params}, refused)
    if fits:
        assert answer.status_code == 404 or answer.json().get("step") == 1 or answer.status_code == 200
        return
    body = assert_problem(answer, 422, "invalid_parameters")
    assert [(f["parameter"], f["code"]) for f in body["errors"]] == [("steps[1].params.artist_id", "reference")]


async def test_no_connection_is_taken_for_what_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.queries / "broken.sql").unlink()  # else it is described again and again
    (settings.queries / "steps" / "queries.sql").unlink()
    async with running(settings) as client:
        await until(client, "/readyz", 200)
        await client.get("/tables/artist/1")
        leases = 0
        original = Pooled.lease

        def lease(pooled: Pooled) -> Any:
            nonlocal leases
            leases += 1
            return original(pooled)

        monkeypatch.setattr(Pooled, "lease", lease)
        assert_problem(await run(client, ADD, {**GET, "params": {"artist_id": "x"}}), 422, "invalid_parameters")
        assert_problem(await run(client, ADD, {"query": "artists.gett"}), 404, "unknown_query")
        assert_problem(await run(client, ADD, {"table": "artist", "get": True, "key": "x"}), 422, "invalid_parameters")
        assert leases == 0
        answer = await run(client, ADD, GET, {"table": "artist", "get": True, "key": 6}, dry_run=True)
        assert answer.status_code == 200, answer.text
        assert leases == 1


async def test_names_that_cannot_be_called(client: httpx.AsyncClient) -> None:
    for name, hint in (
        ("artists.gett", "did you mean artists.get"),
        ("artists/get", ""),
        ("artists.wipe", "script"),
        ("", ""),
        ("x" * 5000, ""),
    ):
        body = assert_problem(await run(client, ADD, {"query": name}), 404, "unknown_query")
        assert body["step"] == 1
        assert hint in body["hint"]
    body = assert_problem(await run(client, ADD, {"query": "broken"}), 503, "query_invalid")
    assert body["step"] == 1
    assert "step" not in assert_problem(await client.get("/queries/broken"), 503, "query_invalid")
    assert_problem(await run(client, ADD, {"table": "artistt", "list": {}}), 404, "unknown_table")


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ([], [""]),
        ({}, ["steps"]),
        ({"steps": {}}, ["steps"]),
        ({"steps": []}, ["steps"]),
        ({"steps": [ADD] * 7}, ["steps"]),
        ({"steps": [1]}, ["steps[0]"]),
        ({"steps": [{}]}, ["steps[0]"]),
        ({"steps": [{"query": "artists.all", "table": "artist"}]}, ["steps[0]"]),
        ({"steps": [{"query": 1}]}, ["steps[0].query"]),
        ({"steps": [{"query": "artists.all", "params": 1}]}, ["steps[0].params"]),
        ({"steps": [{"query": "artists.all", "params": []}]}, ["steps[0].params"]),
        ({"steps": [{"query": "artists.all", "params": {"$result": "0"}}]}, ["steps[0].params"]),
        ({"steps": [{"query": "artists.add_many", "params": {}}]}, ["steps[0].params"]),
        ({"steps": [{"query": "artists.add_many", "params": [1]}]}, ["steps[0].params[0]"]),
        ({"steps": [{"table": "artist"}]}, ["steps[0]"]),
        ({"steps": [{"table": "artist", "list": {}, "create": {}}]}, ["steps[0]"]),
        ({"steps": [{"table": "artist", "get": True}]}, ["steps[0].key"]),
        ({"steps": [{"table": "artist", "get": 1, "key": 1}]}, ["steps[0].get"]),
        ({"steps": [{"table": "artist", "create": 1, "key": 1, "limit": 1}]},
         ["steps[0].key", "steps[0].create", "steps[0].limit"]),
        ({"steps": [{"table": "artist", "list": {}, "sort": 1, "limit": "1"}]}, ["steps[0].sort", "steps[0].limit"]),
    ],
)  # fmt: skip
async def test_bodies_of_another_form(client: httpx.AsyncClient, body: Any, places: list[str]) -> None:
    problem = assert_problem(await client.post("/transaction", json=body), 422, "invalid_parameters")
    assert [fault["parameter"] for fault in problem["errors"]] == places


async def test_requests_of_another_form(client: httpx.AsyncClient) -> None:
    json_type = {"content-type": "application/json"}
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = await client.request(method, "/transaction")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert_problem(await client.get("/transaction/1"), 404, "not_found")
    for content in (b"{", b'{"steps":[],"steps":[]}', b'{"steps":NaN}', b"\xff"):
        answer = await client.post("/transaction", content=content, headers=json_type)
        assert_problem(answer, 400, "malformed_request")
    assert_problem(await client.post("/transaction", content=b""), 422, "invalid_parameters")
    assert_problem(await client.post("/transaction", content=b"{}"), 415, "unsupported_media_type")
    answer = await client.post("/transaction?dry_run=true", json={"steps": [ADD]})
    assert assert_problem(answer, 422, "invalid_parameters")["errors"][0]["in"] == "query"
    answer = await client.post("/transaction", json={"steps": [ADD]}, headers={"accept": "text/html"})
    assert_problem(answer, 406, "not_acceptable")
    # Only bulk steps make a body as large as a bulk call's may be.
    bulk = {"query": "artists.add_many", "params": []}
    for steps, status in (([ADD], 413), ([bulk], 200)):
        content = json.dumps({"steps": steps}).encode() + b" " * 1024 * 1024
        answer = await client.post("/transaction", content=content, headers=json_type)
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable", None])
async def test_isolations(client: httpx.AsyncClient, isolation: str | None) -> None:
    answer = await run(client, ADD, GET, isolation=isolation)
    assert answer.status_code == 200, answer.text
    answer = await run(client, GET, isolation=isolation)
    assert answer.json()["results"][0]["name"] == "Beck"
    # A query that needs a stronger one gets it, whatever was asked for.
    strict = {"query": "steps.rename_strictly", "params": {"artist_id": 6, "name": "Beck!"}}
    answer = await run(client, strict, isolation=isolation)
    assert answer.json() == {"results": [{"artist_id": 6}]}


# --- tables -----------------------------------------------------------------------------------------------------


async def test_table_steps(client: httpx.AsyncClient) -> None:
    answer = await run(
        client,
        {"table": "artist", "create": {"artist_id": 6, "name": "Beck"}, "as": "artist"},
        {"table": "album", "create": {"album_id": 9, "artist_id": {"$result": "artist.artist_id"}, "title": "Odelay"}},
        {"table": "artist", "key": {"$result": "1.artist_id"}, "update": {"name": {"$result": "1.title"}}},
        {"table": "artist", "key": {"artist_id": {"$result": "artist.artist_id"}}, "replace": {"name": "Whole"}},
        {"table": "album", "list": {"artist_id": {"$result": "artist.artist_id"}}, "sort": ["-album_id"], "limit": 1},
        {"table": "artist", "key": [1], "get": True},
    )
    assert answer.status_code == 200, answer.text
    created, album, changed, replaced, listed, got = answer.json()["results"]
    assert created == {"artist_id": 6, "name": "Beck", "rating": None}
    assert album == {"album_id": 9, "artist_id": 6, "title": "Odelay", "price": None}
    assert changed == {"artist_id": 6, "name": "Odelay", "rating": None}
    assert replaced == {"artist_id": 6, "name": "Whole", "rating": None}
    assert listed == {"data": [album], "next": None}
    assert got == (await client.get("/tables/artist/1")).json()
    answer = await run(
        client,
        {"table": "album", "list": {}, "limit": 1},
        {"table": "album", "key": 9, "delete": True},
        {"table": "artist", "key": 6, "delete": True},
        {"query": "artists.how_many"},
    )
    first, one, other, count = answer.json()["results"]
    assert (len(first["data"]), first["next"], first["truncated"]) == (1, None, True)
    assert (one, other, count) == ({"affected": 1}, {"affected": 1}, {"value": 5})


@pytest.mark.parametrize(
    ("failing", "status", "code", "parameters"),
    [
        ({"table": "artist", "create": {"artist_id": 1, "name": "x"}}, 409, "unique_violation",
         ["steps[1].create.artist_id"]),
        ({"table": "artist", "key": 1, "update": {"name": "Accept"}}, 409, "unique_violation",
         ["steps[1].update.name"]),
        ({"table": "artist", "key": 99, "get": True}, 404, "no_row", []),
        ({"table": "artist", "key": 99, "update": {"name": "x"}}, 404, "no_row", []),
        ({"table": "artist", "key": 99, "replace": {"name": "x"}}, 404, "no_row", []),
        ({"table": "artist", "key": 99, "delete": True}, 404, "no_row", []),
        ({"table": "artist", "key": "x", "get": True}, 422, "invalid_parameters", ["steps[1].key"]),
        ({"table": "artist", "key": [1, 2], "get": True}, 422, "invalid_parameters", ["steps[1].key"]),
        ({"table": "artist", "key": {"artist_id": "x"}, "get": True}, 422, "invalid_parameters",
         ["steps[1].key.artist_id"]),
        ({"table": "artist", "key": {}, "get": True}, 422, "invalid_parameters", ["steps[1].key.artist_id"]),
        ({"table": "artist", "key": {}, "update": {}}, 422, "invalid_parameters", ["steps[1].key.artist_id"]),
        ({"table": "artist", "key": None, "delete": True}, 422, "invalid_parameters", ["steps[1].key"]),
        ({"table": "artist", "key": "x", "update": {"name": 1, "nme": 2}}, 422, "invalid_parameters",
         ["steps[1].key", "steps[1].update.name", "steps[1].update.nme"]),
        ({"table": "artist", "create": {"artist_id": 6, "rating": {"$result": "0.value"}}}, 422, "invalid_parameters",
         ["steps[1].create.name", "steps[1].create.rating"]),
        ({"table": "artist", "list": {"nme": 1, "name": 1}, "sort": ["x"], "limit": 0}, 422, "invalid_parameters",
         ["steps[1].limit", "steps[1].list.name", "steps[1].list.nme", "steps[1].sort"]),
        ({"table": "artis", "list": {}}, 404, "unknown_table", []),
    ],
)  # fmt: skip
async def test_table_steps_that_fail(
    client: httpx.AsyncClient, failing: dict[str, Any], status: int, code: str, parameters: list[str]
) -> None:
    body = assert_problem(await run(client, ADD, failing), status, code)
    assert sorted(fault["parameter"] for fault in body["errors"]) == parameters
    assert body["step"] == 1
    assert 6 not in await artists(client)


async def test_references_into_rows_of_tables(client: httpx.AsyncClient) -> None:
    wrong = {"table": "artist", "create": {"artist_id": {"$result": "0.artistid"}, "name": {"$result": "0.name.x"}}}
    body = assert_problem(await run(client, {"table": "artist", "key": 1, "get": True}, wrong), 422,
                          "invalid_parameters")  # fmt: skip
    assert [f["parameter"] for f in body["errors"]] == ["steps[1].create.artist_id", "steps[1].create.name"]
    # What has come is validated like what was sent.
    wrong = {"table": "artist", "create": {"artist_id": {"$result": "0.name"}, "name": "x"}}
    body = assert_problem(await run(client, {"table": "artist", "key": 1, "get": True}, wrong), 422,
                          "invalid_parameters")  # fmt: skip
    assert ([f["parameter"] for f in body["errors"]], body["step"]) == (["steps[1].create.artist_id"], 1)


# --- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.reliability(25)
async def test_two_that_collide_both_succeed(client: httpx.AsyncClient) -> None:
    """Each reads what the other writes: one of them has to begin again."""

    def raise_rating(artist: int, other: int) -> Any:
        return run(
            client,
            {"query": "artists.get", "params": {"artist_id": other}, "as": "other"},
            {"query": "steps.pause"},
            {"query": "steps.rate", "params": {"artist_id": artist, "rating": {"$result": "other.rating"}}},
            isolation="serializable",
        )

    answers = await asyncio.gather(raise_rating(1, 2), raise_rating(2, 1))
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    ratings = [(await client.get(f"/tables/artist/{key}")).json()["rating"] for key in (1, 2)]
    assert ratings[0] == ratings[1]  # as if one after the other; 5 and 3 changed places otherwise


@pytest.fixture(params=["sqlite_url", "postgresql_url"])
def deferring_url(request: pytest.FixtureRequest) -> str:
    """Of engines where a constraint can wait for COMMIT."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.mark.reliability(23)
async def test_a_refused_commit_has_no_step(deferring_url: str, tmp_path: Path) -> None:
    database_url = deferring_url
    deferred = "REFERENCES artist DEFERRABLE INITIALLY DEFERRED"
    schema = f"CREATE TABLE note (note_id integer PRIMARY KEY, artist_id integer {deferred})"
    await asyncio.to_thread(asyncio.run, run_script(database_url, SCHEMA + schema))
    queries = write_files(tmp_path / "queries", FILES)
    settings = Settings(database_url=database_url, queries=queries, log_calls=False, tables=("note",))
    async with running(settings) as client:
        answer = await run(client, ADD, {"table": "note", "create": {"note_id": 1, "artist_id": 99}})
        body = assert_problem(answer, 409, "foreign_key_violation")
        assert "step" not in body
        assert 6 not in await artists(client)
        answer = await run(client, {"table": "note", "create": {"note_id": 1, "artist_id": 6}}, ADD)
        assert answer.status_code == 200, answer.text


async def test_out_of_time(settings: Settings) -> None:
    changed = settings.model_copy(update={"transaction_timeout_seconds": 0.2, "statement_timeout_seconds": 5.0})
    async with running(changed) as client:
        answer = await run(client, ADD, {"query": "steps.long"}, {"query": "artists.how_many"})
        body = assert_problem(answer, 504, body_code(answer))
        assert body["code"] in ("deadline_exceeded", "statement_timeout")
        assert body["outcome"] == "none"
        assert 6 not in await artists(client)


def body_code(answer: httpx.Response) -> str:
    code: str = answer.json()["code"]
    return code


async def test_reads_go_to_a_reader(settings: Settings) -> None:
    """A transaction of reads needs no writing connection: it runs while the only one is taken."""
    changed = settings.model_copy(update={"writer_pool_size": 1, "acquire_timeout_seconds": 0.2})
    app: Any = create_app(changed)
    async with running(app=app) as client:
        await client.get("/tables/artist/1")
        async with app.service.database.lease(Access.WRITE):
            answer = await run(client, {"query": "artists.all"}, {"table": "artist", "key": 1, "get": True})
            assert answer.status_code == 200, answer.text
            assert_problem(await run(client, ADD), 503, "acquire_timeout")


def test_killed_midway(settings: Settings, database_url: str) -> None:
    """Between two steps the server goes: nothing of the first is there."""
    with start("uvicorn", database_url, settings.queries, tables="*") as server:
        server.until("/queries/artists/all", 200)
        call = {"steps": [ADD, {"query": "steps.long"}]}
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.post, server.url + "/transaction", json=call, timeout=30)
            while is_idle(server.get("/readyz").json()):
                assert not answer.done(), answer.result().text
                time.sleep(0.05)
            time.sleep(0.5)  # the first step is done long before
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(30)
            with pytest.raises(httpx.HTTPError):
                answer.result()
    with start("uvicorn", database_url, settings.queries, tables="*") as server:
        rows = server.until("/queries/artists/all", 200).json()["data"]
        assert 6 not in [row["artist_id"] for row in rows]


def is_idle(ready: dict[str, Any]) -> bool:
    return all(pool["size"] == pool["idle"] for pool in ready["database"]["pools"]["writer"])
