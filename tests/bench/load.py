"""One measurement: a service that runs, under wrk for some seconds, or one long call."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services import cpu_seconds, family

from cases import Case, script

SERVICE_CORE, LOAD_CORE = "0", "1"
WARM_UP_SECONDS = 1
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_MEASURED = "%{http_code} %{time_starttransfer} %{time_total}"


@dataclass(frozen=True, slots=True)
class Figures:
    requests_per_second: float
    service_us: float
    """Processor time of the service a request, in microseconds."""
    database_us: float
    p99_ms: float
    """Of one long call: how long it took."""
    first_byte_ms: float = 0.0
    growth_mib: float = 0.0
    """Of the service's memory at its peak, during one long call."""


def warm_up(case: Case, port: int, connections: int) -> None:
    """Before the first measurement: connections are opened, caches filled."""
    if not case.once:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
            lua.write(script(case))
            lua.flush()
            _wrk(port, lua.name, connections, WARM_UP_SECONDS)


def measure(
    case: Case, keys: int, *, port: int, service: int, database: int, connections: int, seconds: int
) -> Figures:
    """`service` and `database` are processes, the latter 0 where there is none; a call counts as `keys` requests.

    Raises SystemExit when an answer was not good.
    """
    if case.once:
        return _measure_once(case, port, service, database)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(script(case))
        lua.flush()
        before = _cpu_seconds(service), _cpu_seconds(database)
        count, rate, p99 = _wrk(port, lua.name, connections, seconds)
        after = _cpu_seconds(service), _cpu_seconds(database)
    used = [(b - a) / count / keys * 1e6 for a, b in zip(before, after, strict=True)]
    return Figures(rate * keys, used[0], used[1], p99)


def _measure_once(case: Case, port: int, service: int, database: int) -> Figures:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as body:
        body.write(case.body)
        body.flush()
        command = ["taskset", "-c", LOAD_CORE, "curl", "-s", "-o", "/dev/null", "-w", _MEASURED]
        if case.accept:
            command += ["-H", f"Accept: {case.accept}"]
        if case.body:
            command += ["-H", "Content-Type: application/json", "-H", "Expect:", "--data-binary", f"@{body.name}"]
        resident = _resident_mib(service, "VmRSS")
        for pid in family(service):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        before = _cpu_seconds(service), _cpu_seconds(database)
        out = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{case.path}"], capture_output=True, text=True, check=True
        ).stdout
        after = _cpu_seconds(service), _cpu_seconds(database)
    status, first, total = out.split()
    if status != "200":
        raise SystemExit(f"{case.path}: {status}")
    growth = _resident_mib(service, "VmHWM") - resident
    used = [(b - a) * 1e6 for a, b in zip(before, after, strict=True)]
    return Figures(1 / float(total), used[0], used[1], float(total) * 1e3, float(first) * 1e3, growth)


def _cpu_seconds(root: int) -> float:
    return cpu_seconds(family(root)) if root else 0.0


def _resident_mib(root: int, which: str) -> float:
    kib = 0
    for pid in family(root):
        kib += int(_found(rf"{which}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])
    return kib / 1024


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
