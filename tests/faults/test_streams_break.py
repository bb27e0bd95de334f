"""Streams over sockets: who leaves, who does not read, what breaks on the way, and the end of the service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from served import Caller, serving
from server_sql import server_sql

from record_shop import run_script
from reliability import Tally

ROWS = 3000
SCHEMA = "CREATE TABLE item (n integer PRIMARY KEY)"
# Many rows of a kilobyte, and one of them fails.
ROW = {
    "sqlite": "a.n, hex(zeroblob(500)) AS filler",
    "postgresql": "a.n, repeat('x', 1000) AS filler",
    "mysql": "a.n, repeat('x', 1000) AS filler",
}
FAILS = {
    "sqlite": "abs(CASE WHEN a.n = :at THEN -9223372036854775807 - 1 ELSE 1 END)",
    "postgresql": "1 / (:at - a.n)",
    "mysql": "(SELECT m.n FROM item m WHERE m.n = 1 OR (m.n = 2 AND a.n = :at))",
}
LIMITS = {"send_timeout_seconds": 2, "statement_timeout_seconds": 10, "reader_pool_size": 4, "log_calls": "true"}
LINES, TABLE = {"accept": "application/x-ndjson"}, {"accept": "text/csv"}
GONE_SECONDS = 1.0
WHOLE_SECONDS = 4.0
"""Until a connection whose stream was left is mended: what is on its way has to be read away."""


def files(engine: str) -> dict[str, str]:
    text = f"""
-- name: count$
SELECT count(*) FROM item;

-- name: many*!
INSERT INTO item VALUES (:n);

-- name: some
SELECT {ROW[engine]} FROM item a;

-- name: endless
SELECT {ROW[engine]} FROM item a CROSS JOIN item b CROSS JOIN item c;

-- name: failing
-- @param at integer
SELECT {ROW[engine]}, {FAILS[engine]} AS x FROM item a;
"""
    return {"items/queries.sql": text}


async def fill(url: str) -> None:
    rows = ", ".join(f"({n})" for n in range(1, ROWS + 1))
    await asyncio.to_thread(lambda: asyncio.run(run_script(url, f"{SCHEMA}; INSERT INTO item VALUES {rows}")))


def send(caller: Caller, name: str, accept: dict[str, str], *, window: int | None = None) -> socket.socket:
    connection = socket.socket()
    if window is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)  # before it connects
    connection.settimeout(30)
    connection.connect(("127.0.0.1", caller.server.port))
    request = f"GET /queries/items/{name} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept['accept']}\r\n\r\n"
    connection.sendall(request.encode())
    return connection


async def until_gone(url: str) -> None:
    """Until the server runs none of these statements."""
    if url.startswith("sqlite"):
        return  # they are no more once the connection is idle
    running = {
        "postgresql": "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%CROSS JOIN%'"
        " AND query NOT LIKE '%pg_stat%' AND state <> 'idle'",
        "mysql": "SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%CROSS JOIN%'"
        " AND INFO NOT LIKE '%PROCESSLIST%'",
    }[urlsplit(url).scheme]
    end = time.monotonic() + GONE_SECONDS
    async with server_sql(url).connect(url) as execute:
        while await execute(running):
            assert time.monotonic() < end, "a statement still runs on the server"
            await asyncio.sleep(0.02)


def resident_bytes(process: int) -> int:
    """Of a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 + sum(resident_bytes(int(child)) for child in children)


async def who_leaves_takes_his_stream_along(caller: Caller, url: str) -> None:
    for accept in (LINES, TABLE):
        with send(caller, "endless", accept) as connection:
            assert await asyncio.to_thread(connection.recv, 100_000)
        await asyncio.to_thread(caller.server.until_told, '"rows":[1-9][0-9]*')
        await caller.until_whole(WHOLE_SECONDS)
        await until_gone(url)
    told = [json.loads(line) for line in caller.server.errors.splitlines() if '"code":"client_left"' in line]
    assert [line["status"] for line in told if line.get("method")] == [200, 200]


