"""Callers that are slow: with their headers, with their body, with reading the answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from asking import LIMITS

from record_shop import write_files
from reliability import Tally
from server_process import Server, start

HEAD = b"POST /queries/artists/how_many HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = b"GET /queries/artists/how_many HTTP/1.1\r\nHost: localhost\r\n\r\n"
GIVE_UP_SECONDS = 3.5
"""Over three times what the servers here allow."""

SLOW_HEADERS: dict[str, tuple[bytes, bytes]] = {
    "says nothing": (b"", b""),
    "stops in the first line": (b"GET /queries", b""),
    "stops in the headers": (HEAD, b""),
    "a byte now and then": (HEAD + b"X: ", b"a"),
    "a header now and then": (HEAD, b"X: a\r\n"),
    "a connection that is kept and not used": (GOOD, b""),
    "HTTP/2, and nothing more": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0", b""),
}
"""What is sent at once, and what then again and again."""
SLOW_BODIES: dict[str, tuple[bytes, bytes]] = {
    "no body": (HEAD + b"Content-Length: 9\r\n\r\n", b""),
    "a byte now and then": (HEAD + b"Content-Length: 999\r\n\r\n", b" "),
    "a chunk now and then": (HEAD + CHUNKED, b"1\r\n \r\n"),
    "an endless chunk": (HEAD + CHUNKED + b"fffff\r\n", b" "),
    "a compressed byte now and then": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 999\r\n\r\n", b"\x1f"),
}


def lasts(port: int, sent: bytes, again: bytes) -> tuple[float, bytes]:
    """Seconds until the server closes the connection, and what it said; `GIVE_UP_SECONDS` when it does not."""
    started = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(0.1)
        connection.sendall(sent)
        while (passed := time.monotonic() - started) < GIVE_UP_SECONDS:
            try:
                if not (part := connection.recv(65536)):
                    return passed, answer
                answer += part
            except TimeoutError:
                try:
                    connection.sendall(again)
                except OSError:
                    return passed, answer
            except OSError:
                return passed, answer
    return GIVE_UP_SECONDS, answer


def each(port: int, cases: dict[str, tuple[bytes, bytes]]) -> dict[str, tuple[float, bytes]]:
    with ThreadPoolExecutor(len(cases)) as threads:
        return dict(zip(cases, threads.map(lambda case: lasts(port, *case), cases.values()), strict=True))


@pytest.mark.reliability(35)
def test_slow_headers(server: Server, tally: Tally) -> None:
    """granian closes; uvicorn waits for ever, which is why it belongs behind a proxy."""
    found = each(server.port, SLOW_HEADERS)
    open_still = {name for name, (seconds, _) in found.items() if seconds >= GIVE_UP_SECONDS}
    # uvicorn closes connections that are kept after five seconds, and speaks no HTTP/2.
    waits = set() if server.kind == "granian" else set(SLOW_HEADERS) - {"HTTP/2, and nothing more"}
    assert open_still == waits, found
    assert server.get("/queries/artists/how_many").status_code == 200
    tally.inputs(35, len(found))


@pytest.mark.reliability(35)
def test_slow_headers_before_the_proxy(proxied: Server, tally: Tally) -> None:
    found = each(proxied.port, SLOW_HEADERS)
    # An unused connection is nginx's keepalive_timeout, which is not slow.
    slow = {name: seconds for name, (seconds, _) in found.items() if "kept" not in name}
    assert max(slow.values()) < GIVE_UP_SECONDS, slow
    assert proxied.get("/queries/artists/how_many").status_code == 200
    tally.inputs(35, len(found))


@pytest.mark.reliability(35)
def test_slow_bodies(server: Server, tally: Tally) -> None:
    for name, (seconds, answer) in each(server.port, SLOW_BODIES).items():
        assert seconds < GIVE_UP_SECONDS, name
        assert answer.startswith(b"HTTP/1.1 408 "), (name, answer)
        assert b'"code":"body_too_slow"' in answer
        assert b"connection: close" in answer.lower()
    assert server.get("/queries/artists/how_many").status_code == 200
    tally.inputs(35, len(SLOW_BODIES))


@pytest.mark.reliability(35)
def test_many_slow_bodies(server: Server, tally: Tally) -> None:
    """Nothing of a refused call holds its connection open, as a cycle of references would until it is collected."""
    for _ in range(2):
        cases = {str(number): SLOW_BODIES["no body"] for number in range(40)}
        assert max(seconds for seconds, _ in each(server.port, cases).values()) < GIVE_UP_SECONDS
    tally.inputs(35, 80)


# --- readers ----------------------------------------------------------------------------------------------------

READERS = 100
PAGE = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
SELECT i, hex(zeroblob(500)) AS filler FROM n ORDER BY i
"""
PAGE_BYTES = 1_000_000
SLACK_BYTES = 30_000_000


