"""One measurement: a service under wrk for some seconds."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services import cpu_seconds, database_family, family, running

from cases import Case, script

SERVICE_CORE, LOAD_CORE = "0", "1"
WARM_UP_SECONDS = 1
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Figures:
    requests_per_second: float
    service_us: float
    """Processor time of the service a request, in microseconds."""
    database_us: float
    p99_ms: float


def measure(name: str, case: Case, *, engine: str, url: str, queries: Path, connections: int, seconds: int) -> Figures:
    """Raises SystemExit when an answer was not good."""
    with (
        running(name, url, queries, case, SERVICE_CORE) as (port, pid),
        tempfile.NamedTemporaryFile("w", suffix=".lua") as lua,
    ):
        lua.write(script(case))
        lua.flush()
        _wrk(port, lua.name, connections, WARM_UP_SECONDS)
        service, database = family(pid), database_family(engine)
        before = cpu_seconds(service), cpu_seconds(database)
        count, rate, p99 = _wrk(port, lua.name, connections, seconds)
        used = cpu_seconds(service) - before[0], cpu_seconds(database) - before[1]
    return Figures(rate, used[0] / count * 1e6, used[1] / count * 1e6, p99)


def _wrk(port: int, lua: str, connections: int, seconds: int) -> tuple[int, float, float]:
    """How many requests, how many a second, and the 99th percentile in milliseconds."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10s",
               "--latency", "-s", lua, f"http://127.0.0.1:{port}"]  # fmt: skip
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"not every answer was good\n{out}")
    slowest = _found(r"99%\s+([\d.]+)(us|ms|s)", out)
    return (
        int(_found(r"(\d+) requests in", out)[1]),
        float(_found(r"Requests/sec:\s+([\d.]+)", out)[1]),
        float(slowest[1]) * _UNITS[slowest[2]],
    )


def _found(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text)
    assert match is not None, text
    return match
