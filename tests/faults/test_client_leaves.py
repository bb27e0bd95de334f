"""Row 33: whoever waits for an answer closes the connection, and what was done for them ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from served import serving
from server_sql import server_sql

from record_shop import run_script
from server_process import Server

SCHEMA = "CREATE TABLE item (n integer PRIMARY KEY)"
ROUNDS = (
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < :seconds * 4e6) SELECT count(*) FROM r"
)
SLEEPS = {
    "sqlite": (ROUNDS, f"INSERT INTO item SELECT :n WHERE ({ROUNDS}) > 0"),
    "postgresql": ("SELECT pg_sleep(:seconds)::text", "INSERT INTO item SELECT :n FROM pg_sleep(:seconds)"),
    "mysql": ("SELECT SLEEP(:seconds)", "INSERT INTO item SELECT :n FROM DUAL WHERE SLEEP(:seconds) = 0"),
}
LONG = dict.fromkeys(("statement_timeout_seconds", "acquire_timeout_seconds", "lock_timeout_seconds"), 30) | {
    "request_timeout_seconds": 60,
    "transaction_timeout_seconds": 60,
    "log_calls": "true",
    "slow_ms": 0,
    "tables": "item",
}
GONE_SECONDS = 1.0
"""Within this the statement is no more on the server."""
IDLE_SECONDS = 2.0
"""And within this every connection is mended."""


def files(engine: str) -> dict[str, str]:
    sleep, sleep_and_add = SLEEPS[engine]
    text = f"""
-- name: count$
SELECT count(*) FROM item;

-- name: add!
INSERT INTO item VALUES (:n);

-- name: many*!
INSERT INTO item VALUES (:n);

-- name: sleep$
-- @param seconds float
{sleep};

-- name: sleep_and_add!
-- @param seconds float
{sleep_and_add};