@pytest.fixture(params=["granian", "uvicorn"])
def with_pages(request: pytest.FixtureRequest, shop: tuple[str, Path], tmp_path: Path) -> Iterator[Server]:
    queries = write_files(tmp_path / "queries", {"page.sql": PAGE, "one.sql": "-- :result :value\nSELECT 1\n"})
    with start(request.param, shop[0], queries, **{**LIMITS, "request_timeout_seconds": 10}) as server:
        server.until("/readyz", 200)
        yield server


def resident_bytes(process: int) -> int:
    """Of a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 + sum(resident_bytes(int(child)) for child in children)


def ask_and_do_not_read(port: int, readers: ExitStack, times: int = 1) -> None:
    connection = readers.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects: the window is small
    connection.connect(("127.0.0.1", port))
    connection.sendall(b"GET /queries/page?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * times)


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.reliability(35)
def test_readers_that_do_not_read(with_pages: Server, tally: Tally) -> None:
    """Each keeps its answer and nothing more, others are served, and all is given back when they leave."""
    server, process = with_pages, with_pages.process.pid
    assert len(server.get("/queries/page?limit=1000").content) > PAGE_BYTES
    after = []
    for _ in range(3):
        with ExitStack() as readers:
            before = served(server)
            for _ in range(READERS):
                ask_and_do_not_read(server.port, readers)
            until(lambda before=before: served(server) >= before + READERS)  # type: ignore[misc]
            assert server.get("/queries/one").json() == {"value": 1}
            held = resident_bytes(process)
        assert server.get("/queries/one").json() == {"value": 1}
        after.append(resident_bytes(process))
        assert held < after[0] + READERS * PAGE_BYTES * 1.5
    assert max(after[1:]) < after[0] + SLACK_BYTES, after
    tally.inputs(35, 3 * READERS)


@pytest.mark.reliability(35)
def test_readers_that_never_read(shop: tuple[str, Path], tmp_path: Path, tally: Tally) -> None:
    """More than the kernel's buffers take: the kernel ends the connections (uvicorn keeps them: the proxy's part)."""
    queries = write_files(tmp_path / "queries", {"page.sql": PAGE, "one.sql": "-- :result :value\nSELECT 1\n"})
    with start("granian", shop[0], queries, **LIMITS, send_timeout_seconds=1) as server, ExitStack() as readers:
        server.until("/readyz", 200)
        for _ in range(5):
            ask_and_do_not_read(server.port, readers, times=8)
        until(lambda: established(server.port) >= 5)
        until(lambda: established(server.port) == 0)
        assert server.get("/queries/one").json() == {"value": 1}
    tally.inputs(35, 5)


def established(port: int) -> int:
    """Connections that a server at a port holds, its own ends."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in lines)


def served(server: Server) -> int:
    """Pages that were made, whether or not they were read."""
    for line in server.get("/metrics").text.splitlines():
        if line.startswith("sqlwright_query_duration_seconds_count") and '"page"' in line:
            return int(float(line.rpartition(" ")[2]))
    return 0
