"""What the README shows: which cells are measured for it; its table and its chart, from the figures that are stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chart import chart
from rounds import Cell
from services import BASE, OURS

from cases import BY_NAME, SHAPES

README = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).parent / "results"
FIGURES = RESULTS / "readme.json"
CHART = RESULTS / "readme.svg"
BLOCK = re.compile(r"(<!-- speed: [^\n]* -->\n)(.*?)(<!-- end of speed -->)", re.DOTALL)

_PATTERN = "sqlalchemy_crud"
_BOTH = (BASE, OURS)
_ALL = (BASE, OURS, _PATTERN)
_KEYS_AND_PAGES = [
    *(Cell(case, 64, _ALL) for case in ("by_key", "page_100")),
    *(Cell(case, 1, _BOTH) for case in ("by_key", "page_100")),
]
_LONG = [Cell(case, 1, _BOTH) for case in ("stream_1000000", "bulk_100000")]
SETS = {
    "postgresql": [
        *_KEYS_AND_PAGES,
        Cell("array_20", 64, _BOTH),
        *(Cell(case, 64, _BOTH) for case in SHAPES),
        *_LONG,
    ],
    "sqlite": _KEYS_AND_PAGES,
    "mysql": _KEYS_AND_PAGES,
}
"""Some minutes in sum."""

_HEAD = """\
| call | connections | requests/s | **× hand-written** | CPU × | database CPU × | p99 ms (theirs) | × SQLAlchemy |
|---|---|---|---|---|---|---|---|
"""


def write(found: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    CHART.write_text(chart(found), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda match: f"{match[1]}{block(found)}{match[3]}", text), encoding="utf-8")


def check() -> int:
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    shown = BLOCK.search(README.read_text(encoding="utf-8"))
    if shown is None or shown[2] != block(found):
        print("the README does not show the figures of", FIGURES)
        return 1
    if CHART.read_text(encoding="utf-8") != chart(found):
        print(CHART, "is not drawn from the figures of", FIGURES)
        return 1
    return 0


def block(found: dict[str, Any]) -> str:
    machine = found["machine"]
    products = ", ".join(measured["product"] for measured in found["engines"].values())
    where = (
        f"{found['date']}, {machine['processor']}, "
        f"{machine['cores']} cores: the service on one, the load on another; "
        f"{machine['system']}, Python {machine['python']}, {products}; {machine['packages']}. "
        f"Medians of {found['rounds']} interleaved rounds."
    )
    picture = (
        f"![Requests a second and processor time against a hand-written service]({CHART.relative_to(README.parent)})"
    )
    return f"\n{picture}\n\n{where}\n\n{_HEAD}{''.join(_rows(found))}\n"


def _rows(found: dict[str, Any]) -> Iterator[str]:
    for measured in found["engines"].values():
        entries = measured["entries"]
        peers = {(e["case"], e["connections"]): e for e in entries if e["service"] == BASE}
        for entry in entries:
            if entry["service"] == OURS:
                yield _row(measured["product"].partition(" ")[0], entry, peers[entry["case"], entry["connections"]])


def _row(product: str, entry: dict[str, Any], peer: dict[str, Any]) -> str:
    case, ratios = BY_NAME[entry["case"]], entry["ratios"]
    rate, pattern = ratios["requests_per_second"], entry["against"].get(_PATTERN)
    if case.once:
        speed, slowest = (
            f"{entry['p99_ms'] / 1e3:.1f} s a call",
            f"+{max(0, round(entry['growth_mib']))} MiB (+{max(0, round(peer['growth_mib']))})",
        )
    else:
        speed, slowest = f"{entry['requests_per_second']:,.0f}", f"{entry['p99_ms']:.1f} ({peer['p99_ms']:.1f})"
    cells = (
        f"{product}: {case.title}",
        str(entry["connections"]),
        speed,
        f"**{rate['median']:.2f}** ({rate['low']:.2f}–{rate['high']:.2f})",
        _times(ratios.get("service_us")),
        _times(ratios.get("database_us")),
        slowest,
        _times(pattern and pattern["requests_per_second"]),
    )
    return f"| {' | '.join(cells)} |\n"


def _times(ratio: dict[str, float] | None) -> str:
    return "" if ratio is None else f"{ratio['median']:.{2 if ratio['median'] < 10 else 0}f}"
