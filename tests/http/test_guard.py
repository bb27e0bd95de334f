"""Who may call: Host, Origin, and pages of allowed origins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from record_shop import assert_problem, running
from sqlwright.config import Settings
from sqlwright.http.guard import QUERY_STRING_BYTES_MAX

PATHS = ("/queries/artists/how_many", "/livez", "/nothing")


@pytest.fixture
def settings(sqlite_url: str, queries: Path) -> Settings:
    """One engine is enough: nothing here reaches the database."""
    return Settings(database_url=sqlite_url, queries=queries, log_calls=False)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings) as client:
        yield client


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:1", "LOCALHOST:8000", "localhost.:80", "127.0.0.1", "127.8.9.1:5", "[::1]", "[::1]:80"],
)
async def test_loopback_hosts(client: httpx.AsyncClient, host: str) -> None:
    for path in PATHS:
        assert (await client.get(path, headers={"host": host})).status_code != 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "10.0.0.1", "[::2]"]
)
@pytest.mark.reliability("17a")
async def test_other_hosts(client: httpx.AsyncClient, host: str) -> None:
    for path in PATHS:
        body = assert_problem(await client.get(path, headers={"host": host}), 403, "host_not_allowed")
        assert "SQLWRIGHT_ALLOWED_HOSTS" in body["hint"]


@pytest.mark.reliability(8)
async def test_missing_and_double_hosts(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/livez", headers={"host": ""}), 400, "ambiguous_request")
    doubled = httpx.Headers([("host", "localhost"), ("host", "localhost")])
    assert_problem(await client.get("/livez", headers=doubled), 400, "ambiguous_request")


async def test_allowed_hosts(settings: Settings) -> None:
    changes = {"host": "0.0.0.0", "allowed_hosts": ("shop.example", "other.example:8080")}
    async with running(settings.model_copy(update=changes)) as client:
        for host, status in {
            "shop.example": 200, "shop.example:8443": 200, "Shop.Example": 200, "other.example:8080": 200,
            "other.example": 403, "0.0.0.0": 403, "localhost": 200, "sub.shop.example": 403,
        }.items():  # fmt: skip
            assert (await client.get("/livez", headers={"host": host})).status_code == status, host
    async with running(settings.model_copy(update={"allowed_hosts": ("*",)})) as client:
        assert (await client.get("/livez", headers={"host": "any.example"})).status_code == 200
    async with running(settings.model_copy(update={"host": "10.1.2.3"})) as client:
        assert (await client.get("/livez", headers={"host": "10.1.2.3:9"})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1", "file://127.0.0.1:8000", "http://["],
)
@pytest.mark.reliability("17a")
async def test_other_origins(client: httpx.AsyncClient, origin: str) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "OPTIONS"):
            assert_problem(await client.request(method, path, headers={"origin": origin}), 403, "origin_not_allowed")


async def test_own_origin(client: httpx.AsyncClient) -> None:
    own = await client.get("/livez", headers={"origin": "http://127.0.0.1:8000"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    tls = await client.get("/livez", headers={"origin": "https://localhost", "host": "localhost:443"})
    assert tls.status_code == 200


async def test_pages_of_allowed_origins(settings: Settings) -> None:
    origin = "https://app.example"
    async with running(settings.model_copy(update={"allowed_origins": (origin,)})) as client:
        asked = {"origin": origin, "access-control-request-method": "POST"}
        preflight = await client.options("/queries/artists/add", headers=asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, origin)
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "Content-Type" in preflight.headers["access-control-allow-headers"]
        for path in PATHS:
            answer = await client.get(path, headers={"origin": origin})
            assert (answer.headers["access-control-allow-origin"], answer.headers["vary"]) == (origin, "Origin")
        assert_problem(await client.get("/livez", headers={"origin": origin + ".evil"}), 403, "origin_not_allowed")


@pytest.mark.reliability(8)
async def test_lengths_that_disagree(client: httpx.AsyncClient) -> None:
    for headers in (
        [("content-length", "2"), ("transfer-encoding", "chunked")],
        [("content-length", "2"), ("content-length", "3")],
        [("content-length", "2x")],
        [("transfer-encoding", "gzip, chunked")],
        [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
    ):
        response = await client.post("/queries/artists/all", content=b"{}", headers=[*headers, ("x", "y")])
        assert_problem(response, 400, "ambiguous_request")
        assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    "host", ["[::1", "[::1]evil", "[::1].evil.example", "localhost:evil", "localhost:80@evil", "::1]"]
)
@pytest.mark.reliability("17a")
async def test_hosts_that_are_none(client: httpx.AsyncClient, host: str) -> None:
    assert_problem(await client.get("/livez", headers={"host": host}), 403, "host_not_allowed")


async def test_query_strings_have_a_bound(client: httpx.AsyncClient) -> None:
    """A parser of many thousand names would hold the event loop."""
    for path in PATHS:
        long = await client.get(f"{path}?{'a&' * (QUERY_STRING_BYTES_MAX // 2 + 1)}")
        body = assert_problem(long, 414, "uri_too_long")
        assert str(QUERY_STRING_BYTES_MAX) in body["detail"]
    as_long_as_may_be = "a=" + "b" * (QUERY_STRING_BYTES_MAX - 2)
    assert (await client.get(f"/queries/artists/how_many?{as_long_as_may_be}")).status_code != 414
