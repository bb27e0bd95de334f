"""What the calls of a running service took, by query: reads its /metrics, which adds up over its workers.

  sqlwright stats
  sqlwright stats --url http://10.0.0.5:8000 --sort p95

Durations are whole calls, from the request to its answer; percentiles are estimated inside histogram buckets. Counting
begins when the service starts.
"""

from __future__ import annotations

import argparse
import math
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from urllib.parse import urlsplit

from sqlwright.cli import output
from sqlwright.config import load_settings
from sqlwright.errors import SettingsError, SqlwrightError
from sqlwright.http.listening import reachable_url
from sqlwright.tuning.statistics import quantile

UNREACHABLE = 3
TIMEOUT_SECONDS = 10.0
BYTES_MAX = 256 * 1024 * 1024
_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(slots=True)
class QueryStats:
    """One line of the table. Times are in seconds, None where there were no calls to tell them."""

    name: str
    calls: int = 0
    errors: int = 0
    rows: int = 0
    statements: float = 0.0
    """Fewer than calls where calls ran together."""
    mean_seconds: float | None = None
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    p99_seconds: float | None = None
    total_seconds: float = 0.0
    share: float = 0.0
    """Of the total time of all, 0 to 1."""
    errors_by_code: dict[str, int] = field(default_factory=dict)


SORTS: dict[str, Callable[[QueryStats], float]] = {
    "total": lambda stats: stats.total_seconds,
    "mean": lambda stats: stats.mean_seconds or 0.0,
    "p95": lambda stats: stats.p95_seconds or 0.0,
    "calls": lambda stats: stats.calls,
    "errors": lambda stats: stats.errors,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", metavar="URL", help="of the service (http://127.0.0.1:8000, or the settings' host and port)"
    )
    parser.add_argument("--sort", choices=tuple(SORTS), default="total", help="largest first (total)")
    parser.add_argument("--json", action="store_true", help="for programs: {queries: [{name, calls, errors, …}]}")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")


def run(arguments: argparse.Namespace) -> int:
    url = arguments.url or _own_url()
    try:
        text = _fetch(url)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        output.message(
            f"no service answers at {url}: {reason}", hint="start one with `sqlwright serve`, or name it with --url"
        )
        return UNREACHABLE
    try:
        found = read_stats(text)
    except ValueError as error:
        raise SqlwrightError(f"what {url} says is not in the form of /metrics: {error}") from error
    found.sort(key=lambda stats: (-SORTS[arguments.sort](stats), stats.name))
    if arguments.json:
        output.json_result({"queries": [asdict(stats) for stats in found]})
    elif found:
        _write_table(found)
    else:
        output.note("no query has been called yet")
    return 0


def _own_url() -> str:
    settings = load_settings()
    if not settings.port:
        raise SettingsError("the service listens on a port of its own choice (port 0)", hint="name it with --url")
    return reachable_url(settings.host, settings.port)


def _fetch(url: str) -> str:
    """The text of /metrics. Raises `SqlwrightError` when somebody else, or an older version, answers there."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"--url {url}: a URL begins with http:// or https://")
    # Without the proxies of the environment: the service is most often on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    place = url.rstrip("/") + "/metrics"
    request = urllib.request.Request(place, headers={"Accept": "text/plain"})  # noqa: S310 - the scheme is checked
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read(BYTES_MAX)
    except urllib.error.HTTPError as error:
        with error:
            raise SqlwrightError(
                f"{place} answers {error.code} {error.reason}", hint="is a sqlwright service there?"
            ) from None
    text = content.decode("utf-8", "replace")
    if "sqlwright_" not in text:
        raise SqlwrightError(f"what answers at {place} is not sqlwright")
    return text


def read_stats(text: str) -> list[QueryStats]:
    """What /metrics says of each query."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, QueryStats] = {}
    buckets: dict[str, list[tuple[float, float]]] = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if "query" not in labels:
                continue
            stats = found.setdefault(labels["query"], QueryStats(labels["query"]))
            match name:
                case "sqlwright_query_calls_total":
                    stats.calls = int(value)
                case "sqlwright_query_statements_total":
                    stats.statements = round(value, 3)
                case "sqlwright_query_rows_total":
                    stats.rows = int(value)
                case "sqlwright_query_errors_total":
                    stats.errors += int(value)
                    stats.errors_by_code[labels["code"]] = int(value)
                case "sqlwright_query_duration_seconds_sum":
                    stats.total_seconds = value
                case "sqlwright_query_duration_seconds_bucket":
                    buckets.setdefault(stats.name, []).append((float(labels["le"]), value))
    everything = math.fsum(stats.total_seconds for stats in found.values())
    for stats in found.values():
        if stats.calls:
            stats.mean_seconds = stats.total_seconds / stats.calls
        if everything:
            stats.share = stats.total_seconds / everything
        known = buckets.get(stats.name, [])
        stats.p50_seconds, stats.p95_seconds, stats.p99_seconds = (quantile(known, part) for part in (0.5, 0.95, 0.99))
    return list(found.values())


def _write_table(found: Sequence[QueryStats]) -> None:
    headings = ("query", "calls", "statements", "errors", "rows", "mean", "p50", "p95", "p99", "total", "share")
    largest = max(stats.share for stats in found)
    draws = output.someone_looks(sys.stdout)
    rows = []
    for stats in found:
        share = f"{stats.share:.1%}"
        if draws:
            share = f"{share:>6} {_bar(stats.share / largest if largest else 0)}"
        times = [
            _milliseconds(t) for t in (stats.mean_seconds, stats.p50_seconds, stats.p95_seconds, stats.p99_seconds)
        ]
        counts = [f"{stats.calls:,}", f"{stats.statements:,.0f}", f"{stats.errors:,}", f"{stats.rows:,}"]
        rows.append([stats.name, *counts, *times, _duration(stats.total_seconds), share])
    output.table(headings, rows, numeric=[False, *[True] * 9, not draws])


def _bar(part: float) -> str:
    eighths = round(part * _BAR_WIDTH * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:,.1f} ms"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"
