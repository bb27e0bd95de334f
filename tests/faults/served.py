"""A service as a process of its own, called over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from record_shop import write_files
from server_process import Server, start

ITEM_FILES = {
    "items/queries.sql": """
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);
"""
}
"""What a caller does with the table `item (n int PRIMARY KEY)`."""

LIMITS = {
    "reader_pool_size": 2,
    "writer_pool_size": 2,
    "connect_timeout_seconds": 0.5,
    "acquire_timeout_seconds": 1,
    "lock_timeout_seconds": 0.3,
    "statement_timeout_seconds": 1,
    "log_calls": "false",
}


class Caller:
    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self.server = server
        self.http = http

    async def get(self, name: str, **parameters: Any) -> httpx.Response:
        return await self.http.get(f"/queries/items/{name}", params=parameters)

    async def post(self, name: str, body: object) -> httpx.Response:
        return await self.http.post(f"/queries/items/{name}", json=body)

    async def until_whole(self, seconds: float = 2.0) -> None:
        """Ready, every connection idle, the next read and the next write good."""
        end = time.monotonic() + seconds
        while True:
            body = (await self.http.get("/readyz")).json()
            pools = [pool for group in body["database"]["pools"].values() for pool in group]
            if body["ready"] and all(pool["idle"] == pool["size"] and not pool["mending"] for pool in pools):
                break
            assert time.monotonic() < end, body
            await asyncio.sleep(0.02)
        # Each pool comes back by itself, and readiness is only asked for twice a second.
        for ask in (lambda: self.get("count"), lambda: self.post("many", [])):
            while (answer := await ask()).status_code != 200:
                assert time.monotonic() < end, answer.text
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def serving(
    url: str, folder: Path, files: dict[str, str], *, kind: str = "granian", **settings: object
) -> AsyncIterator[Caller]:
    queries = write_files(folder / "queries", files)
    with start(kind, url, queries, **{**LIMITS, **settings}) as server:
        await asyncio.to_thread(server.until, "/livez", 200)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            yield Caller(server, http)
        # uvicorn ends itself by the signal that it got.
        assert await asyncio.to_thread(server.stop) == (-signal.SIGTERM if kind == "uvicorn" else 0)
