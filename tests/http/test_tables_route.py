"""/tables, in process, and where the raw path matters over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from record_shop import assert_problem, run_script, running, until, write_files
from server_process import start
from sqlwright.config import Settings

SCHEMA = """
CREATE TABLE artist (
  artist_id integer PRIMARY KEY, name varchar(100) NOT NULL UNIQUE, rating integer CHECK (rating > 0)
);
CREATE TABLE tag (scope varchar(50), label varchar(50), note varchar(50), PRIMARY KEY (scope, label));
CREATE TABLE secret (secret_id integer PRIMARY KEY);
CREATE TABLE line (word varchar(50));
CREATE VIEW good AS SELECT artist_id, name FROM artist WHERE rating > 3;
INSERT INTO artist VALUES (1, 'AC/DC', 5), (2, 'Accept', 3), (3, 'Alanis', NULL);
INSERT INTO tag VALUES ('a', 'b', 'plain'), ('a,b', 'c/d', 'odd'), ('é %', '?', 'odder');
"""
SERVED = ("artist", "tag", "good", "line", "lost")


def settings_of(database_url: str, folder: Path, **changes: Any) -> Settings:
    queries = write_files(folder, {"one.sql": "SELECT 1 AS one\n"})
    return Settings(database_url=database_url, queries=queries, log_calls=False, tables=SERVED, **changes)


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    await asyncio.to_thread(asyncio.run, run_script(database_url, SCHEMA))
    async with running(settings_of(database_url, tmp_path / "queries")) as client:
        yield client


async def test_the_way_of_a_row(client: httpx.AsyncClient) -> None:
    created = await client.post("/tables/artist", json={"artist_id": 7, "name": "Seven"})
    assert created.status_code == 201, created.text
    assert created.json() == {"artist_id": 7, "name": "Seven", "rating": None}
    assert created.headers["location"] == "/tables/artist/7"
    path = created.headers["location"]
    assert (await client.get(path)).json() == created.json()
    changed = await client.patch(path, json={"rating": 4})
    assert (changed.status_code, changed.json()) == (200, {"artist_id": 7, "name": "Seven", "rating": 4})
    replaced = await client.put(path, json={"name": "Sept"})
    assert (replaced.status_code, replaced.json()) == (200, {"artist_id": 7, "name": "Sept", "rating": None})
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.content, "content-type" in deleted.headers) == (204, b"", False)
    for method in ("GET", "HEAD", "DELETE"):
        answer = await client.request(method, path)
        assert answer.status_code == 404
    for method in ("PUT", "PATCH"):
        assert_problem(await client.request(method, path, json={"name": "x"}), 404, "no_row")


async def test_lists(client: httpx.AsyncClient) -> None:
    page = await client.get("/tables/artist?limit=2&sort=-name")
    assert [row["name"] for row in page.json()["data"]] == ["Alanis", "Accept"]
    assert page.headers["link"].startswith("</tables/artist?limit=2&sort=-name&next=")
    link = page.headers["link"].partition(">")[0].removeprefix("<")
    rest = (await client.get(link)).json()
    assert ([row["name"] for row in rest["data"]], rest["next"]) == (["AC/DC"], None)
    filtered = await client.get("/tables/artist?rating__gte=3&rating__lt=5")
    assert [row["artist_id"] for row in filtered.json()["data"]] == [2]
    head = await client.head("/tables/artist?artist_id=1")
    assert (head.status_code, head.content) == (200, b"")
    assert (await client.get("/tables/good")).json() == {"data": [{"artist_id": 1, "name": "AC/DC"}], "next": None}
    body = assert_problem(await client.get("/tables/artist?nam=x&limit=0"), 422, "invalid_parameters")
    assert {(fault["in"], fault["parameter"]) for fault in body["errors"]} == {("query", "nam"), ("query", "limit")}
    assert_problem(await client.get("/tables/artist?limit=1&next=x"), 400, "invalid_page_token")


@pytest.mark.parametrize("path", ["/tables/artists", "/tables/secret", "/tables/lost", "/tables/", "/tables/ARTIST'--"])
async def test_tables_that_are_not_served(client: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "TRACE"):
        body = assert_problem(await client.request(method, path), 404, "unknown_table")
        assert "secret" not in body["hint"]
    body = assert_problem(await client.get("/tables/artists/1"), 404, "unknown_table")
    assert body["hint"] == "did you mean artist?"
    assert_problem(await client.get("/tables/artist/1/2"), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/tables", "GET, HEAD"),
        ("/tables/artist", "GET, HEAD, POST"),
        ("/tables/artist/1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("/tables/good", "GET, HEAD"),
        ("/tables/line", "GET, HEAD, POST"),
    ],
)
async def test_methods(client: httpx.AsyncClient, path: str, allow: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        if method not in allow.split(", "):
            answer = await client.request(method, path)
            assert_problem(answer, 405, "method_not_allowed")
            assert answer.headers["allow"] == allow


async def test_rows_without_a_key_have_no_paths(client: httpx.AsyncClient) -> None:
    for path in ("/tables/good/1", "/tables/line/1"):
        for method in ("GET", "DELETE"):
            assert_problem(await client.request(method, path), 404, "not_found")
    created = await client.post("/tables/line", json={"word": "x"})
    assert (created.status_code, created.json(), "location" in created.headers) == (201, {"word": "x"}, False)


async def test_refused_bodies(client: httpx.AsyncClient) -> None:
    json_type = {"content-type": "application/json"}
    for path, method in (("/tables/artist", "POST"), ("/tables/artist/1", "PUT"), ("/tables/artist/1", "PATCH")):
        for content, status, code in (
            (b"{", 400, "malformed_request"),
            (b"[1]", 422, "invalid_parameters"),
            (b"1", 422, "invalid_parameters"),
            (b'{"nme": "x"}', 422, "invalid_parameters"),
            (b'{"name": 1}', 422, "invalid_parameters"),
            (b'{"name": "x", "name": "y"}', 400, "malformed_request"),
            (b'{"name": "%b"}' % (b"x" * 1024 * 1024), 413, "body_too_large"),
        ):
            answer = await client.request(method, path, content=content, headers=json_type)
            assert_problem(answer, status, code)
        answer = await client.request(method, path, content=b"{}", headers={"content-type": "text/plain"})
        assert_problem(answer, 415, "unsupported_media_type")
        answer = await client.request(method, path + "?x=1", json={"name": "x"})
        assert assert_problem(answer, 422, "invalid_parameters")["errors"][0]["in"] == "query"
        answer = await client.request(method, path, json={"name": "x"}, headers={"accept": "text/html"})
        assert_problem(answer, 406, "not_acceptable")
    body = assert_problem(await client.post("/tables/artist", json={"artist_id": 9, "name": "AC/DC"}), 409,
                          "unique_violation")  # fmt: skip
    assert [(f["parameter"], f["code"]) for f in body["errors"]] == [("name", "unique")]
    body = assert_problem(await client.get("/tables/artist/x"), 422, "invalid_parameters")
    assert body["errors"][0]["in"] == "path"


async def test_keys_of_several_columns(client: httpx.AsyncClient) -> None:
    for key, note in (("a,b", "plain"), ("a%2Cb,c%2Fd", "odd"), ("%C3%A9%20%25,%3F", "odder")):
        answer = await client.get(f"/tables/tag/{key}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["note"] == note
    created = await client.post("/tables/tag", json={"scope": "x,y/ü", "label": "100%"})
    assert created.headers["location"] == "/tables/tag/x%2Cy%2F%C3%BC,100%25"
    assert (await client.get(created.headers["location"])).json() == created.json()
    for key in ("a", "a,b,c", "%zz,b", "%ff,b"):
        body = assert_problem(await client.get(f"/tables/tag/{key}"), 422, "invalid_parameters")
        assert body["errors"][0]["in"] == "path"


async def test_catalogue(client: httpx.AsyncClient) -> None:
    here = (await client.get("/")).json()
    assert (here["links"]["tables"], here["post"]["transaction"]) == ("/tables", "/transaction")
    tables = {table["name"]: table for table in (await client.get("/tables")).json()["tables"]}
    assert set(tables) == {"artist", "tag", "good", "line"}
    assert tables["tag"]["key"] == ["scope", "label"]
    assert tables["tag"]["row_url"] == "/tables/tag/{scope},{label}"
    assert (tables["good"]["view"], tables["good"]["methods"], tables["good"]["row_url"]) == (
        True,
        ["GET", "HEAD"],
        None,
    )
    assert tables["artist"]["operations"] == ["list", "create", "get", "replace", "update", "delete"]
    columns = {column["name"]: column for column in tables["artist"]["columns"]}
    assert (columns["name"]["nullable"], columns["rating"]["nullable"]) == (False, True)
    ready = (await until(client, "/readyz", 200)).json()
    assert ready["tables"] == {"served": 4, "missing": ["lost"]}


async def test_below_a_prefix(database_url: str, tmp_path: Path) -> None:
    """A proxy has cut a prefix that the server puts back: into the path, the raw path, both or neither."""
    await asyncio.to_thread(asyncio.run, run_script(database_url, SCHEMA))
    from sqlwright.http.app import create_app

    app = create_app(settings_of(database_url, tmp_path / "queries"))
    async with app.router.lifespan_context(app):
        for prefix_in_path in ("", "/a b"):
            for raw in (b"/tables/tag/a%2Cb,c%2Fd", b"/a%20b/tables/tag/a%2Cb,c%2Fd", b"/tables/tag/a%2Cb,c%2Fd?x=1"):
                scope = {"path": prefix_in_path + "/tables/tag/a,b,c/d", "raw_path": raw, "root_path": "/a b"}
                status, body = await asgi_get(app, scope)
                assert (status, b'"odd"' in body) == (200, True), (scope, body)
        status, body = await asgi_get(app, {"path": "/tables/tag/a,b", "root_path": ""})
        assert b'"plain"' in body
        for raw_path in (None, b""):
            status, body = await asgi_get(app, {"path": "/tables/tag/a,b", "raw_path": raw_path, "root_path": ""})
            assert b'"plain"' in body


async def asgi_get(app: Any, scope: dict[str, Any]) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")], **scope}
    await app(whole, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_pages_of_other_origins_may_write_where_allowed(database_url: str, tmp_path: Path) -> None:
    settings = settings_of(database_url, tmp_path / "queries", allowed_origins=("https://shop.example",))
    async with running(settings) as client:
        answer = await client.options("/tables/artist/1", headers={"origin": "https://shop.example"})
        assert {"PUT", "PATCH", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
def test_raw_paths_of_servers(kind: str, database_url: str, tmp_path: Path) -> None:
    asyncio.run(run_script(database_url, SCHEMA))
    queries = write_files(tmp_path / "queries", {"one.sql": "SELECT 1 AS one\n"})
    with start(kind, database_url, queries, tables="tag") as server:
        server.until("/readyz", 200)
        assert server.get("/tables/tag/a%2Cb,c%2Fd").json()["note"] == "odd"
        assert server.get("/tables/tag/a,b").json()["note"] == "plain"
        assert server.get("/tables/tag/a,b,c%2Fd").status_code == 422
        answer = httpx.post(server.url + "/tables/tag", json={"scope": "ü,", "label": "/"})
        assert answer.headers["location"] == "/tables/tag/%C3%BC%2C,%2F"
        assert server.get(answer.headers["location"]).json() == answer.json()
        for method in ("PUT", "PATCH"):
            changed = httpx.request(method, server.url + answer.headers["location"], json={"note": method})
            assert changed.json()["note"] == method
        assert httpx.delete(server.url + answer.headers["location"]).status_code == 204
