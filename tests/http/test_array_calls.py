"""A read with an array of parameter objects: each result is the body of the call alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from json_schema import answer_schema, conforms
from record_shop import assert_problem, run_script, running, write_files
from sqlwright.config import Settings

EVERY_READ: dict[str, list[dict[str, Any]]] = {
    "artists/get": [{"artist_id": 3}, {"artist_id": 1}, {"artist_id": 3}],
    "artists/find": [{"name": "Björk"}, {"name": "nobody"}, {"name": "Alanis"}],
    "artists/how_many": [{}, {}],
    "artists/all": [{}, {"limit": 2}, {}, {"limit": 2}, {"limit": 3}],
    "artists/top": [{"limit": 1}, {}],
    "artists/first_two": [{}, {"limit": 1}],
    "artists/some": [{"ids": [1, 2]}, {"ids": []}, {"ids": [5, 4, 3], "limit": 1}, {"ids": [1, 2]}],
    "shop/stock/albums": [{"artist_id": n} for n in (1, 2, 3, 99, 1)],
}


@pytest.mark.parametrize("path", EVERY_READ)
async def test_results_are_the_bodies_of_the_calls_alone_in_order(client: httpx.AsyncClient, path: str) -> None:
    items = EVERY_READ[path]
    alone = [await client.post(f"/queries/{path}", json=item) for item in items]
    together = await client.post(f"/queries/{path}", json=items)
    assert (together.status_code, together.headers["content-type"]) == (200, "application/json"), together.text
    assert together.text == '{"results":[' + ",".join(one.text for one in alone) + "]}"


async def test_pages_go_on_item_by_item(client: httpx.AsyncClient) -> None:
    first = (await client.post("/queries/artists/all", json=[{"limit": 2}, {"limit": 4}])).json()["results"]
    following = [{"limit": n, "next": page["next"]} for n, page in zip((2, 4), first, strict=True)]
    second = (await client.post("/queries/artists/all", json=following)).json()["results"]
    assert [[row["artist_id"] for row in page["data"]] for page in second] == [[3, 4], [5]]
    refused = await client.post("/queries/artists/all", json=[{}, {"limit": 2, "next": "edited"}])
    assert assert_problem(refused, 400, "invalid_page_token")["index"] == 1


async def test_none_and_many_and_too_many_items(client: httpx.AsyncClient) -> None:
    assert (await client.post("/queries/artists/get", json=[])).json() == {"results": []}
    many = [{"artist_id": 1 + n % 5} for n in range(1000)]
    found = (await client.post("/queries/artists/get", json=many)).json()["results"]
    assert [row["artist_id"] for row in found] == [item["artist_id"] for item in many]
    refused = await client.post("/queries/artists/get", json=[*many, {"artist_id": 1}])
    assert assert_problem(refused, 422, "invalid_parameters")["errors"][0]["code"] == "length"


async def test_an_item_that_needs_a_row_and_has_none_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/queries/artists/get", json=[{"artist_id": 1}, {"artist_id": 77}, {"artist_id": 78}])
    assert assert_problem(answer, 404, "no_row")["index"] == 1
    answer = await client.post("/queries/artists/two", json=[{}, {}])
    assert assert_problem(answer, 500, "more_than_one_row")["index"] == 0


async def test_faults_of_all_items_are_told_at_once(client: httpx.AsyncClient) -> None:
    items = [{"artist_id": 1}, {"artist_id": "x"}, {}, 5, {"artist_id": 1, "nme": 2}]
    problem = assert_problem(await client.post("/queries/artists/get", json=items), 422, "invalid_parameters")
    assert [(e["index"], e["parameter"], e["code"]) for e in problem["errors"]] == [
        (1, "artist_id", "type"),
        (2, "artist_id", "missing"),
        (3, "", "type"),
        (4, "nme", "unknown"),
    ]
    answer = await client.post("/queries/artists/get?artist_id=1", json=[{"artist_id": 1}])
    assert assert_problem(answer, 422, "invalid_parameters")["errors"][0]["in"] == "query"


async def test_a_write_takes_no_array(client: httpx.AsyncClient) -> None:
    items = [{"artist_id": 70, "name": "x", "rating": None}]
    problem = assert_problem(await client.post("/queries/artists/add", json=items), 422, "invalid_parameters")
    assert "queries that read take an array" in problem["errors"][0]["detail"]
    assert (await client.get("/queries/artists/how_many")).json() == {"value": 5}


async def test_an_answer_is_bounded_as_a_whole(shop_url: str, queries: Path) -> None:
    settings = Settings(database_url=shop_url, queries=queries, log_calls=False, page_bytes_max=2000)
    async with running(settings) as client:
        few = await client.post("/queries/artists/get", json=[{"artist_id": 1}] * 10)
        assert few.status_code == 200
        answer = await client.post("/queries/artists/get", json=[{"artist_id": 1}] * 300)
        problem = assert_problem(answer, 500, "result_too_large")
        assert 10 < problem["index"] < 50
        assert "fewer items" in problem["hint"]


async def test_an_error_of_the_database_belongs_to_an_item(shop_url: str, tmp_path: Path) -> None:
    text = "-- @param n int\nSELECT artist_id, 10 / :n AS q FROM artist WHERE artist_id = 1\n"
    if shop_url.startswith("postgresql"):
        folder = write_files(tmp_path / "own", {"divided.sql": text})
        async with running(Settings(database_url=shop_url, queries=folder, log_calls=False)) as client:
            answer = await client.post("/queries/divided", json=[{"n": 1}, {"n": 2}, {"n": 0}, {"n": 0}])
            assert answer.status_code >= 400
            assert answer.json()["index"] == 2
            answer = await client.post("/queries/divided", json=[{"n": 1}, {"n": 2}])
            assert [r["data"][0]["q"] for r in answer.json()["results"]] == [10, 5]


async def test_all_items_see_one_moment(shop_url: str, tmp_path: Path) -> None:
    """While others add an artist and take one away, in one transaction, there are five at each moment."""
    text = {"count.sql": "-- name: count$\n-- @param n int\nSELECT count(*) + :n - :n FROM artist;\n"}
    folder = write_files(tmp_path / "own", text)
    async with running(Settings(database_url=shop_url, queries=folder, log_calls=False)) as client:
        done = asyncio.Event()

        async def change() -> None:
            for n in range(100, 130):
                await asyncio.to_thread(
                    lambda n=n: asyncio.run(
                        run_script(shop_url, f"INSERT INTO artist (artist_id, name) VALUES ({n}, 'a{n}');")
                    )
                )
            done.set()

        changing = asyncio.create_task(change())
        calls = 0
        while not done.is_set() or not calls:
            found = (await client.post("/queries/count", json=[{"n": n % 7} for n in range(150)])).json()["results"]
            assert len({result["value"] for result in found}) == 1
            calls += 1
        await changing


async def test_what_it_takes_is_described(client: httpx.AsyncClient) -> None:
    await client.get("/queries/artists/get?artist_id=1")
    paths = (await client.get("/openapi.json")).json()["paths"]
    operation = paths["/queries/artists/get"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert (body["type"], body["maxItems"]) == (["object", "array"], 1000)
    for sent, taken in (
        ([{"artist_id": 1}], True), ([], True), ({"artist_id": 1}, True), ([{}], False), ([1], False), ({}, False)
    ):  # fmt: skip
        answer = await client.post("/queries/artists/get", json=sent)
        assert (answer.status_code == 200) == taken == conforms(sent, body), sent
        assert not taken or conforms(answer.json(), answer_schema({"paths": paths}, "/queries/artists/get"))
    write = paths["/queries/artists/add"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert write["type"] == "object"
    entries = {entry["name"]: entry for entry in (await client.get("/queries")).json()["queries"]}
    takes = {name: entry["takes_array"] for name, entry in entries.items()}
    assert (takes["artists.get"], takes["artists.add"], takes["artists.add_many"]) == (True, False, True)
