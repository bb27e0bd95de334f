"""The services that are measured: ours and what people write by hand, each started alone and pinned to one core."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from cases import MANY, Case

HERE = Path(__file__).parent
START_SECONDS = 180
STOP_SECONDS = 10
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

OURS = "sqlwright"
PEERS = ("floor", "handwritten", "sqlalchemy_crud")
READY = Case("ready", "ready", "/readyz")
BASE = "handwritten"
"""Whom the ratios are taken to."""


def write_queries(target: Path, case: Case) -> None:
    """The folder of query files for a case: ours, and as many others as it wants."""
    shutil.copytree(HERE / "queries", target)
    (target / "many").mkdir()
    queries, is_many = case.folder
    others = MANY if is_many else queries
    for start in range(0, others, 1000):
        (target / "many" / f"from_{start}.sql").write_text(
            "".join(
                f"-- name: q{number}^\n-- @param id int\n"
                f"SELECT id, name, price, {number} AS number FROM item WHERE id = :id;\n"
                for number in range(start, min(start + 1000, others))
            ),
            encoding="utf-8",
        )


def _command(name: str, port: int, url: str, queries: Path) -> list[str]:
    ours, _, python = name.partition("@")
    if ours == OURS:
        words = ["serve", "--database-url", url, "--queries", str(queries), "--port", str(port)]
        return [python or sys.executable, "-c", "from sqlwright.cli.main import main; raise SystemExit(main())", *words]
    options = ["--interface", "asgi", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"]
    return [sys.executable, "-m", "granian", *options, "--port", str(port), f"{name}:app"]


class Services:
    """Those that run. Each is started when it is first asked for and stays until the end: who waits costs nothing."""

    def __init__(self, url: str, folder: Path, core: str) -> None:
        self._url = url
        self._folder = folder
        self._core = core
        self._stack = ExitStack()
        self._running: dict[tuple[str, tuple[int, bool]], tuple[int, subprocess.Popen[bytes]]] = {}
        self._answered: set[tuple[str, str]] = set()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def running(self, name: str, case: Case) -> tuple[int, int]:
        """Port and process of a service that answers the case."""
        key = name, case.folder if name.partition("@")[0] == OURS else (0, False)
        if key not in self._running:
            self._running[key] = self._start(name, case)
            if name.partition("@")[0] == OURS:
                # It answers before it has seen all of its queries, and is measured after that.
                _wait_until_it_answers(self._running[key][0], READY, self._running[key][1])
        port, process = self._running[key]
        if (name, case.name) not in self._answered:
            _wait_until_it_answers(port, case, process)
            self._answered.add((name, case.name))
        return port, process.pid

    def _start(self, name: str, case: Case) -> tuple[int, subprocess.Popen[bytes]]:
        port = _free_port()
        queries = self._folder / "-".join(map(str, case.folder))
        if not queries.exists():
            write_queries(queries, case)
        environment = {**os.environ, "DATABASE_URL": self._url, "PYTHONPATH": str(HERE / "peers")}
        command = ["taskset", "-c", self._core, *_command(name, port, self._url, queries)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(_stop, process)
        return port, process


def _wait_until_it_answers(port: int, case: Case, process: subprocess.Popen[bytes]) -> None:
    address, (path, body) = f"http://127.0.0.1:{port}", case.sample
    headers = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(address + path, body.encode() or None, headers)
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                if case.once and not body:
                    return  # a long answer, which need not be read
                answer.read()
        except OSError as error:
            wrong = isinstance(error, urllib.error.HTTPError) and error.code != 503
            if wrong or process.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit(f"{address}{path}: {error}") from None
        else:
            return
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    everyone = family(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:  # threads of stock aiosqlite can keep a peer from leaving
        for pid in everyone:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def family(root: int) -> list[int]:
    """A process and all below it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
    return found


def cpu_seconds(processes: list[int]) -> float:
    """Time on a processor so far, in the program and in the kernel."""
    ticks = 0
    for pid in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND
