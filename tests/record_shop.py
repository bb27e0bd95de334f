"""A small record shop on a real database, served by the ASGI application in process, and by server processes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI

import mariadb_server
from sqlwright.config import Settings
from sqlwright.http.app import create_app

SCHEMA = """
CREATE TABLE artist (artist_id integer PRIMARY KEY, name text NOT NULL UNIQUE, rating integer CHECK (rating > 0));
CREATE TABLE album (
  album_id integer PRIMARY KEY, artist_id integer NOT NULL REFERENCES artist, title text NOT NULL, price numeric(10, 2)
);
INSERT INTO artist VALUES (1, 'AC/DC', 5), (2, 'Accept', 3), (3, 'Aerosmith', 4), (4, 'Alanis', NULL), (5, 'Björk', 5);
INSERT INTO album VALUES (1, 1, 'For Those About To Rock', 9.90), (2, 2, 'Balls to the Wall', 12.50);
"""

FILES = {
    "artists/all.sql": "-- All artists, by key.\nSELECT artist_id, name, rating FROM artist ORDER BY artist_id\n",
    "artists/queries.sql": """
-- name: get(artist_id)^
-- One artist by its key.
-- @param artist_id int - the key
SELECT artist_id, name, rating FROM artist WHERE artist_id = :artist_id;

-- name: find :one?
SELECT artist_id, name FROM artist WHERE name = :name;

-- name: how_many$
SELECT count(*) FROM artist;

-- name: two^
SELECT artist_id FROM artist;

-- name: top
-- @limit 2 max 3
SELECT artist_id, name FROM artist ORDER BY name;

-- name: first_two
SELECT artist_id FROM artist ORDER BY artist_id LIMIT 2;

-- name: some
SELECT artist_id FROM artist WHERE artist_id IN (:ids) ORDER BY artist_id;

-- name: add!
INSERT INTO artist (artist_id, name, rating) VALUES (:artist_id, :name, :rating);

-- name: rename<!
UPDATE artist SET name = :name WHERE artist_id = :artist_id RETURNING artist_id, name;

-- name: add_many*!
INSERT INTO artist (artist_id, name) VALUES (:artist_id, :name);

-- name: wipe#
DELETE FROM album;
DELETE FROM artist;
""",
    "shop/stock/albums.sql": "SELECT title, price FROM album WHERE artist_id = :artist_id ORDER BY album_id\n",
    "shop/add_album.sql": (
        "-- :result :exec\nINSERT INTO album (album_id, artist_id, title) VALUES (:album_id, :artist_id, :title)\n"
    ),
    "broken.sql": "SELECT secret_column FROM missing_table\n",
}


def write_files(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


async def run_script(url: str, script: str) -> None:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            connection.executescript(script)
        finally:
            connection.close()
        return
    if url.startswith("mysql"):
        # A TEXT ends at 64 KiB there.
        mariadb_server.execute(url, script.replace("title text", "title mediumtext"))
        return
    server = await asyncpg.connect(url)
    try:
        await server.execute(script)
    finally:
        await server.close()


@asynccontextmanager
async def running(settings: Settings | None = None, app: FastAPI | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """The application with its lifespan, and a client that calls it without a socket."""
    app = app or create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield client


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Every problem has this shape, whatever its cause."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"urn:sqlwright:problem:{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    for key in ("title", "detail", "instance", "retryable", "outcome", "errors"):
        assert key in body
    for leak in ("secret_column", "SELECT", "Traceback", "INSERT", "postgresql://", "sqlite:///", "mysql://"):
        assert leak not in response.text
    return body


async def until(
    client: httpx.AsyncClient, path: str, status: int, holds: Callable[[httpx.Response], bool] = lambda _: True
) -> httpx.Response:
    """Ask until the answer has this status, and what is asked of it holds."""
    for _ in range(400):
        response = await client.get(path)
        if response.status_code == status and holds(response):
            return response
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} still answers {response.status_code}: {response.text}")