async def who_does_not_read_is_let_go(caller: Caller, url: str) -> None:
    """Two at a time, as `streams_max` allows here. Nothing piles up meanwhile, and others are served."""
    assert (await caller.http.get("/queries/items/endless?limit=9", headers=TABLE)).text.count("\r\n") == 10
    before = resident_bytes(caller.server.process.pid)
    with contextlib.ExitStack() as readers:
        for accept in (LINES, TABLE):
            connection = readers.enter_context(send(caller, "endless", accept, window=4096))
            assert await asyncio.to_thread(connection.recv, 10)
        assert (await caller.http.get("/queries/items/some", headers=LINES)).status_code == 503
        for _ in range(5):
            assert (await caller.get("count")).json() == {"value": ROWS}
            assert resident_bytes(caller.server.process.pid) < before + 30_000_000
            await asyncio.sleep(0.1)
        await asyncio.to_thread(caller.server.until_told, '(?s)"reader_too_slow".*"reader_too_slow"')
        await caller.until_whole(WHOLE_SECONDS)
        await until_gone(url)


async def what_fails_on_the_way_is_told(caller: Caller, url: str) -> None:
    path = f"/queries/items/failing?at={ROWS - 10}"
    answer = await caller.http.get(path, headers=LINES)
    *rows, last, _ = answer.text.split("\n")
    assert "error" in json.loads(last)
    assert 1000 < len(rows) < ROWS
    with pytest.raises(httpx.RemoteProtocolError):
        await caller.http.get(path, headers=TABLE)
    answer = await caller.http.get("/queries/items/failing?at=1", headers=TABLE)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "error" not in answer.json()


async def a_connection_that_is_killed_is_told(caller: Caller, url: str) -> None:
    if url.startswith("sqlite"):
        return
    end = {
        "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE '%CROSS JOIN%' AND query NOT LIKE '%pg_stat%'",
        "mysql": "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%CROSS JOIN%'"
        " AND INFO NOT LIKE '%PROCESSLIST%'",
    }[urlsplit(url).scheme]
    with send(caller, "endless", LINES) as connection:
        answer = await asyncio.to_thread(connection.recv, 100_000)
        async with server_sql(url).connect(url) as execute:
            for row in await execute(end):
                if url.startswith("mysql"):
                    await execute(f"KILL CONNECTION {row[0]}")
        while part := await asyncio.to_thread(connection.recv, 1_000_000):
            answer = answer[-100_000:] + part
            if answer.endswith(b"0\r\n\r\n"):
                break
    line = answer.rstrip(b"\r\n0").rsplit(b"\n", 2)[-1]
    problem = json.loads(line[line.index(b'{"error"') :])["error"]
    assert (problem["code"], problem["outcome"], problem["retryable"]) == ("database_unavailable", "none", True)


@pytest.mark.reliability(33, 35)
@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
async def test_streams_over_sockets(kind: str, database_url: str, tmp_path: Path, tally: Tally) -> None:
    await fill(database_url)
    engine = urlsplit(database_url).scheme
    async with serving(database_url, tmp_path, files(engine), kind=kind, **LIMITS) as caller:
        await caller.until_whole(10)
        for happens in (
            who_leaves_takes_his_stream_along,
            who_does_not_read_is_let_go,
            what_fails_on_the_way_is_told,
            a_connection_that_is_killed_is_told,
        ):
            await happens(caller, database_url)
            await caller.until_whole(WHOLE_SECONDS)
        assert "Traceback" not in caller.server.errors, caller.server.errors
    tally.inputs(35, 2)


@pytest.mark.reliability(38)
async def test_the_end_of_the_service(sqlite_url: str, tmp_path: Path) -> None:
    """A stream that has time is finished; one that has none is cut, and seen to be."""
    await fill(sqlite_url)
    async with serving(sqlite_url, tmp_path, files("sqlite"), **LIMITS, drain_seconds=3) as caller:
        await caller.until_whole(10)
        sockets = contextlib.ExitStack()
        short = sockets.enter_context(send(caller, "some", LINES, window=4096))
        endless = sockets.enter_context(send(caller, "endless", LINES))
        begun = await asyncio.to_thread(short.recv, 1000)
        assert await asyncio.to_thread(endless.recv, 1000)
        caller.server.process.send_signal(signal.SIGTERM)
        reading = asyncio.create_task(asyncio.to_thread(_read_away, endless))
        while not begun.endswith(b"0\r\n\r\n"):
            part = await asyncio.to_thread(short.recv, 100_000)
            assert part
            begun += part
        assert begun.count(b'{"n":') == ROWS
        assert not (await reading).endswith(b"0\r\n\r\n")
        sockets.close()


def _read_away(connection: socket.socket) -> bytes:
    last = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1_000_000):
            last = part
    return last
