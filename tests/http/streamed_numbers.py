"""A table whose rows are streamed, queries of it on every engine, and a caller who takes an answer as he likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from asgi_connection import EMPTY, Connection

ROWS = 1500
FAILS_AT = 1200
NDJSON, CSV = b"application/x-ndjson", b"text/csv"
SCHEMA = "CREATE TABLE number (n integer PRIMARY KEY, text varchar(40) NOT NULL, price numeric(8, 2))"
# A row of its own fails, after many that are good; and one is large.
FAILING = {
    "sqlite": f"SELECT n, abs(CASE n WHEN {FAILS_AT} THEN -9223372036854775807 - 1 ELSE n END) AS x FROM number",
    "postgresql": f"SELECT n, 1 / ({FAILS_AT} - n) AS x FROM number",
    "mysql": f"SELECT n, (SELECT m.n FROM number m WHERE m.n = 1 OR (m.n = 2 AND a.n = {FAILS_AT})) AS x FROM number a",
}
LARGE = {"sqlite": "hex(zeroblob(:size / 2))", "postgresql": "repeat('0', :size)", "mysql": "repeat('0', :size)"}


def schema() -> str:
    rows = ", ".join(f"({n}, '\"{n},', {n * 0.5 if n % 3 else 'NULL'})" for n in range(1, ROWS + 1))
    return f"{SCHEMA}; INSERT INTO number VALUES {rows}"


def files(url: str) -> dict[str, str]:
    engine = urlsplit(url).scheme
    text = f"""
-- name: all
-- Numbers, in order.
-- @limit 500 max 500
SELECT n, text, price FROM number ORDER BY n;

-- name: above
SELECT n FROM number WHERE n > :least ORDER BY n;

-- name: own_limit
SELECT n FROM number ORDER BY n LIMIT 3;

-- name: own_names
-- @param limit integer
-- @param next integer
SELECT n FROM number WHERE n > :next AND n <= :limit ORDER BY n;

-- name: failing
{FAILING[engine]};

-- name: wide
-- @param size int
-- @param least int
SELECT n, CASE WHEN n > :least THEN {LARGE[engine]} END AS text FROM number ORDER BY n;

-- name: isolated
-- @isolation repeatable_read
SELECT n FROM number ORDER BY n;

-- name: squares
SELECT a.n AS a, b.n AS b, b.text FROM number a CROSS JOIN number b;

-- name: one(n)^
SELECT n, text, price FROM number WHERE n = :n;

-- name: add!
INSERT INTO number (n, text) VALUES (:n, 'added');

-- name: load*!
-- @param price numeric?
INSERT INTO number (n, text, price) VALUES (:n, :text, :price);

-- name: add_some
INSERT INTO number (n, text) VALUES (:n, 'added') RETURNING n;
"""
    return {"numbers/queries.sql": text}


class Reader(Connection):
    """A caller who asks for rows. `takes` is awaited before each message is taken."""

    def __init__(self, path: str, accept: bytes, query_string: bytes = b"", body: object = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        super().__init__(f"/queries/numbers/{path}", EMPTY | {"body": content}, query_string=query_string)
        headers = [(b"host", b"localhost"), (b"accept", accept), (b"content-type", b"application/json")]
        self.scope |= {"headers": headers, "method": "GET" if body is None else "POST"}
        self.takes: Callable[[], Any] = lambda: asyncio.sleep(0)

    async def send(self, message: Any) -> None:
        await self.takes()
        await super().send(message)

    async def read(self, app: FastAPI) -> str:
        await self.call(app)
        return self.text

    @property
    def text(self) -> str:
        return b"".join(message["body"] for message in self.sent[1:]).decode()

    def has_begun(self) -> bool:
        return len(self.sent) >= 3

    @property
    def is_complete(self) -> bool:
        return not self.sent[-1].get("more_body", False)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


def lent(app: Any) -> int:
    """Connections that are neither free nor on their way to be."""
    pools = [pool for group in app.service.database.status().values() for pool in group]
    return sum(max(0, pool.size - pool.idle - pool.mending) for pool in pools)


async def until_whole(app: Any) -> None:
    for _ in range(300):
        pools = [pool for group in app.service.database.status().values() for pool in group]
        if all(pool.size == pool.idle and not pool.waiting for pool in pools) and not app.service.streams:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not whole: {app.service.database.status()}, {app.service.streams} streams")
