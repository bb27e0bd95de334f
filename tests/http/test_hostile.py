"""What a stranger may send: every answer has its shape, none is an accident, and the next call is served."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import socket
from typing import Any

import httpx
import pytest

from json_schema import conforms
from record_shop import assert_problem, until
from server_process import Server, start
from sqlwright.config import Settings
from sqlwright.http.calls import BODY_BYTES_ON_LOOP_MAX

SEED = 20_261_123
CALLS = 400
LEAK = re.compile(r"SELECT |INSERT |Traceback|postgresql://|sqlite:///|/tmp/|File \"|asyncpg|sqlite3\.")
HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**400, 1.0, 1.5, -0.0, 5e-324, 1.8e308, "", " ", "1",
    "a", "AC/DC", "Ä\u0301", "\0", "a\0b", "\ud800", "\u202e", "\x1b[2J", "a\r\nb: c", "%00", "NaN", "Infinity", "null",
    "' OR 1=1 --", "1; DROP TABLE artist", "$1", ":name", "x" * 5000, [], [1], ["a", None], [[1]], {}, {"a": 1},
    "2024-02-30", "infinity", "AAAA",
]  # fmt: skip


@pytest.mark.usefixtures("shop_url")
async def test_calls_made_of_anything(client: httpx.AsyncClient) -> None:
    """Names of the document with values that nobody expects; statuses are the documented ones, answers as described."""
    await until(client, "/readyz", 200)
    document = (await client.get("/openapi.json")).json()
    dice = random.Random(SEED)
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    for _ in range(CALLS):
        path, method, operation = dice.choice(operations)
        names = [*parameters_of(operation), "limit", "next", "nobody"]
        given = {name: dice.choice(HOSTILE) for name in names if dice.random() < 0.6}
        if method == "get":
            pairs = [(name, text(value)) for name, value in given.items() for _ in range(dice.choice((1, 1, 1, 2)))]
            answer = await client.get(path, params=pairs)
        else:
            body = dice.choice((given, given, [given], [given, given], *HOSTILE[:1]))
            sent = json.dumps(body).encode()
            answer = await client.post(path, content=sent, headers={"content-type": "application/json"})
        if answer.status_code == 200:
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert conforms(answer.json(), schema), (path, given, answer.text)
        else:
            # `broken` is refused by the database, `two` gives two rows.
            codes = {400, 404, 409, 422} | {"/queries/broken": {503}, "/queries/artists/two": {500}}.get(path, set())
            assert answer.status_code in codes, (path, given, answer.text)
            assert conforms(answer.json(), document["components"]["schemas"]["Problem"]), answer.text
            assert_problem(answer, answer.status_code, answer.json()["code"])
        assert not LEAK.search(answer.text.replace("there is no", "")) or "errors" in answer.text, answer.text


def parameters_of(operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    properties = schema.get("items", schema).get("properties", {})
    return [*(entry["name"] for entry in operation.get("parameters", ())), *properties]


def text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else json.dumps(value)


@pytest.fixture(params=["granian", "uvicorn"])
def server(request: pytest.FixtureRequest, settings: Settings) -> Any:
    with start(request.param, settings.database_url, settings.queries) as server:
        server.until("/readyz", 200)
        yield server


def wire(method: str, target: str, *headers: str, body: bytes | None = None, version: str = "1.1") -> bytes:
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", "Connection: close", *length, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


GET, JSON = "/queries/artists/get", "Content-Type: application/json"
ON_THE_WIRE: list[tuple[bytes, set[int]]] = [
    *((wire("POST", GET, JSON, body=body), {400}) for body in (
        b"{", b" ", b'{"artist_id":NaN}', b'{"artist_id":1e400}', b'{"a":1,"a":2}', b"[" * 100_000, b'{"a":' * 70,
        b'{"a":"\xff"}', b"\xef\xbb\xbf{}", b'{"artist_id":' + b"9" * 5000 + b"}", b'{"a":1e-' + b"9" * 5000 + b"}",
    )),
    *((wire("POST", GET, JSON, body=body), {422}) for body in (
        b'{"artist_id":99999999999999999999}', b'{"artist_id":1.0}', b'{"artist_id":"1"}', b'{"artist_id":[1]}',
        b'{"\\ud800":1}', b'{"\\u0000":1}', b"[1]", b"[[]]", b"null", b'{"artist_id":' + b"9" * 4000 + b"}",
    )),
    *((wire("POST", GET, f"Content-Type: {kind}", body=b"{}"), {415}) for kind in ("text/plain", "", "a" * 5000)),
    *((wire("POST", GET, JSON, f"Content-Encoding: {name}", body=gzip.compress(b"{}")), {415}) for name in (
        "br", "gzip, gzip", "gzip\r\nContent-Encoding: gzip",
    )),
    *((wire("POST", GET, JSON, f"Content-Encoding: {name}", body=body), {400}) for name, body in (
        ("gzip", b"{}"), ("deflate", gzip.compress(b"{}")), ("gzip", gzip.compress(b"{}")[:-1]),
        ("gzip", gzip.compress(b"{}") * 2), ("identity", gzip.compress(b"{}")),
    )),
    (wire("POST", GET, JSON, "Content-Encoding: gzip", body=gzip.compress(b'{"artist_id":1}')), {200}),
    (wire("POST", GET, JSON, "Content-Encoding: gzip", body=gzip.compress(b" " * 2_000_000)), {413}),
    *((wire("GET", GET + "?artist_id=1", f"Accept: {accept}"), {406}) for accept in (
        "text/html", "a/b," * 1000, "*/*;q=nan",
    )),
    *((wire(method, GET), {405}) for method in ("PUT", "OPTIONS", "TRACE", "FOO", "get")),
    *((wire("GET", f"{GET}?{query}"), {422}) for query in (
        "artist_id=%", "artist_id=%ff", "%ff=1", "=1", "artist_id", "artist_id=1&artist_id=1", "artist_id=1_0", "&&",
        "artist_id=%D9%A1", "artist_id[]=1", "%ff&" * 8000,
    )),
    *((wire("GET", f"/queries/artists/all?next={token}"), {400}) for token in (
        "A", "A" * 32, "%C3%A9", "a%00", "A" * 9000,
    )),
    *((wire("GET", f"/queries/artists/all?{page}"), {422}) for page in (
        "limit=0", "limit=" + "9" * 99, "limit=1&limit=1",
    )),
    *((wire("GET", path), {400, 404}) for path in (
        "/queries/..%2f..%2fetc", "/queries/artists/get%00", "/queries/%0d%0aa:b", "/queries//artists/get", "/%zz",
        "/queries/" + "a/" * 3000, "/docs/..%2f..%2fsqlwright", "/docs/swagger-ui.css%00",
    )),
    (wire("GET", GET + "?" + "a&" * 30_000), {414}),
    (wire("GET", GET + "?artist_id=1", version="1.0"), {200}),
    (wire("GET", GET + "?artist_id=1", *(f"X-{n}: a" for n in range(60))), {200}),
    (wire("POST", GET, JSON, "Expect: 100-continue", body=b'{"artist_id":1}'), {200}),
    (wire("POST", GET, JSON, "Content-Length: 9999999"), {413}),
    (wire("GET", "/docs/swagger-ui.css", "Range: bytes=abc"), {200}),
    (wire("GET", GET + "?artist_id=1", "X-Request-Id: a\tb"), {200}),
]  # fmt: skip


@pytest.mark.reliability(1, 4, 5, 6, 7)
def test_on_the_wire(server: Server) -> None:
    for request, expected in ON_THE_WIRE:
        answer = server.raw(request)
        while answer.startswith(b"HTTP/1.1 100"):
            answer = answer.partition(b"\r\n\r\n")[2]
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        assert status in expected, (request[:200], answer[:500])
        if status >= 400:
            problem = json.loads(body)
            assert b"application/problem+json" in head
            assert problem["status"] == status
            assert not LEAK.search(body.decode()), body
            assert (status == 405) == (b"\nallow: " in head.lower())
    lines = [json.loads(line) for line in server.errors.splitlines()]
    assert [line for line in lines if line.get("level") == "error"] == []
    assert server.get(GET + "?artist_id=1").status_code == 200


def test_pipelined_calls_come_in_order(server: Server) -> None:
    one = b"GET /queries/artists/get?artist_id=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = server.raw(one % 1 + one % 2 + wire("GET", GET + "?artist_id=3"))
    assert re.findall(rb'"artist_id":(\d)', answer) == [b"1", b"2", b"3"]


def test_a_call_cut_short_leaves_nothing(server: Server) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(wire("POST", GET, JSON, "Content-Length: 100") + b'{"artist')
    ready = server.until("/readyz", 200).json()
    assert all(pool["waiting"] == 0 for pools in ready["database"]["pools"].values() for pool in pools)


async def test_large_bodies_leave_the_loop_free(client: httpx.AsyncClient) -> None:
    """A body that takes long to validate is refused while others are answered."""
    await until(client, "/readyz", 200)
    item = {"artist_id": 1, "name": "n" * 100}
    body = json.dumps([*([item] * 60_000), {"artist_id": "x", "name": ""}]).encode()
    assert len(body) > BODY_BYTES_ON_LOOP_MAX
    headers = {"content-type": "application/json"}
    large = asyncio.create_task(client.post("/queries/artists/add_many", content=body, headers=headers))
    answered = 0
    while not large.done():
        assert (await client.get("/livez")).status_code == 200
        answered += 1
        await asyncio.sleep(0.001)
    refused = assert_problem(await large, 422, "invalid_parameters")
    assert refused["errors"][0]["index"] == 60_000
    # On the loop not one of them would have come in between.
    assert answered > 5
