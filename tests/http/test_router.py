"""Ours inside of somebody else's FastAPI application."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

import sqlwright
from failing_commits import failing_commit
from record_shop import running, until, write_files
from server_process import free_port
from sqlwright import Settings, SqlwrightError, Transaction
from sqlwright.errors import LoadError, SettingsError, UniqueViolation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient


def host(settings: Settings, **include: Any) -> FastAPI:
    """An application of another shape: with a life, routes, middleware and handlers of its own."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        app.state.events = ["begun"]
        yield {"theirs": "kept"}
        app.state.events.append("ended")

    app = FastAPI(lifespan=lifespan, title="theirs")
    theirs = APIRouter(prefix="/orders")

    @theirs.get("/state")
    async def state(request: Request) -> dict[str, Any]:
        return {"theirs": request.state.theirs}

    @theirs.post("/rename")
    async def rename(tx: sqlwright.Tx, name: str, fail: bool = False) -> dict[str, Any]:
        row: dict[str, Any] = {"renamed": await tx.run("artists.relabel", {"artist_id": 1, "name": name})}
        if fail:
            raise HTTPException(418, "no")
        return row

    @theirs.get("/artist")
    async def artist(db: sqlwright.Db, artist_id: int) -> Any:
        return await db.q.artists.get(artist_id=artist_id)

    @theirs.post("/duplicate")
    async def duplicate(db: Annotated[sqlwright.Client, Depends(sqlwright.client)]) -> None:
        await db.q.artists.add(artist_id=1, name="again", rating=1)

    @theirs.post("/caught")
    async def caught(tx: Transaction = Depends(sqlwright.transaction, scope="function")) -> dict[str, bool]:  # noqa: B008 - so FastAPI is used
        await tx.q.artists.relabel(artist_id=2, name="half")
        try:
            await tx.q.artists.add(artist_id=1, name="again", rating=1)
        except UniqueViolation:
            pass  # and so the COMMIT cannot be
        return {"ok": True}

    @theirs.post("/late")
    async def late(tx: Transaction = Depends(sqlwright.transaction)) -> None:  # noqa: B008 - so FastAPI is used
        await tx.q.artists.relabel(artist_id=1, name="late")

    @theirs.get("/boom")
    async def boom() -> None:
        raise LookupError("theirs")

    @app.exception_handler(LookupError)
    async def lookup(request: Request, error: LookupError) -> JSONResponse:
        return JSONResponse({"theirs": str(error)}, 499)

    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-theirs"] = "stamped"
        return response

    app.include_router(theirs)
    app.include_router(sqlwright.router(settings), prefix="/api", **include)

    @app.get("/api/after")
    async def after() -> dict[str, str]:
        return {"route": "theirs"}

    return app


@pytest.fixture
def settings(shop_url: str, queries: Path) -> Settings:
    write_files(
        queries,
        {"artists/relabel.sql": "-- :result :exec\nUPDATE artist SET name = :name WHERE artist_id = :artist_id\n"},
    )
    return Settings(database_url=shop_url, queries=queries, log_calls=False, tables=("artist",))


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app=host(settings)) as client:
        yield client


# --- what is ours ----------------------------------------------------------------------------------------------