-- name: sleep_and_add_many*!
-- @param seconds float
{sleep_and_add};
"""
    return {"items/queries.sql": text}


def post(path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


STEPS = [{"query": "items.add", "params": {"n": 4}}, {"query": "items.sleep", "params": {"seconds": 30}}]
READS = {
    "read": get("/queries/items/sleep?seconds=30"),
    "read by POST": post("/queries/items/sleep", {"seconds": 30}),
}
WRITES = {
    "write": post("/queries/items/sleep_and_add", {"n": 1, "seconds": 30}),
    "bulk": post("/queries/items/sleep_and_add_many", [{"n": 2, "seconds": 0}, {"n": 3, "seconds": 30}]),
    "transaction": post("/transaction", {"steps": STEPS}),
}


class Served:
    """A service, and its state as it tells it."""

    def __init__(self, server: Server, http: httpx.AsyncClient, url: str) -> None:
        self.server = server
        self.http = http
        self.url = url

    async def until(self, holds: Callable[[dict[str, float]], bool], seconds: float) -> None:
        """Until this holds of the pools."""
        end = time.monotonic() + seconds
        while not holds(pools := await self._pools()):
            assert time.monotonic() < end, pools
            await asyncio.sleep(0.01)

    async def _pools(self) -> dict[str, float]:
        """`reader idle`, `writer waiting` and so on."""
        text = (await self.http.get("/metrics")).text
        found = re.findall(r'^sqlwright_pool_(\w+)\{pool="(\w+)"\} ([0-9.]+)$', text, re.MULTILINE)
        return {f"{pool} {what}": float(value) for what, pool, value in found}

    async def until_busy(self) -> None:
        await self.until(lambda pools: not is_idle(pools), 10)
        await asyncio.sleep(0.05)

    async def until_idle(self, seconds: float = IDLE_SECONDS) -> None:
        await self.until(is_idle, seconds)

    async def until_gone(self) -> None:
        """Until the server runs nothing of the one that left, and all is idle."""
        end = time.monotonic() + GONE_SECONDS
        while await self.asleep():
            assert time.monotonic() < end, "a statement still runs on the server"
            await asyncio.sleep(0.01)
        await self.until_idle()

    async def asleep(self) -> int:
        """Statements that the server runs."""
        if self.url.startswith("sqlite"):
            return 0  # they are no more once the connection is idle
        sql = server_sql(self.url)
        async with sql.connect(self.url) as execute:
            return len(await execute(sql.asleep))

    def left(self) -> list[dict[str, object]]:
        """The log's lines of those that left."""
        return [json.loads(line) for line in self.server.errors.splitlines() if '"code":"client_left"' in line]

    def send(self, request: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        connection.sendall(request)
        return connection


def is_idle(pools: dict[str, float]) -> bool:
    names = ("reader", "writer")
    return all(pools[f"{name} idle"] == pools[f"{name} size"] and not pools[f"{name} waiting"] for name in names)


async def each_kind_of_call(served: Served) -> int:
    for what, request in (READS | WRITES).items():
        connection = served.send(request)
        await served.until_busy()
        connection.close()
        await served.until_gone()
        assert not await served.asleep(), what
    return len(READS | WRITES)


async def those_in_line(served: Served) -> int:
    holders = [served.send(READS["read"]) for _ in range(2)]
    await served.until_busy()
    waiting = [served.send(READS["read"]) for _ in range(3)]
    await served.until(lambda pools: pools["reader waiting"] == 3, 10)
    for connection in waiting:
        connection.close()
    await served.until(lambda pools: not pools["reader waiting"], GONE_SECONDS)
    for connection in holders:
        connection.close()
    await served.until_gone()
    return 5


async def fifty_at_once(served: Served) -> int:
    connections = [served.send(request) for request in [*READS.values(), *WRITES.values()] * 10]
    await served.until(lambda pools: pools["reader waiting"] == 18 and pools["writer waiting"] >= 28, 10)
    for connection in connections:
        connection.close()
    await served.until_idle(5)  # each of the few connections is mended
    assert not await served.asleep()
    return len(connections)


async def one_at_a_locked_table(served: Served) -> int:
    """With a reset in place of a proper end."""
    async with locked(served.url):
        connection = served.send(post("/tables/item", {"n": 9}))
        await served.until_busy()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        await served.until_idle()
    return 1


@contextlib.asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
        return
    sql = server_sql(url)
    async with sql.connect(url) as execute:
        await execute(sql.lock)
        yield


async def one_whose_body_breaks_off(served: Served) -> int:
    served.send(post("/queries/items/add", {"n": 1})[:-3]).close()
    return 1


async def nobody_who_asks_again(served: Served) -> int:
    """A second request on the way (pipelining) is no sign of leaving."""
    answers = b""
    with served.send(get("/queries/items/sleep?seconds=0.5") * 2) as connection:
        while answers.count(b"HTTP/1.1 200") < 2:
            chunk = await asyncio.to_thread(connection.recv, 65536)
            assert chunk, answers
            answers += chunk
    return 0


async def one_who_closes_his_side(served: Served) -> int:
    """HTTP allows to end the sending side alone, but the servers take it for leaving."""
    with served.send(READS["read"]) as connection:
        await served.until_busy()
        connection.shutdown(socket.SHUT_WR)
        await served.until_idle()
        assert await asyncio.to_thread(connection.recv, 65536) == b""
    return 1


WHO: list[Callable[[Served], Awaitable[int]]] = [
    each_kind_of_call,
    those_in_line,
    fifty_at_once,
    one_at_a_locked_table,
    one_whose_body_breaks_off,
    nobody_who_asks_again,
    one_who_closes_his_side,
]
"""Each gives how many have left."""


@pytest.mark.reliability(33)
@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
async def test_what_is_done_for_a_caller_ends_when_he_leaves(kind: str, database_url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(lambda: asyncio.run(run_script(database_url, SCHEMA)))
    engine = urlsplit(database_url).scheme
    async with serving(database_url, tmp_path, files(engine), kind=kind, **LONG) as caller:
        await caller.until_whole(10)
        served = Served(caller.server, caller.http, database_url)
        assert (await served.http.post("/tables/item", json={"n": 9})).status_code == 201  # and so it is described
        assert (await served.http.delete("/tables/item/9")).status_code == 204
        expected = 0
        for leave in WHO:
            await served.until_idle(2)
            expected += await leave(served)
            await served.until_idle(2)
            assert (await caller.get("count")).json() == {"value": 0}, leave
            await asyncio.to_thread(caller.server.until_told, '"code":"client_left"', expected)
            assert len(served.left()) == expected, leave
        assert {line["status"] for line in served.left()} == {499}
        assert 'client_left",query="items.sleep"' in (await served.http.get("/metrics")).text
        await caller.until_whole()
        assert "Traceback" not in caller.server.errors, caller.server.errors
        assert "exception" not in caller.server.errors.lower(), caller.server.errors
