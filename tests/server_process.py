"""Servers as processes of their own, called over sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

GRANIAN = """
import sys
from sqlwright.address import parse_address
from sqlwright.config import load_settings
from sqlwright.errors import SettingsError
from sqlwright.http.server import serve
from sqlwright.registry import load_registry
settings = load_settings()
registry, _ = load_registry(settings.queries, parse_address(settings.database_url).dialect)
try:
    sys.exit(serve(settings, registry))
except SettingsError as error:
    sys.exit(f"error: {error}; {error.hint}")
"""
DEADLINE_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server: `url`, `errors` (what it wrote to standard error so far), `get`, `raw`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.kind = ""
        self.url = f"http://127.0.0.1:{port}"
        self.errors = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=DEADLINE_SECONDS)

    def until(self, path: str, status: int) -> httpx.Response:
        """Ask until the answer has this status; a refused connection is an answer that has not come yet."""
        last: object = None
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            try:
                response = self.get(path)
            except httpx.TransportError as error:
                assert self.process.poll() is None, self.errors
                last = error
            else:
                if response.status_code == status:
                    return response
                last = response.text
            time.sleep(0.05)
        raise AssertionError(f"{path} still answers {last}\n{self.errors}")

    def until_told(self, pattern: str, times: int = 1) -> None:
        """`times` is counted here: a pattern that repeats itself takes for ever to find that one is missing."""
        end = time.monotonic() + DEADLINE_SECONDS
        while len(re.findall(pattern, self.errors)) < times:
            assert time.monotonic() < end, self.errors
            time.sleep(0.05)

    def raw(self, request: bytes) -> bytes:
        """The whole answer to bytes on a socket; empty when the server just closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS) as connection:
            connection.sendall(request)
            answer = b""
            try:
                while chunk := connection.recv(65536):
                    answer += chunk
            except ConnectionResetError:
                pass
            return answer

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        return code


@contextmanager
def start(kind: str, database_url: str, queries: Path, port: int | None = None, **settings: object) -> Iterator[Server]:
    """`granian` is what `sqlwright serve` runs; `uvicorn` takes the factory. Stopped at the end, and its group too."""
    port = port or free_port()
    variables = {f"SQLWRIGHT_{key.upper()}": str(value) for key, value in settings.items()}
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SQLWRIGHT_")},
        "DATABASE_URL": database_url,
        "SQLWRIGHT_QUERIES": str(queries),
        "SQLWRIGHT_PORT": str(port),
        "SQLWRIGHT_LOG_FORMAT": "json",
        **variables,
    }
    commands = {
        "granian": [sys.executable, "-c", GRANIAN],
        "uvicorn": [
            sys.executable, "-m", "uvicorn", "--factory", "sqlwright.http.app:create_app",
            "--port", str(port), "--log-level", "warning",
        ],
    }  # fmt: skip
    process = subprocess.Popen(
        commands[kind],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    server = Server(process, port)
    try:
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(DEADLINE_SECONDS)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # as it should be: nobody is left
            assert process.stderr is not None
            server._reader.join(DEADLINE_SECONDS)
            process.stderr.close()