async def test_everything_is_below_the_prefix(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/queries/artists/top", params={"limit": 2})
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 2
    assert answer.headers["link"].startswith("</api/queries/artists/top?")
    following = await client.get(answer.headers["link"].partition(">")[0][1:])
    assert following.status_code == 200
    assert (await client.post("/api/queries/artists/get", json={"artist_id": 1})).json()["name"] == "AC/DC"
    assert (await client.head("/api/queries/artists/all")).status_code == 200
    problem = await client.get("/api/queries/artists/nothing")
    assert (problem.status_code, problem.headers["content-type"]) == (404, "application/problem+json")
    assert problem.json()["instance"] == "/api/queries/artists/nothing"
    assert (await client.get("/api/queries/artists/add")).status_code == 405
    await until(client, "/api/readyz", 200)
    for path in ("/api/livez", "/api/docs", "/api/docs/start.js", "/api/", "/api/queries"):
        assert (await client.get(path)).status_code == 200, path


async def test_tables_and_transactions(client: httpx.AsyncClient) -> None:
    created = await client.post("/api/tables/artist", json={"artist_id": 9, "name": "a,b/c"})
    assert (created.status_code, created.headers["location"]) == (201, "/api/tables/artist/9")
    assert (await client.get(created.headers["location"])).json()["name"] == "a,b/c"
    assert (await client.patch("/api/tables/artist/9", json={"name": "d"})).json()["name"] == "d"
    assert (await client.delete("/api/tables/artist/9")).status_code == 204
    done = await client.post(
        "/api/transaction",
        json={"steps": [{"query": "artists.relabel", "params": {"artist_id": 1, "name": "x"}}]},
    )
    assert done.status_code == 200, done.text


async def test_links_hold_below_the_prefix(client: httpx.AsyncClient) -> None:
    links = (await client.get("/api/")).json()["links"]
    await until(client, "/api/readyz", 200)
    for link in links.values():
        assert (await client.get(link)).status_code == 200, link
    catalogue = (await client.get("/api/queries")).json()
    urls = [entry["url"] for entry in [*catalogue["namespaces"], *catalogue["queries"]]]
    assert urls
    assert all(url.startswith("/api/queries/") for url in urls)
    tables = (await client.get("/api/tables")).json()["tables"]
    assert tables[0]["url"] == "/api/tables/artist"
    document = (await client.get("/api/openapi.json")).json()
    assert document["servers"] == [{"url": "/api"}]
    assert "/queries/artists/all" in document["paths"]


async def test_behind_a_proxy_that_cuts_a_prefix(settings: Settings) -> None:
    app = host(settings)
    async with running(app=app):
        transport = httpx.ASGITransport(app=app, root_path="/proxy")
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
            answer = await client.get("/api/queries/artists/top?limit=1")
            assert answer.headers["link"].startswith("</proxy/api/queries/artists/top?")
            created = await client.post("/api/tables/artist", json={"artist_id": 9, "name": "x"})
            assert created.headers["location"] == "/proxy/api/tables/artist/9"
            assert (await client.get("/api/tables/artist/9")).json()["name"] == "x"


@pytest.mark.parametrize("prefix", ["", "/a/b", "/{tenant}/data"])
async def test_any_prefix(settings: Settings, prefix: str) -> None:
    app = FastAPI()
    app.include_router(sqlwright.router(settings), prefix=prefix)
    seen = prefix.format(tenant="acme")
    async with running(app=app) as client:
        assert (await client.get(f"{seen}/queries/artists/how_many")).json() == {"value": 5}
        answer = await client.get(f"{seen}/queries/artists/top?limit=1")
        assert answer.headers["link"].startswith(f"<{seen}/queries/artists/top?")


async def test_a_router_inside_of_a_router(settings: Settings) -> None:
    app, outer = FastAPI(), APIRouter(prefix="/outer")
    outer.include_router(sqlwright.router(settings), prefix="/api")
    app.include_router(outer, prefix="/v1")
    async with running(app=app) as client:
        assert (await client.get("/v1/outer/api/queries/artists/how_many")).json() == {"value": 5}


# --- what is theirs --------------------------------------------------------------------------------------------


async def test_the_hosts_own_things_go_on(settings: Settings) -> None:
    app = host(settings)
    with TestClient(app, base_url="http://testserver") as client:
        assert client.get("/orders/state").json() == {"theirs": "kept"}
        assert client.get("/api/after").json() == {"route": "theirs"}
        answer = client.get("/orders/boom")
        assert (answer.status_code, answer.json()) == (499, {"theirs": "theirs"})
        assert client.get("/api/queries/artists/how_many").headers["x-theirs"] == "stamped"
        assert client.get("/openapi.json").json()["info"]["title"] == "theirs"
        assert client.get("/api/elsewhere").json() == {"detail": "Not Found"}
        assert client.get("/orders/artist", params={"artist_id": 1}).json()["name"] == "AC/DC"
        assert app.state.events == ["begun"]
    assert app.state.events == ["begun", "ended"]
    with TestClient(app) as client:  # an application may live again
        assert client.get("/orders/artist", params={"artist_id": 2}).json()["name"] == "Accept"


async def test_dependencies_of_include_router_hold_for_all_that_is_ours(settings: Settings) -> None:
    async def authenticated(request: Request, token: Annotated[str, Header()] = "") -> None:
        await request.body()  # as one does that checks a signature
        if token != "secret":
            raise HTTPException(401, "who are you?")

    async with running(app=host(settings, dependencies=[Depends(authenticated)])) as client:
        for method, path in [("GET", "/api/queries/artists/all"), ("POST", "/api/queries/artists/get"),
                             ("GET", "/api/tables/artist"), ("POST", "/api/transaction"), ("GET", "/api/docs"),
                             ("PUT", "/api/tables/artist/1"), ("GET", "/api/")]:  # fmt: skip
            assert (await client.request(method, path)).status_code == 401, path
        headers = {"token": "secret"}
        answer = await client.post("/api/queries/artists/get", json={"artist_id": 1}, headers=headers)
        assert answer.json()["name"] == "AC/DC"


async def test_middleware_of_the_host_answers_for_ours(settings: Settings) -> None:
    app = host(settings)
    app.add_middleware(CORSMiddleware, allow_origins=["http://page.example"], allow_methods=["GET"])
    async with running(app=app) as client:
        headers = {"origin": "http://page.example", "access-control-request-method": "GET"}
        answer = await client.options("/api/queries/artists/all", headers=headers)
        assert answer.headers["access-control-allow-origin"] == "http://page.example"


async def test_pages_elsewhere_may_not_drive_it(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/queries/artists/all", headers={"origin": "http://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")


async def test_hosts_are_checked_where_settings_name_them(settings: Settings) -> None:
    app = FastAPI()
    app.include_router(sqlwright.router(settings, allowed_hosts="shop.example"))
    async with running(app=app) as client:
        answer = await client.get("/queries", headers={"host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")


# --- transactions of endpoints ---------------------------------------------------------------------------------


async def name_of(client: httpx.AsyncClient, artist_id: int) -> str:
    return str((await client.get("/orders/artist", params={"artist_id": artist_id})).json()["name"])


async def test_an_endpoints_transaction_commits_and_rolls_back(client: httpx.AsyncClient) -> None:
    assert (await client.post("/orders/rename", params={"name": "new"})).json() == {"renamed": 1}
    assert await name_of(client, 1) == "new"
    answer = await client.post("/orders/rename", params={"name": "newer", "fail": True})
    assert (answer.status_code, answer.json()) == (418, {"detail": "no"})
    assert await name_of(client, 1) == "new"


async def test_a_refused_commit_does_not_answer_200(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders/caught")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["code"] == "transaction_failed"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert await name_of(client, 2) == "Accept"


async def test_what_refuses_a_commit_is_its_problem(database_url: str, tmp_path: Path) -> None:
    failing = failing_commit(database_url)
    queries = write_files(tmp_path / "queries", failing.files)
    app = FastAPI()
    app.include_router(sqlwright.router(database_url=failing.url, queries=queries, log_calls=False))

    @app.post("/add")
    async def add(tx: sqlwright.Tx, id: int) -> dict[str, bool]:
        await tx.q.orphan(id=id)
        failing.spoil()
        return {"ok": True}

    async with sqlwright.connect(failing.url, queries=queries) as db:
        await db.run("orphans_setup")
    async with running(app=app) as client:
        try:
            answer = await client.post("/add", params={"id": 1})
        finally:
            failing.mend()
        assert answer.json()["code"] == failing.error.code
        assert answer.status_code in (409, 503)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/queries/orphans")).json() == {"value": 0}


async def test_the_wrong_scope_is_refused_before_anything_happens(client: httpx.AsyncClient) -> None:
    with pytest.raises(RuntimeError, match='scope="function"'):
        await client.post("/orders/late")
    assert await name_of(client, 1) == "AC/DC"


@pytest.mark.parametrize("kind", ["include_router", "application", "websocket"])
async def test_the_wrong_scope_is_refused_wherever_the_dependency_is_said(settings: Settings, kind: str) -> None:
    """Such a transaction would be committed after the answer, and what it wrote may be refused then."""

    async def audited(tx: Transaction = Depends(sqlwright.transaction)) -> None:  # noqa: B008 - so FastAPI is used
        await tx.q.artists.relabel(artist_id=1, name="late")

    theirs = APIRouter()

    @theirs.get("/plain")
    async def plain() -> None: ...

    @theirs.websocket("/socket")
    async def socket(websocket: WebSocket) -> None: ...

    app = FastAPI(dependencies=[Depends(audited)] if kind == "application" else None)
    app.include_router(theirs, dependencies=None if kind == "application" else [Depends(audited)])
    app.include_router(sqlwright.router(settings), prefix="/api")

    def ask(client: TestClient) -> None:
        if kind == "websocket":
            with client.websocket_connect("/socket"):
                pass
        else:
            client.get("/plain")

    with TestClient(app) as client, pytest.raises(RuntimeError, match='scope="function"'):
        ask(client)


async def test_errors_of_ours_become_problems(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders/duplicate")
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert answer.json()["code"] == "unique_violation"


async def test_a_handler_of_the_host_wins(settings: Settings) -> None:
    app = host(settings)

    @app.exception_handler(SqlwrightError)
    async def theirs(request: Request, error: SqlwrightError) -> JSONResponse:
        return JSONResponse({"mine": error.code}, 499)

    async with running(app=app) as client:
        answer = await client.post("/orders/duplicate")
        assert (answer.status_code, answer.json()) == (499, {"mine": "unique_violation"})


async def test_dependencies_can_be_overridden(settings: Settings) -> None:
    class Fake:
        async def run(self, name: str, parameters: object) -> str:
            return name

    app = host(settings)
    app.dependency_overrides[sqlwright.transaction] = Fake
    async with running(app=app) as client:
        assert (await client.post("/orders/rename", params={"name": "x"})).json() == {"renamed": "artists.relabel"}


async def test_websockets_have_transactions_too(settings: Settings) -> None:
    app = host(settings)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, tx: sqlwright.Tx) -> None:
        await websocket.accept()
        await websocket.send_json(await tx.q.artists.how_many())
        await websocket.close()

    with TestClient(app) as client, client.websocket_connect("/socket") as connection:
        assert connection.receive_json() == 5


async def test_an_error_of_ours_ends_a_websocket_as_what_it_is(settings: Settings) -> None:
    app = host(settings)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, db: sqlwright.Db) -> None:
        await websocket.accept()
        await db.q.artists.add(artist_id=1, name="again", rating=1)

    with (
        TestClient(app) as client,
        pytest.raises(UniqueViolation),
        client.websocket_connect("/socket") as connection,
    ):
        connection.receive_json()


# --- mistakes --------------------------------------------------------------------------------------------------


async def test_without_its_life_it_says_what_is_missing(settings: Settings) -> None:
    app = host(settings)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for path in ("/api/queries", "/orders/artist?artist_id=1"):
            with pytest.raises(RuntimeError, match="lifespan has not run"):
                await client.get(path)


async def test_two_of_them_in_one_application(settings: Settings, tmp_path: Path) -> None:
    app = host(settings)
    other = write_files(tmp_path / "other", {"one.sql": "-- :result :value\nSELECT 1 AS one"})
    app.include_router(sqlwright.router(settings, queries=other), prefix="/other")
    async with running(app=app) as client:
        assert (await client.get("/api/queries/artists/how_many")).json() == {"value": 5}
        assert (await client.get("/other/queries/one")).json() == {"value": 1}
        with pytest.raises(RuntimeError, match="several"):
            await client.get("/orders/artist", params={"artist_id": 1})


def test_mistakes_are_told_when_the_router_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="no database"):
        sqlwright.router()
    with pytest.raises(SettingsError, match="argument querys"):
        sqlwright.router(querys="x")
    write_files(tmp_path / "queries", {"a.sql": "SELECT ':x"})
    with pytest.raises(LoadError):
        sqlwright.router(database_url="sqlite:///x.db")


# --- as a process ----------------------------------------------------------------------------------------------

MAIN = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from service import orders                      # their own package of that name
import sqlwright

@asynccontextmanager
async def lifespan(app):
    yield {"greeting": "hello"}

app = FastAPI(lifespan=lifespan)
app.include_router(orders.router)
app.include_router(sqlwright.router(), prefix="/api")
"""
ORDERS = """
from fastapi import APIRouter, Request
import sqlwright

router = APIRouter()

@router.post("/orders")
async def order(request: Request, tx: sqlwright.Tx) -> dict:
    await tx.q.artists.relabel(artist_id=1, name="ordered")
    return {"greeting": request.state.greeting, "artist": await tx.q.artists.get(artist_id=1)}
"""


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
async def test_as_a_process_with_a_service_package_of_its_own(settings: Settings, tmp_path: Path, server: str) -> None:
    folder = write_files(tmp_path / "theirs", {"main.py": MAIN, "service/orders.py": ORDERS, "service/__init__.py": ""})
    port = free_port()
    options = {"uvicorn": ["--port", str(port)], "granian": ["--interface", "asgi", "--port", str(port)]}[server]
    environment = {
        **os.environ, "DATABASE_URL": settings.database_url, "SQLWRIGHT_QUERIES": str(settings.queries),
        "PYTHONPATH": str(folder),
    }  # fmt: skip
    process = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-m", server, "main:app", *options], cwd=folder, env=environment
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for _ in range(400):
                try:
                    await client.get("/api/livez")
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    await asyncio.sleep(0.05)
            answer = await client.post("/orders")
            assert answer.status_code == 200, answer.text
            assert answer.json()["greeting"] == "hello"
            assert answer.json()["artist"]["name"] == "ordered"
            assert (await client.get("/api/queries/artists/get?artist_id=1")).json()["name"] == "ordered"
    finally:
        process.terminate()
        assert process.wait(20) is not None
