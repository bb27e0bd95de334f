"""What is done again and again leaves nothing behind: no growing cache, no cycles that wait to be collected."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
from fastapi import FastAPI

import garbage
from asgi_connection import Connection
from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.http.app import create_app
from sqlwright.http.problems import STATUSES
from sqlwright.query import Access

GOOD = {"query": "artists.add", "params": {"artist_id": 90, "name": "Zz", "rating": 1}}
BROKEN = {"query": "artists.add", "params": {"artist_id": 91, "name": "Zy", "rating": -1}}
REFUSED: tuple[tuple[str, str, bytes, object, int], ...] = (
    ("GET", "/queries/artists/get", b"artist_id=x", None, 422),
    ("GET", "/queries/artists/get", b"artist_id=99", None, 404),
    ("GET", "/queries/artists/nobody", b"", None, 404),
    ("GET", "/queries/artists/add", b"", None, 405),
    ("GET", "/tables/artist", b"colour=red", None, 422),
    ("POST", "/queries/artists/add", b"", BROKEN["params"], 422),
    ("POST", "/queries/artists/add_many", b"", [{"artist_id": 90, "name": "Zz"}, {"artist_id": 91, "name": "Zz"}], 409),
    ("POST", "/tables/artist", b"", BROKEN["params"], 422),
    ("PATCH", "/tables/artist/1", b"", {"rating": -1}, 422),
    ("POST", "/transaction", b"", {"steps": [GOOD, BROKEN]}, 422),
    ("POST", "/transaction", b"", {"steps": [GOOD, {"query": "artists.nothing"}]}, 404),
)

OURS = {"Exchange", "Plan", "Fetched", *(kind.__name__ for kind in STATUSES)}
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
async def test_a_refused_call_leaves_no_cycle(settings: Settings, queries: Path) -> None:
    (queries / "broken.sql").unlink()  # or it would be described again beside the calls
    app = create_app(settings.model_copy(update={"tables": ("artist",)}))
    async with app.router.lifespan_context(app):
        for call in REFUSED:
            await _refuse(app, call)
        for call in REFUSED:
            with garbage.kept() as kept:
                await _refuse(app, call)
            assert not kept & OURS, call


async def _refuse(app: FastAPI, call: tuple[str, str, bytes, object, int]) -> None:
    method, path, query_string, body, status = call
    content = b"" if body is None else json.dumps(body).encode()
    connection = Connection(path, {"type": "http.request", "body": content}, query_string=query_string)
    connection.scope["method"] = method
    connection.scope["headers"] = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    await connection.call(app)
    assert connection.sent[0]["status"] == status, connection.sent
