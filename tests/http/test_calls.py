"""Calls over HTTP: bodies, paging, and every refusal that does not need a fault of the database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from record_shop import assert_problem, run_script, running, until, write_files
from sqlwright.config import Settings
from sqlwright.http.app import create_app

JSON = {"content-type": "application/json"}


async def test_bodies_of_every_cardinality(client: httpx.AsyncClient) -> None:
    everything = await client.get("/queries/artists/all")
    assert everything.status_code == 200
    assert everything.headers["content-type"] == "application/json"
    assert everything.headers["cache-control"] == "no-store"
    assert everything.headers["x-content-type-options"] == "nosniff"
    assert everything.json()["data"][4] == {"artist_id": 5, "name": "Björk", "rating": 5}
    assert everything.json()["next"] is None
    one = await client.get("/queries/artists/get?artist_id=4")
    assert one.json() == {"artist_id": 4, "name": "Alanis", "rating": None}
    assert (await client.get("/queries/artists/find?name=nobody")).json() is None
    assert (await client.get("/queries/artists/how_many")).json() == {"value": 5}
    assert (await client.get("/queries/artists/some?ids=1&ids=3")).json()["data"] == [
        {"artist_id": 1},
        {"artist_id": 3},
    ]
    added = await client.post("/queries/artists/add", json={"artist_id": 6, "name": "Zappa", "rating": 2})
    assert added.json() == {"affected": 1}
    renamed = await client.post("/queries/artists/rename", json={"artist_id": 6, "name": "Frank Zappa"})
    assert renamed.json() == {"artist_id": 6, "name": "Frank Zappa"}
    many = [{"artist_id": n, "name": f"band {n}"} for n in range(10, 20)]
    assert (await client.post("/queries/artists/add_many", json=many)).json() == {"affected": 10}
    nested = await client.get("/queries/shop/stock/albums?artist_id=1")
    assert nested.json()["data"][0]["title"] == "For Those About To Rock"


async def test_get_head_and_post_agree(client: httpx.AsyncClient) -> None:
    by_get = await client.get("/queries/artists/get?artist_id=1")
    by_post = await client.post("/queries/artists/get", json={"artist_id": 1})
    by_head = await client.head("/queries/artists/get?artist_id=1")
    assert by_get.json() == by_post.json()
    assert (by_head.status_code, by_head.content) == (200, b"")
    assert by_head.headers["content-length"] == by_get.headers["content-length"]
    assert (await client.post("/queries/artists/all")).json() == (await client.get("/queries/artists/all")).json()


async def test_pages_give_every_row_once(client: httpx.AsyncClient) -> None:
    found, url, pages = [], "/queries/artists/all?limit=2", 0
    while url:
        response = await client.get(url)
        found += [row["artist_id"] for row in response.json()["data"]]
        pages += 1
        link = response.headers.get("link", "")
        assert bool(link) == (response.json()["next"] is not None)
        url = urljoin(str(response.url), link.partition("<")[2].partition(">")[0]) if link else ""
        assert not url or "limit=2" in url
    assert (found, pages) == ([1, 2, 3, 4, 5], 3)


async def test_link_keeps_the_parameters_as_they_came(client: httpx.AsyncClient) -> None:
    first = await client.get("/queries/artists/some?ids=1&ids=2&ids=%33&limit=1")
    assert first.headers["link"].startswith("</queries/artists/some?ids=1&ids=2&ids=%33&limit=1&next=")
    second = await client.get(first.headers["link"][1:].partition(">")[0])
    assert second.json()["data"] == [{"artist_id": 2}]
    assert second.headers["link"].count("next=") == 1


async def test_behind_a_proxy_that_cuts_a_prefix(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        for path in ("/queries/artists/all", "/api/queries/artists/all"):  # servers differ in whether they put it back
            transport = httpx.ASGITransport(app=app, root_path="/api")
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                response = await client.get(f"{path}?limit=1")
                assert response.headers["link"].startswith("</api/queries/artists/all?limit=1&next=")
                assert (await client.get(path.replace("queries/artists/all", "livez"))).status_code == 200


async def test_page_of_post_has_no_link(client: httpx.AsyncClient) -> None:
    first = await client.post("/queries/artists/all?limit=2", content=b"{}", headers=JSON)
    assert "link" not in first.headers
    second = await client.post(f"/queries/artists/all?limit=2&next={first.json()['next']}", content=b"{}", headers=JSON)
    assert [row["artist_id"] for row in second.json()["data"]] == [3, 4]


async def test_limits_of_pages(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/queries/artists/top")).json()["data"]) == 2
    assert len((await client.get("/queries/artists/top?limit=3")).json()["data"]) == 3
    assert_problem(await client.get("/queries/artists/top?limit=4"), 422, "invalid_parameters")
    own = await client.get("/queries/artists/first_two")
    assert (len(own.json()["data"]), own.json()["next"]) == (2, None)


@pytest.mark.reliability(10)
async def test_foreign_and_edited_page_tokens(client: httpx.AsyncClient) -> None:
    token = (await client.get("/queries/artists/all?limit=2")).json()["next"]
    assert_problem(await client.get(f"/queries/artists/top?next={token}"), 400, "invalid_page_token")
    assert_problem(await client.get(f"/queries/artists/all?limit=2&next=x{token[1:]}"), 400, "invalid_page_token")


@pytest.mark.reliability(4)
async def test_all_faults_of_a_call_in_one_answer(client: httpx.AsyncClient) -> None:
    response = await client.post("/queries/artists/add", json={"artist_id": "1", "nmae": "x"})
    errors = assert_problem(response, 422, "invalid_parameters")["errors"]
    assert {(e["in"], e["parameter"]) for e in errors} == {
        ("body", "artist_id"), ("body", "nmae"), ("body", "name"), ("body", "rating"),
    }  # fmt: skip
    assert all(e["code"] and e["detail"] for e in errors)
    query = await client.get("/queries/artists/get?artist_id=one&artist=2")
    assert {e["in"] for e in assert_problem(query, 422, "invalid_parameters")["errors"]} == {"query"}
    bulk = await client.post("/queries/artists/add_many", json=[{"artist_id": 7, "name": "a"}, {"artist_id": 8}])
    assert assert_problem(bulk, 422, "invalid_parameters")["errors"][0]["index"] == 1
    assert_problem(await client.post("/queries/artists/add", json=[{"artist_id": 1}]), 422, "invalid_parameters")
    assert_problem(await client.post("/queries/artists/add_many", json={}), 422, "invalid_parameters")
    stray = await client.post("/queries/artists/add_many?name=x", json=[])
    assert assert_problem(stray, 422, "invalid_parameters")["errors"][0]["parameter"] == "name"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/queries/artists/get?artist_id=99", 404, "no_row"),
        ("/queries/artists/two", 500, "more_than_one_row"),
        ("/queries/artists/gett", 404, "unknown_query"),
        ("/queries/artists/", 404, "unknown_query"),
        ("/queries/", 404, "unknown_query"),
        ("/queries/artists.get", 404, "unknown_query"),
        ("/queries/artists/get/", 404, "unknown_query"),
        ("/queries/..%2fartists/get", 404, "unknown_query"),
        ("/queries/artists/get%00", 404, "unknown_query"),
        ("/queries/artists/%ff", 404, "unknown_query"),
        ("/queries/" + "a" * 5000, 404, "unknown_query"),
        ("/nothing", 404, "not_found"),
        ("/docs/%2e%2e%2fsecret", 404, "not_found"),
        ("/docs/nothing.js", 404, "not_found"),
        ("/queries/broken", 503, "query_invalid"),
    ],
)
async def test_gets_that_fail(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    assert_problem(await client.get(path), status, code)


@pytest.mark.reliability(2)
async def test_names_with_half_a_character(client: httpx.AsyncClient) -> None:
    response = await client.post("/queries/artists/get", content=rb'{"artist_id": 1, "\ud800": 1}', headers=JSON)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_miss_names_what_is_near(client: httpx.AsyncClient) -> None:
    assert "artists.get" in (await client.get("/queries/artists/gett")).json()["hint"]


async def test_scripts_are_not_callable(client: httpx.AsyncClient) -> None:
    body = assert_problem(await client.post("/queries/artists/wipe"), 404, "unknown_query")
    assert "sqlwright run artists.wipe" in body["hint"]
    assert (await client.get("/queries/artists/how_many")).json() == {"value": 5}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/queries/artists/add", "POST"),
        ("HEAD", "/queries/artists/add", "POST"),
        ("DELETE", "/queries/artists/add", "POST"),
        ("PUT", "/queries/artists/all", "GET, HEAD, POST"),
        ("OPTIONS", "/queries/artists/all", "GET, HEAD, POST"),
        ("POST", "/queries/artists", "GET, HEAD"),
        ("POST", "/queries", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
@pytest.mark.reliability(6)
async def test_wrong_methods(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert {part.strip() for part in response.headers["allow"].split(",")} == set(allow.split(", "))
    if method != "HEAD":
        assert_problem(response, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"content-type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"artist_id=1", 415, "unsupported_media_type"),
        ({"content-type": "application/json; charset=latin-1"}, b"{}", 415, "unsupported_media_type"),
        ({}, b"{}", 415, "unsupported_media_type"),
        ({**JSON, "content-encoding": "br"}, b"{}", 415, "unsupported_content_coding"),
        (JSON, b"{", 400, "malformed_request"),
        (JSON, b'{"artist_id": NaN}', 400, "malformed_request"),
        (JSON, b'{"artist_id": 1, "artist_id": 2}', 400, "malformed_request"),
        (JSON, b'{"artist_id": "\xff"}', 400, "malformed_request"),
        (JSON, b"[" * 65 + b"]" * 65, 400, "malformed_request"),
        (JSON, b'{"artist_id": 1' + b" " * 2_000_000 + b"}", 413, "body_too_large"),
        ({**JSON, "accept": "text/html"}, b'{"artist_id": 1}', 406, "not_acceptable"),
        ({**JSON, "accept": "application/json;q=0, */*"}, b'{"artist_id": 1}', 406, "not_acceptable"),
    ],
)
async def test_bodies_that_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    assert_problem(await client.post("/queries/artists/get", content=content, headers=headers), status, code)


async def test_bodies_that_are_taken(client: httpx.AsyncClient) -> None:
    for content_type in (
        "application/json; charset=UTF-8",
        "Application/Vnd.Api+JSON",
        'application/json;charset="utf-8"',
    ):
        headers = {"content-type": content_type, "content-encoding": "identity", "accept": "text/html, */*;q=0.1"}
        response = await client.post("/queries/artists/get", content=b'{"artist_id": 1}', headers=headers)
        assert response.status_code == 200, response.text
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/queries/artists/all", content=b"", headers=form)).status_code == 200


@pytest.mark.reliability(5)
async def test_body_limit_also_counts_chunks(client: httpx.AsyncClient) -> None:
    async def chunks() -> object:
        yield b'{"artist_id": 1'
        for _ in range(40):
            yield b" " * 50_000
        yield b"}"

    response = await client.post("/queries/artists/get", content=chunks(), headers=JSON)  # type: ignore[arg-type]
    assert_problem(response, 413, "body_too_large")


@pytest.mark.reliability(5)
async def test_bulk_bodies_have_a_limit_of_their_own(settings: Settings) -> None:
    limits = {"body_bytes_max": 50, "bulk_body_bytes_max": 500, "bulk_items_max": 3}
    async with running(settings.model_copy(update=limits)) as client:
        items = [{"artist_id": n, "name": f"band number {n}"} for n in range(10, 13)]
        assert (await client.post("/queries/artists/add_many", json=items)).json() == {"affected": 3}
        items = [{"artist_id": n, "name": "x"} for n in range(20, 24)]
        assert_problem(await client.post("/queries/artists/add_many", json=items), 422, "invalid_parameters")
        too_long = [{"artist_id": 30, "name": "x" * 500}]
        assert_problem(await client.post("/queries/artists/add_many", json=too_long), 413, "body_too_large")
        long = {"artist_id": 1, "name": "x" * 100, "rating": 1}
        assert_problem(await client.post("/queries/artists/add", json=long), 413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("artists/add", {"artist_id": 1, "name": "x", "rating": 1}, 409, "unique_violation"),
        ("artists/add", {"artist_id": 9, "name": "x", "rating": -1}, 422, "check_violation"),
        ("shop/add_album", {"album_id": 9, "artist_id": 99, "title": "x"}, 409, "foreign_key_violation"),
        ("artists/rename", {"artist_id": 99, "name": "x"}, 404, "no_row"),
    ],
)
async def test_what_the_database_refuses(
    client: httpx.AsyncClient, path: str, content: object, status: int, code: str
) -> None:
    body = assert_problem(await client.post(f"/queries/{path}", json=content), status, code)
    assert body["outcome"] == "none"
    assert "database" not in body


async def test_development_shows_what_the_database_said(settings: Settings) -> None:
    async with running(settings.model_copy(update={"reload": True})) as client:
        refused = await client.post("/queries/artists/add", json={"artist_id": 1, "name": "x", "rating": 1})
        assert refused.json()["database"]["message"]
        invalid = (await client.get("/queries/broken")).json()
        assert "missing_table" in invalid["diagnostic"]["message"]
        assert invalid["diagnostic"]["file"].endswith("broken.sql")


async def test_503_says_when_to_come_again(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/broken")
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["retryable"] is True


async def test_a_refused_query_serves_once_the_schema_is_right(client: httpx.AsyncClient, shop_url: str) -> None:
    assert_problem(await client.get("/queries/broken"), 503, "query_invalid")
    await run_script(shop_url, "CREATE TABLE missing_table (secret_column text)")
    await until(client, "/queries/broken", 200)


async def test_request_ids(client: httpx.AsyncClient) -> None:
    for path in ("/queries/artists/all", "/livez", "/nothing"):
        given = await client.get(path, headers={"x-request-id": "abc.DEF:1_2-3"})
        assert given.headers["x-request-id"] == "abc.DEF:1_2-3"
        for bad in ("a b", "ä", "x" * 129, ""):
            made = (await client.get(path, headers={"x-request-id": bad.encode()})).headers["x-request-id"]
            assert made not in ("", bad)
    first, second = [(await client.get("/livez")).headers["x-request-id"] for _ in range(2)]
    assert first != second


async def test_server_timing(client: httpx.AsyncClient) -> None:
    timing = (await client.get("/queries/artists/all")).headers["server-timing"]
    assert [part.split(";")[0].strip() for part in timing.split(",")] == ["queue", "db", "encode"]


def pools_are_whole(ready: httpx.Response) -> bool:
    pools = [pool for group in ready.json()["database"]["pools"].values() for pool in group]
    return all(pool["idle"] == pool["size"] and not pool["mending"] and not pool["waiting"] for pool in pools)


async def test_request_deadline(shop_url: str, tmp_path: Path) -> None:
    slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000000) SELECT count(*) FROM n"
    folder = write_files(
        tmp_path / "slow",
        {
            "read.sql": f"-- :result :value\n{slow}\n",
            "own.sql": f"-- :result :value\n-- @timeout 300ms\n{slow}\n",
            "write.sql": (
                "-- :result :exec\nUPDATE artist SET rating = 1 WHERE artist_id ="
                f" (SELECT 1 FROM ({slow.replace('count(*)', 'count(*) AS c')}) AS s WHERE s.c > 0)\n"
            ),
        },
    )
    settings = Settings(database_url=shop_url, queries=folder, request_timeout_seconds=0.5, log_calls=False)
    async with running(settings) as client:
        await until(client, "/readyz", 200)
        read = assert_problem(await client.get("/queries/read"), 504, "deadline_exceeded")
        assert read["outcome"] == "none"
        assert assert_problem(await client.post("/queries/write"), 504, "deadline_exceeded")["outcome"] == "unknown"
        assert_problem(await client.get("/queries/own"), 504, "statement_timeout")
        await until(client, "/readyz", 200, pools_are_whole)


@pytest.mark.reliability(35)
async def test_slow_bodies(settings: Settings) -> None:
    async def trickle() -> object:
        yield b"{"
        await asyncio.sleep(5)

    async with running(settings.model_copy(update={"request_timeout_seconds": 0.2})) as client:
        response = await client.post("/queries/artists/all", content=trickle(), headers=JSON)  # type: ignore[arg-type]
        assert_problem(response, 408, "body_too_slow")
