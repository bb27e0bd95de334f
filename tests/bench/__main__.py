"""Measure sqlwright beside hand-written services: `make bench`, or `python tests/bench --help`.

Needs Debian's `wrk` and at least two cores: the service runs on the first, the load on the second.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from chart import chart
from filled_databases import database
from load import Figures, measure
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rounds import compared, run_rounds
from services import BASE, OURS, PEERS, write_queries

from cases import BY_NAME, CASES, DEFAULT


def main() -> int:
    options = _options()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    services = options.services.split(",")
    cases = [BY_NAME[name] for name in options.cases.split(",")]
    keys = [(case.name, connections) for case in cases for connections in options.connections]
    with (
        database(options.engine) as url,
        tempfile.TemporaryDirectory(prefix="sqlwright-bench-") as folder,
        Progress(transient=True) as progress,
    ):
        queries = {case.name: write_queries(Path(folder), case) for case in cases}
        task = progress.add_task(options.engine, total=options.rounds * len(keys) * len(services))

        def one(case: str, connections: int, service: str) -> Figures:
            progress.update(task, description=f"{case} × {connections}: {service}")
            figures = measure(
                service,
                BY_NAME[case],
                engine=options.engine,
                url=url,
                queries=queries[case],
                connections=connections,
                seconds=options.seconds,
            )
            progress.advance(task)
            return figures

        entries = compared(run_rounds(keys, services, options.rounds, one))
    _show(entries, options.engine)
    if options.json:
        options.json.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    if options.svg:
        title = f"sqlwright on {options.engine}, {date.today():%d %B %Y}, {platform.machine()}"
        options.svg.write_text(chart(entries, title), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("postgresql", "sqlite", "mysql"), default="postgresql")
    parser.add_argument("--cases", default=",".join(DEFAULT), help=", ".join(case.name for case in CASES))
    parser.add_argument(
        "--services", default=f"{BASE},{OURS}", help=f"{', '.join((OURS, *PEERS))}; {OURS}@PYTHON is another checkout's"
    )
    parser.add_argument("--connections", type=lambda text: [int(part) for part in text.split(",")], default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--svg", type=Path, help="draw them here")
    return parser.parse_args()


def _show(entries: list[dict[str, Any]], engine: str) -> None:
    table = Table(title=f"{engine}: medians, ratios to `{BASE}` with 90 % intervals")
    for name in ("case", "conn.", "service", "req/s", "×", "CPU µs", "×", "db µs", "p99 ms"):
        table.add_column(name, justify="left" if name in ("case", "service") else "right", no_wrap=True)
    for entry in entries:
        table.add_row(
            entry["case"],
            str(entry["connections"]),
            entry["service"].partition("/")[0],
            f"{entry['requests_per_second']:,.0f}",
            _ratio(entry, "requests_per_second"),
            f"{entry['service_us']:,.0f}",
            _ratio(entry, "service_us"),
            f"{entry['database_us']:,.0f}",
            f"{entry['p99_ms']:.1f}",
        )
    Console(width=max(Console().width, 130)).print(table)


def _ratio(entry: dict[str, Any], figure: str) -> str:
    ratio = entry["ratios"].get(figure)
    return "" if ratio is None else f"{ratio['median']:.2f} [{ratio['low']:.2f}–{ratio['high']:.2f}]"


if __name__ == "__main__":
    raise SystemExit(main())
