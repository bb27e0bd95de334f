"""The OpenAPI document says what calls take and give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from json_schema import answer_schema, conforms
from record_shop import SCHEMA, assert_problem, run_script, running, until, write_files
from sqlwright.config import Settings
from sqlwright.http.schemas import parameter_schema
from sqlwright.query import Kind, Literal, Parameter, Rules, SqlType

FILES = {
    "a/b_c.sql": "-- :result :value\nSELECT artist_id FROM artist WHERE artist_id = :id\n",
    "a_b/c.sql": "SELECT artist_id FROM artist ORDER BY artist_id LIMIT 2\n",
    "own/next.sql": "-- @param next integer\nSELECT artist_id FROM artist WHERE artist_id > :next ORDER BY artist_id\n",
    "maybe.sql": "-- :result :one?\nSELECT artist_id, name FROM artist WHERE artist_id = :id\n",
    "ruled.sql": (
        "-- :result :one\n-- @param status text in (open, paid)\n-- @param name text? len 1..5 pattern '[a-z]+|é'\n"
        "-- @param big bigint = 2 in (1, 2, 9007199254740993)\n-- @param top integer = 10 min 1 max 100\n"
        "SELECT :status AS status, :name AS name, :big AS big, :top AS top\n"
    ),
}


def serving(database_url: str, folder: Path, files: dict[str, str], **changes: Any) -> AbstractAsyncContextManager[Any]:
    queries = write_files(folder, files)
    return running(Settings(database_url=database_url, queries=queries, log_calls=False, **changes))


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    await asyncio.to_thread(asyncio.run, run_script(database_url, SCHEMA))
    async with serving(database_url, tmp_path / "queries", FILES) as client:
        await until(client, "/readyz", 200)
        yield client


async def test_answers_are_as_described(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, call in {
        "/queries/a/b_c": "?id=1", "/queries/a_b/c": "", "/queries/own/next": "?next=1", "/queries/maybe": "?id=1",
        "/queries/ruled": "?status=open&name=a",
    }.items():  # fmt: skip
        answer = await client.get(path + call)
        assert answer.status_code == 200, answer.text
        assert conforms(answer.json(), answer_schema(document, path)), (path, answer.text)
    # Nothing there: `:value` and `:one?` are null then.
    for path in ("/queries/a/b_c", "/queries/maybe"):
        answer = await client.get(path, params={"id": 99})
        assert conforms(answer.json(), answer_schema(document, path)), (path, answer.text)
    wrong = assert_problem(await client.get("/queries/a/b_c?id=x"), 422, "invalid_parameters")
    assert conforms(wrong, document["components"]["schemas"]["Problem"])


async def test_identifiers_are_unique(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    identifiers = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(identifiers) == len(set(identifiers))


async def test_paging_parameters_are_those_that_work(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    def names(path: str) -> dict[str, Any]:
        return {entry["name"]: entry["schema"] for entry in paths[path]["get"]["parameters"]}

    # A statement with a LIMIT of its own has no next page, and as many rows as it says.
    assert set(names("/queries/a_b/c")) == {"limit"}
    assert names("/queries/a_b/c")["limit"]["default"] == 1000
    body = paths["/queries/own/next"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for place in (names("/queries/own/next"), body["properties"]):
        assert place["limit"]["minimum"] == 1
        assert place["next"]["type"] == "integer"
    assert "parameters" not in paths["/queries/own/next"]["post"]
    for sent in ({"next": 0, "limit": 1}, {"next": 0}):
        assert conforms(sent, body)
        assert (await client.post("/queries/own/next", json=sent)).status_code == 200


async def test_a_parameter_named_next_is_the_querys_own(client: httpx.AsyncClient) -> None:
    """No page can follow then: a token would have nowhere to go."""
    page = await client.get("/queries/own/next?next=0&limit=2")
    assert page.json() == {"data": [{"artist_id": 1}, {"artist_id": 2}], "next": None, "truncated": True}
    assert "link" not in page.headers


async def test_what_the_document_takes_the_service_takes(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/queries/ruled"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    good = {"status": "open", "name": "abc", "big": 1, "top": 100}
    for changes in (
        {}, {"name": None}, {"name": "é"}, {"name": "a1"}, {"name": "1a"}, {"name": ""}, {"name": "abcdef"},
        {"status": "lost"}, {"status": None}, {"top": 0}, {"top": 101}, {"top": 1.5}, {"big": 3}, {"big": "1"},
        {"x": 1},
    ):  # fmt: skip
        body = good | changes
        answer = await client.post("/queries/ruled", json=body)
        assert answer.status_code in (200, 422), answer.text
        assert (answer.status_code == 200) == conforms(body, schema), (body, answer.text)
    # A query string has no null, but may leave out what has a default.
    name = next(entry for entry in document["paths"]["/queries/ruled"]["get"]["parameters"] if entry["name"] == "name")
    assert name["schema"]["type"] == "string"


async def test_numbers_that_json_does_not_have(postgresql_url: str, tmp_path: Path) -> None:
    sql = "SELECT 'NaN'::numeric AS a, 'Infinity'::float8 AS b, '-Infinity'::float4 AS c, 1.5::numeric AS d\n"
    async with serving(postgresql_url, tmp_path / "queries", {"special.sql": sql}) as client:
        await until(client, "/readyz", 200)
        document = (await client.get("/openapi.json")).json()
        schema = answer_schema(document, "/queries/special")
        answer = (await client.get("/queries/special")).json()
        assert answer["data"] == [{"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5}]
        assert conforms(answer, schema)
        answer["data"][0]["a"] = "many"
        assert not conforms(answer, schema)


async def test_big_numbers_as_strings(postgresql_url: str, tmp_path: Path) -> None:
    header = "-- :result :one\n-- @param id bigint = 2 in (1, 2)\n-- @param price numeric\n"
    sql = header + "SELECT :id AS id, :price AS price\n"
    async with serving(postgresql_url, tmp_path / "queries", {"big.sql": sql}, big_numbers="string") as client:
        await until(client, "/readyz", 200)
        document = (await client.get("/openapi.json")).json()
        schema = document["paths"]["/queries/big"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["properties"]["id"]["default"] == "2"
        for body in ({"id": "1", "price": "1.50"}, {"id": "2", "price": "7"}, {"id": "3", "price": "1"}):
            answer = await client.post("/queries/big", json=body)
            assert (answer.status_code == 200) == conforms(body, schema), (body, answer.text)
            if answer.status_code == 200:
                assert answer.json() == body
                assert conforms(answer.json(), answer_schema(document, "/queries/big"))


def test_lengths_of_bytes_are_those_of_their_base64() -> None:
    parameter = Parameter("blob", SqlType("bytea", Kind.BYTES), rules=Rules(length_min=2, length_max=4))
    schema = parameter_schema(parameter, big_as_text=False)
    assert (schema["minLength"], schema["maxLength"]) == (4, 8)


@pytest.mark.parametrize(("kind", "bits"), [(Kind.INT2, 16), (Kind.INT4, 32), (Kind.INT8, 64)])
def test_integers_have_their_range(kind: Kind, bits: int) -> None:
    schema = parameter_schema(Parameter("n", SqlType("", kind), default=Literal("1")), big_as_text=False)
    assert (schema["minimum"], schema["maximum"]) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


# --- tables and transactions ------------------------------------------------------------------------------------

TABLES = """
CREATE TABLE kind (kind_id integer PRIMARY KEY, word varchar(5) NOT NULL, price numeric(10, 2), born date);
CREATE TABLE part (a integer, b varchar(20), c integer DEFAULT 3 NOT NULL, PRIMARY KEY (a, b));
CREATE VIEW words AS SELECT word FROM kind;
INSERT INTO kind VALUES (1, 'one', 1.50, '2024-12-31'), (2, 'two', NULL, NULL);
INSERT INTO part VALUES (1, 'x', 1);
"""


@pytest.fixture
async def tables_client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    await asyncio.to_thread(asyncio.run, run_script(database_url, SCHEMA + TABLES))
    files = {"tables/kind.sql": "SELECT 1 AS one\n"}  # a query may have a name that a table's call has too
    async with serving(database_url, tmp_path / "queries", files, tables=("kind", "part", "words")) as client:
        await until(client, "/readyz", 200)
        yield client


def schema_of(operation: dict[str, Any], status: str) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"][status]["content"]["application/json"]["schema"]
    return found


async def test_tables_answer_as_described(tables_client: httpx.AsyncClient) -> None:
    client = tables_client
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {path for path in paths if path.startswith("/tables")} == {
        "/tables/kind", "/tables/kind/{kind_id}", "/tables/part", "/tables/part/{a},{b}", "/tables/words",
    }  # fmt: skip
    assert set(paths["/tables/words"]) == {"get"}
    identifiers = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(identifiers) == len(set(identifiers))
    rows, row = paths["/tables/kind"], paths["/tables/kind/{kind_id}"]
    for call in ("", "?kind_id=1", "?limit=1"):
        answer = await client.get("/tables/kind" + call)
        assert conforms(answer.json(), schema_of(rows["get"], "200")), answer.text
    created = await client.post("/tables/kind", json={"kind_id": 3, "word": "three"})
    assert conforms(created.json(), schema_of(rows["post"], str(created.status_code)))
    assert "location" in created.headers
    for method, body in (("get", None), ("patch", {"word": "tree"}), ("put", {"word": "drei", "price": 3})):
        answer = await client.request(method, "/tables/kind/3", json=body)
        assert conforms(answer.json(), schema_of(row[method], str(answer.status_code))), answer.text
    gone = await client.delete("/tables/kind/3")
    assert str(gone.status_code) in row["delete"]["responses"]
    answer = await client.get("/tables/part/1,x")
    assert conforms(answer.json(), schema_of(paths["/tables/part/{a},{b}"]["get"], "200"))
    wrong = assert_problem(await client.get("/tables/part/x,x"), 422, "invalid_parameters")
    document = (await client.get("/openapi.json")).json()
    assert conforms(wrong, document["components"]["schemas"]["Problem"])


async def test_what_the_document_takes_tables_take(tables_client: httpx.AsyncClient) -> None:
    client = tables_client
    paths = (await client.get("/openapi.json")).json()["paths"]
    rows, row = paths["/tables/kind"], paths["/tables/kind/{kind_id}"]
    await client.post("/tables/kind", json={"kind_id": 3, "word": "three"})
    for method, path, operation in (("POST", "/tables/kind", rows["post"]), ("PUT", "/tables/kind/3", row["put"]),
                                    ("PATCH", "/tables/kind/3", row["patch"])):  # fmt: skip
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for number, body in enumerate((
            {"kind_id": 3, "word": "abc"}, {"word": "abc"}, {"kind_id": 3}, {"kind_id": 3, "word": "abcdef"},
            {"kind_id": 3, "word": None}, {"kind_id": 3, "word": "a", "price": None}, {"kind_id": 3, "word": 1},
            {"kind_id": 3, "word": "a", "born": "2024-01-01"}, {"kind_id": "3", "word": "a"}, {"word": "a", "x": 1}, {},
        )):  # fmt: skip
            sent = {**body, "kind_id": 100 + number} if method == "POST" and body.get("kind_id") == 3 else body
            answer = await client.request(method, path, json=sent)
            assert answer.status_code in (200, 201, 422), answer.text
            assert (answer.status_code < 300) == conforms(sent, schema), (method, sent, answer.text)
    names = {entry["name"]: entry["schema"] for entry in rows["get"]["parameters"]}
    values = {"integer": "1", "string": "a", "number": "1", "boolean": "true", "array": "1"}
    for name, schema in names.items():
        type_ = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
        value = {"date": "2024-01-01"}.get(schema.get("format", ""), "word" if name == "sort" else values[type_])
        value = "2024-01-01" if name == "born__in" else value
        if name != "next":
            answer = await client.get("/tables/kind", params={name: value})
            assert answer.status_code == 200, (name, answer.text)
    for name in ("word__like", "kind_id__in", "price__gte", "born__isnull", "word", "limit", "next"):
        assert name in names
    assert "price__like" not in names
    assert (await client.get("/tables/kind?price__like=1")).status_code == 422


async def test_what_the_document_takes_transactions_take(tables_client: httpx.AsyncClient) -> None:
    client = tables_client
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/transaction"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    one = {"query": "tables.kind"}
    get = {"table": "kind", "key": 1, "get": True}
    for body in (
        {"steps": [one]}, {"steps": [one], "isolation": None}, {"steps": [one], "isolation": "serializable"},
        {"steps": [one], "isolation": "chaos"}, {"steps": [one], "dry_run": True}, {"steps": [one], "dry_run": "yes"},
        {"steps": one}, {}, {"steps": [one], "step": 1}, {"steps": [{**one, "as": "a"}]},
        {"steps": [{**one, "as": "1"}]},
        {"steps": [{**one, "params": {}}]}, {"steps": [{**one, "params": 1}]}, {"steps": [{**one, "parms": {}}]},
        {"steps": [get]}, {"steps": [{**get, "get": False}]}, {"steps": [{**get, "limit": 1}]},
        {"steps": [{"table": "kind", "get": True}]}, {"steps": [{**get, "as": "x.y"}]},
        {"steps": [{**one, "table": "kind"}]},
        {"steps": [{"table": "kind", "list": {"kind_id__gt": 0}, "sort": ["-word"], "limit": 1}]},
        {"steps": [{"table": "words", "list": {}, "sort": "word"}]}, {"steps": [{"table": "kind", "list": []}]},
        {"steps": [{"table": "kind", "create": {"kind_id": 9, "word": "nine"}}], "dry_run": True},
        {"steps": [{"table": "kind", "key": {"kind_id": 1}, "update": {"word": "eins"}}]},
        {"steps": [{"table": "kind", "key": [1], "replace": {"word": "uno"}}]},
        {"steps": [{"table": "kind", "key": 2, "delete": True}]},
    ):  # fmt: skip
        answer = await client.post("/transaction", json=body)
        assert answer.status_code in (200, 422), answer.text
        assert (answer.status_code == 200) == conforms(body, schema), (body, answer.text)
        if answer.status_code == 200:
            assert conforms(answer.json(), schema_of(operation, "200"))
        else:
            assert conforms(answer.json(), document["components"]["schemas"]["Problem"])


async def test_the_document_is_there_while_the_database_is_away(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with serving(url, tmp_path / "queries", FILES, tables=("kind",), connect_timeout_seconds=0.2) as client:
        document = (await client.get("/openapi.json")).json()
        assert "/queries/maybe" in document["paths"]
        assert "/transaction" in document["paths"]
        assert_problem(await client.get("/tables/kind"), 503, "database_unavailable")
        assert_problem(await client.get("/tables"), 503, "database_unavailable")
