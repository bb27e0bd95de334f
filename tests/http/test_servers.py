"""The application under granian (as `serve` runs it) and uvicorn, over sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from record_shop import assert_problem
from reliability import Tally
from server_process import Server, start


@pytest.fixture(params=["granian", "uvicorn"])
def server(request: pytest.FixtureRequest, shop_url: str, queries: Path) -> Iterator[Server]:
    with start(request.param, shop_url, queries, log_calls=True) as server:
        server.until("/readyz", 200)
        yield server


def request_line(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_calls(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.get("/queries/artists/get?artist_id=1").json()["name"] == "AC/DC"
        page = client.get("/queries/artists/all?limit=2")
        following = client.get(page.links["next"]["url"])
        assert [row["artist_id"] for row in following.json()["data"]] == [3, 4]
        added = client.post(
            "/queries/artists/add_many", json=[{"artist_id": 8, "name": "Ä"}, {"artist_id": 9, "name": "'"}]
        )
        assert added.json() == {"affected": 2}
        head = client.head("/queries/artists/all")
        assert (head.status_code, head.content) == (200, b"")
        assert client.head("/docs").status_code == 200
        assert_problem(client.post("/queries/artists/add", json={}), 422, "invalid_parameters")
        assert_problem(client.get("/queries/artists/add"), 405, "method_not_allowed")
        assert_problem(client.get("/queries/broken"), 503, "query_invalid")
        # The connection is still good after all of these.
        assert client.get("/queries/artists/how_many").json() == {"value": 7}


@pytest.mark.reliability(7)
def test_strange_paths(server: Server) -> None:
    for path in ("..%2f..%2fetc", "artists/get%00", "%ff", "artists%2f%ff%fe", "a" * 5000):
        answer = server.raw(request_line("GET", f"/queries/{path}", "Host: localhost"))
        assert (status(answer), b'"code":"unknown_query"' in answer) == (404, True), path
    # A parser may refuse a raw byte that no path has before we see it.
    assert status(server.raw(request_line("GET", "/queries/artists/ä", "Host: localhost"))) in (400, 404)


def test_hosts_and_origins_on_the_wire(server: Server) -> None:
    assert status(server.raw(request_line("GET", "/queries/artists/all"))) == 400
    assert status(server.raw(request_line("GET", "/livez", "Host: evil.example"))) == 403
    cross = ("Host: localhost", "Origin: https://evil.example", "Content-Type: text/plain", "Content-Length: 2")
    answer = server.raw(request_line("POST", "/queries/artists/add_many", *cross, body=b"[]"))
    assert (status(answer), b"origin_not_allowed" in answer) == (403, True)
    assert status(server.raw(request_line("GET", "http://evil.example/livez", "Host: evil.example"))) in (400, 403)


@pytest.mark.reliability("17a")
def test_pages_elsewhere(server: Server, tally: Tally) -> None:
    """A browser that shows a page from elsewhere: what the page can make it send without asking first (texts, forms),
    what a sandboxed page sends (`null`), and a name that has come to mean 127.0.0.1 (DNS rebinding)."""
    path, body = "/queries/artists/add_many", b'[{"artist_id":77,"name":"x"}]'
    port = server.port
    tried = 0
    for host, origin in (
        (f"127.0.0.1:{port}", "https://evil.example"), (f"localhost:{port}", "null"), (f"localhost:{port}", "file://"),
        (f"localhost:{port}", f"http://localhost:{port}.evil.example"), (f"localhost:{port}", "http://localhost:1"),
        (f"localhost:{port}", ""), (f"localhost:{port}", f"http://localhost:{port}, null"),
        (f"evil.example:{port}", f"http://evil.example:{port}"), (f"127.0.0.1.evil.example:{port}", None),
        (f"evil.example:{port}", None), (f"[::1].evil.example:{port}", None), (f"localhost@evil.example:{port}", None),
    ):  # fmt: skip
        sent = [f"Host: {host}", *([] if origin is None else [f"Origin: {origin}"])]
        for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded", "multipart/form-data"):
            headers = (*sent, f"Content-Type: {kind}", f"Content-Length: {len(body)}")
            for target in (path, "/tables/artist", "/transaction"):
                answer = server.raw(request_line("POST", target, *headers, body=body))
                assert status(answer) == 403, (host, origin, target, answer)
                assert b"access-control" not in answer.lower()
                tried += 1
        for method in ("GET", "OPTIONS"):
            assert status(server.raw(request_line(method, "/queries/artists/all", *sent))) == 403, (host, origin)
            tried += 1
    # A page that is not from elsewhere is served, and nothing of the others was written.
    own = (f"Host: 127.0.0.1:{port}", f"Origin: http://127.0.0.1:{port}")
    answer = server.raw(request_line("GET", "/queries/artists/how_many", *own))
    assert (status(answer), b'{"value":5}' in answer) == (200, True)
    tally.inputs("17a", tried)


@pytest.mark.reliability(8)
def test_lengths_that_disagree(server: Server) -> None:
    """Refused, or read by Transfer-Encoding alone as RFC 9112 §6.3 has it (granian); never by both.

    A proxy in front must do the same; those in use do.
    """
    common = ("Host: localhost", "Content-Type: application/json")
    both = ("Content-Length: 2", "Transfer-Encoding: chunked")
    answer = server.raw(request_line("POST", "/queries/artists/all", *common, *both, body=b"2\r\n{}\r\n0\r\n\r\n"))
    assert status(answer) in (0, 200, 400)
    assert answer.count(b"HTTP/1.1 ") <= 1
    # Whoever counted two bytes would find a body that is no JSON.
    assert status(answer) != 200 or b'"AC/DC"' in answer
    two = request_line("POST", "/queries/artists/all", *common, "Content-Length: 2", "Content-Length: 3", body=b"{} ")
    assert status(server.raw(two)) in (0, 400)


@pytest.mark.reliability(5)
def test_large_bodies(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(3):
            declared = client.post(
                "/queries/artists/get", content=b"{" + b" " * 3_000_000, headers={"content-type": "application/json"}
            )
            assert_problem(declared, 413, "body_too_large")
            assert declared.headers["connection"] == "close"
        assert client.get("/livez").status_code == 200
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    body = chunk * 40 + b"0\r\n\r\n"
    headers = ("Host: localhost", "Content-Type: application/json", "Transfer-Encoding: chunked")
    assert status(server.raw(request_line("POST", "/queries/artists/get", *headers, body=body))) == 413


def test_one_log_line_a_call(server: Server) -> None:
    server.get("/queries/artists/find?name=hidden")
    server.get("/queries/artists/find?nmae=hidden")
    server.until_told("invalid_parameters")
    lines = [json.loads(line) for line in server.errors.splitlines() if '"path"' in line]
    good, bad = [line for line in lines if line["path"] == "/queries/artists/find"]
    assert (good["query"], good["status"], good["rows"], good["method"]) == ("artists.find", 200, 0, "GET")
    assert {"time", "request_id", "queue_ms", "db_ms", "total_ms"} <= set(good)
    assert (bad["status"], bad["code"]) == (422, "invalid_parameters")
    assert "hidden" not in server.errors
