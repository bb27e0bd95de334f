"""What is done again and again leaves nothing behind: no growing cache, no cycles that wait to be collected."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import pytest
from fastapi import FastAPI

import garbage
from asgi_connection import Connection
from sqlwright import contract
from sqlwright.config import Settings
from sqlwright.crud import schema
from sqlwright.database import Database
from sqlwright.errors import QueryInvalid
from sqlwright.http.app import create_app
from sqlwright.http.problems import STATUSES
from sqlwright.query import Access
from sqlwright.registry import load_registry

GOOD = {"query": "artists.add", "params": {"artist_id": 90, "name": "Zz", "rating": 1}}
BROKEN = {"query": "artists.add", "params": {"artist_id": 91, "name": "Zy", "rating": -1}}
CALLS: tuple[tuple[str, str, bytes, object, int], ...] = (
    ("GET", "/queries/artists/all", b"limit=2", None, 200),
    ("POST", "/queries/artists/get", b"", [{"artist_id": 1}, {"artist_id": 2}], 200),
    ("GET", "/tables/artist", b"name=Accept", None, 200),
    ("PATCH", "/tables/artist/1", b"", {"rating": 4}, 200),
    ("POST", "/queries/shop/add_album", b"", {"album_id": 90, "artist_id": 1, "title": "Zz"}, 200),
    ("DELETE", "/tables/album/90", b"", None, 204),
    ("POST", "/transaction", b"", {"steps": [{"query": "artists.get", "params": {"artist_id": 1}}]}, 200),
    ("GET", "/queries/artists/get", b"artist_id=x", None, 422),
    ("GET", "/queries/artists/get", b"artist_id=99", None, 404),
    ("GET", "/queries/artists/nobody", b"", None, 404),
    ("GET", "/queries/endless", b"", None, 504),
    ("GET", "/queries/artists/add", b"", None, 405),
    ("GET", "/tables/artist", b"colour=red", None, 422),
    ("POST", "/queries/artists/add", b"", BROKEN["params"], 422),
    ("POST", "/queries/artists/add_many", b"", [{"artist_id": 90, "name": "Zz"}, {"artist_id": 91, "name": "Zz"}], 409),
    ("POST", "/tables/artist", b"", BROKEN["params"], 422),
    ("PATCH", "/tables/artist/1", b"", {"rating": -1}, 422),
    ("POST", "/transaction", b"", {"steps": [GOOD, BROKEN]}, 422),
    ("POST", "/transaction", b"", {"steps": [GOOD, {"query": "artists.nothing"}]}, 404),
)

ENDLESS = """
-- :result :value
-- @timeout 50 ms
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT count(*) FROM n
"""

OURS = {"Exchange", "Plan", "Fetched", "OpenTransaction", "Level", "Deadline", *(kind.__name__ for kind in STATUSES)}
"""SQLAlchemy's look at a schema leaves cycles of its own."""


@pytest.mark.reliability(37)
async def test_reading_the_schema_again_keeps_nothing_of_the_last_time(shop_url: str, queries: Path) -> None:
    database = Database(Settings(database_url=shop_url, queries=queries))
    await database.open()
    counts = []
    try:
        for _ in range(4):
            for _ in range(2):
                async with database.lease(Access.READ) as lease:
                    await database.engine.reflect(lease, ["artist", "album"])
            gc.collect()
            counts.append(len(gc.get_objects()))
    finally:
        await database.close()
    assert counts[-1] - counts[1] < 200, counts


@pytest.mark.reliability(37)
async def test_a_refused_description_leaves_no_cycle(
    shop_url: str, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "REFUSAL_KEPT_SECONDS", 0.0)
    settings = Settings(database_url=shop_url, queries=queries)
    database = Database(settings)
    broken = load_registry(queries, database.engine.dialect)[0]["broken"]
    await database.open()
    try:
        contracts = contract.Contracts(database, settings)

        async def refused() -> None:
            with pytest.raises(QueryInvalid):
                await contracts.get(broken)
            contracts.drop(broken)
            await asyncio.sleep(0.05)  # the session is reset

        await refused()
        with garbage.kept() as kept:
            await refused()
        assert not kept & {*OURS, "Contracts", "Task", "traceback"}, kept
    finally:
        await database.close()


@pytest.mark.reliability(37)
async def test_a_call_leaves_no_cycle(settings: Settings, queries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is described beside the calls: not the broken query again, not the tables, not what has yet to be.
    (queries / "broken.sql").unlink()
    monkeypatch.setattr(schema, "AGAIN_SECONDS", float("inf"))
    (queries / "endless.sql").write_text(ENDLESS, encoding="utf-8")
    app = create_app(settings.model_copy(update={"tables": ("artist", "album")}))
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(60):
            while app.service.pending or app.service.known_tables is None:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        for call in CALLS:
            await _call(app, call)
        for call in CALLS:
            with garbage.kept() as kept:
                await _call(app, call)
            assert not kept & OURS, (call, kept & OURS)


async def _call(app: FastAPI, call: tuple[str, str, bytes, object, int]) -> None:
    method, path, query_string, body, status = call
    content = b"" if body is None else json.dumps(body).encode()
    connection = Connection(path, {"type": "http.request", "body": content}, query_string=query_string)
    connection.scope["method"] = method
    connection.scope["headers"] = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    await connection.call(app)
    assert connection.sent[0]["status"] == status, connection.sent
