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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cases import MANY, Case

HERE = Path(__file__).parent
START_SECONDS = 60
STOP_SECONDS = 10
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

OURS = "sqlwright"
PEERS = ("floor", "handwritten", "sqlalchemy_crud")
BASE = "handwritten"
"""Whom the ratios are taken to."""


def write_queries(folder: Path, case: Case) -> Path:
    """The folder of query files for a case: ours, and as many others as it wants."""
    target = folder / f"queries-{case.name}"
    shutil.copytree(HERE / "queries", target)
    (target / "many").mkdir()
    others = MANY if case.path.startswith("/queries/many") else case.queries
    for start in range(0, others, 1000):
        (target / "many" / f"from_{start}.sql").write_text(
            "".join(
                f"-- name: q{number}^\n-- @param id int\n"
                f"SELECT id, name, price, {number} AS number FROM item WHERE id = :id;\n"
                for number in range(start, min(start + 1000, others))
            ),
            encoding="utf-8",
        )
    return target


def _command(name: str, port: int, url: str, queries: Path) -> list[str]:
    ours, _, python = name.partition("@")
    if ours == OURS:
        words = ["serve", "--database-url", url, "--queries", str(queries), "--port", str(port)]
        return [python or sys.executable, "-c", "from sqlwright.cli.main import main; raise SystemExit(main())", *words]
    options = ["--interface", "asgi", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"]
    return [sys.executable, "-m", "granian", *options, "--port", str(port), f"{name}:app"]


@contextmanager
def running(name: str, url: str, queries: Path, case: Case, cores: str) -> Iterator[tuple[int, int]]:
    """Port and process of a service that answers the case."""
    port = _free_port()
    environment = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(HERE / "peers")}
    command = ["taskset", "-c", cores, *_command(name, port, url, queries)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}{case.sample}", case, process)
        yield port, process.pid
    finally:
        _stop(process)


def _wait_until_it_answers(url: str, case: Case, process: subprocess.Popen[bytes]) -> None:
    body = case.body.replace("%d", "1").encode() if case.body else None
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
        except OSError as error:
            wrong = isinstance(error, urllib.error.HTTPError) and error.code != 503
            if wrong or process.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit(f"{url}: {error}") from None
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


def database_family(engine: str) -> list[int]:
    names = {"postgresql": "postgres", "mysql": "mariadbd"}
    if engine not in names:
        return []
    return [
        int(pid)
        for pid in subprocess.run(
            ["pgrep", "-x", names[engine]], capture_output=True, text=True, check=False
        ).stdout.split()
    ]


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
