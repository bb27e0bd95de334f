"""Measure sqlwright beside hand-written services: `make bench`, or `python tests/bench --help`.

Needs Debian's `wrk` and `curl` and at least two cores: the service runs on the first, the load on the second.
`--readme` measures what the README shows (some minutes), stores it in `results/`, draws the chart and writes the table;
`--check` tells whether the README shows what is stored.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import report
from chart import chart
from filled_databases import database
from load import SERVICE_CORE, Figures, measure, warm_up
from machine import machine, today
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rounds import Cell, compared, run_rounds
from services import BASE, OURS, PEERS, Services

from cases import BY_NAME, CASES, DEFAULT, EVERY


def main() -> int:
    options = _options()
    if options.check:
        return report.check()
    absent = [program for program in ("wrk", "curl", "taskset") if shutil.which(program) is None]
    if absent:
        raise SystemExit(f"not installed: {', '.join(absent)}")
    if options.readme:
        sets = report.SETS
    else:
        services = tuple(options.services.split(","))
        names = options.cases.split(",")
        sets = {engine: _cells(engine, names, services, options.connections) for engine in options.engine.split(",")}
    found: dict[str, Any] = {"date": today(), "machine": machine(), "rounds": options.rounds, "engines": {}}
    for engine, cells in sets.items():
        found["engines"][engine] = _measure(engine, cells, options.rounds, options.seconds)
        _show(found["engines"][engine])
    if options.readme:
        report.write(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if options.svg:
        options.svg.write_text(chart(found), encoding="utf-8")
    return 0


def _cells(engine: str, names: Sequence[str], services: tuple[str, ...], connections: Sequence[int]) -> list[Cell]:
    cases = [BY_NAME[name] for name in names if engine in BY_NAME[name].engines]
    return [Cell(case.name, count, services) for case in cases for count in ([1] if case.once else connections)]


def _measure(engine: str, cells: Sequence[Cell], rounds: int, seconds: int) -> dict[str, Any]:
    with ExitStack() as stack:
        filled = stack.enter_context(database(engine))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sqlwright-bench-"))
        services = stack.enter_context(Services(filled.url, Path(folder), SERVICE_CORE))
        progress = stack.enter_context(Progress(transient=True))
        warm: set[tuple[str, str, int]] = set()
        task = progress.add_task(engine, total=rounds * sum(len(cell.services) for cell in cells))

        def one(case_name: str, connections: int, service: str) -> Figures:
            case = BY_NAME[case_name]
            is_ours = service.partition("@")[0] == OURS
            case = case if is_ours or not case.peers_call else BY_NAME[case.peers_call]
            progress.update(task, description=f"{engine}: {case_name} × {connections}: {service.partition('/')[0]}")
            port, process = services.running(service, case)
            if (key := (service, case_name, connections)) not in warm:
                warm_up(case, port, connections)
                warm.add(key)
            figures = measure(
                case,
                case.keys_a_call if is_ours else 1,
                port=port,
                service=process,
                database=filled.process,
                connections=connections,
                seconds=seconds,
            )
            progress.advance(task)
            return figures

        return {"product": filled.product, "entries": compared(run_rounds(cells, rounds, one))}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="postgresql", help=f"one or more of {','.join(EVERY)}")
    parser.add_argument("--cases", default=",".join(DEFAULT), help=", ".join(case.name for case in CASES))
    parser.add_argument(
        "--services", default=f"{BASE},{OURS}", help=f"{', '.join((OURS, *PEERS))}; {OURS}@PYTHON is another checkout's"
    )
    parser.add_argument("--connections", type=lambda text: [int(part) for part in text.split(",")], default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--svg", type=Path, help="draw them here")
    parser.add_argument("--readme", action="store_true", help="measure what the README shows, and write it there")
    parser.add_argument("--check", action="store_true", help="measure nothing: does the README show what is stored?")
    return parser.parse_args()


def _show(measured: dict[str, Any]) -> None:
    table = Table(title=f"{measured['product']}: medians, ratios to `{BASE}` with 90 % intervals")
    for name in ("case", "conn.", "service", "req/s", "×", "CPU µs", "×", "db µs", "p99 ms", "MiB"):
        table.add_column(name, justify="left" if name in ("case", "service") else "right", no_wrap=True)
    for entry in measured["entries"]:
        table.add_row(
            entry["case"],
            str(entry["connections"]),
            entry["service"].partition("/")[0],
            f"{entry['requests_per_second']:,.{0 if entry['requests_per_second'] > 10 else 3}f}",
            _ratio(entry, "requests_per_second"),
            f"{entry['service_us']:,.0f}",
            _ratio(entry, "service_us"),
            f"{entry['database_us']:,.0f}",
            f"{entry['p99_ms']:.1f}",
            f"+{entry['growth_mib']:.0f}" if BY_NAME[entry["case"]].once else "",
        )
    Console(width=max(Console().width, 130)).print(table)


def _ratio(entry: dict[str, Any], figure: str) -> str:
    ratio = entry["ratios"].get(figure)
    return "" if ratio is None else f"{ratio['median']:.2f} [{ratio['low']:.2f}–{ratio['high']:.2f}]"


if __name__ == "__main__":
    raise SystemExit(main())
