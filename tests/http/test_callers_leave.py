"""A caller that leaves, as a server tells it. Over sockets: `tests/faults/test_client_leaves.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

import sqlwright
from asgi_connection import EMPTY, Connection
from record_shop import running, write_files
from sqlwright import Settings
from sqlwright.http.app import create_app

ENDLESS = """
-- :result :value
-- @timeout 30s
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n
"""


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    queries = write_files(tmp_path / "queries", {"endless.sql": ENDLESS, "one.sql": "-- :result :value\nSELECT 1\n"})
    return Settings(database_url=sqlite_url, queries=queries, reader_pool_size=1, slow_ms=0)


@pytest.mark.reliability(33, engine="sqlite")
async def test_in_an_application_with_middleware(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    app = FastAPI()

    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-theirs"] = "stamped"
        return response

    app.include_router(sqlwright.router(settings), prefix="/api")
    async with running(app=app) as client:
        connection = Connection("/api/queries/endless", EMPTY)
        task = connection.call(app)
        await asyncio.sleep(0.5)
        assert not task.done()
        connection.left.set()
        await asyncio.wait_for(task, 5)
        assert (await client.get("/api/queries/one")).json() == {"value": 1}
    assert '"code":"client_left"' in capsys.readouterr().err


async def test_a_cancellation_by_the_server_stays_one(settings: Settings) -> None:
    async with running(settings, app := create_app(settings)) as client:
        connection = Connection("/queries/endless", EMPTY)
        task = connection.call(app)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.sent
        assert (await client.get("/queries/one")).json() == {"value": 1}


async def test_both_at_once(settings: Settings) -> None:
    async with running(settings, app := create_app(settings)):
        connection = Connection("/queries/endless", EMPTY)
        task = connection.call(app)
        await asyncio.sleep(0.5)
        connection.left.set()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_server_that_repeats_itself_is_not_asked_for_ever(settings: Settings) -> None:
    async with running(settings, app := create_app(settings)):
        connection = Connection("/queries/endless", *[EMPTY] * 1000)
        task = connection.call(app)
        await asyncio.sleep(0.7)
        assert connection.asked == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_quick_call_is_not_watched(settings: Settings) -> None:
    async with running(settings, app := create_app(settings)):
        connection = Connection("/queries/one", EMPTY)
        await connection.call(app)
        assert connection.asked == 0
        assert connection.sent[0]["status"] == 200
