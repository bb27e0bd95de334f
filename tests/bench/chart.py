"""The picture that the README shows: our requests a second and processor time, where the hand-written peer's are 1."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from services import OURS

from cases import BY_NAME

_WIDTH, _LABELS, _GAP, _VALUES = 900, 250, 24, 58
_RATES = 340
"""Width of the bars for requests a second; the rest is for processor time."""
_TIMES = _WIDTH - _LABELS - _RATES - 2 * _VALUES - _GAP - 10
_ROW, _BAR, _TOP, _HEADING, _BOTTOM = 24, 14, 74, 34, 46
_TIME_MAX = 1.25
_STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2933 }
.title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 }
.soft { fill: #65727e } tspan.soft { font-weight: 400 }
.value { font-weight: 600 } .rate { fill: #2563eb } .time { fill: #0d9488 }
.track { fill: #8b98a5; fill-opacity: .13 }
.whisker { stroke: #1f2933; stroke-opacity: .55 }
.one { stroke: #dc2626; stroke-dasharray: 3 3 } .note { fill: #dc2626 }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9ee } .soft { fill: #9aa7b4 } .rate { fill: #60a5fa } .time { fill: #2dd4bf }
  .whisker { stroke: #e4e9ee } .one { stroke: #f87171 } .note { fill: #f87171 }
}
"""


def chart(found: dict[str, Any]) -> str:
    """SVG for light and for dark pages. A bar a case; lines are 90 % intervals, the dashed line is the peer."""
    groups = [(m["product"], [e for e in m["entries"] if e["service"] == OURS]) for m in found["engines"].values()]
    ours = [entry for _, entries in groups for entry in entries]
    widest = max([entry["ratios"]["requests_per_second"]["high"] for entry in ours] + [1.0])
    height = _TOP + _ROW * len(ours) + _HEADING * len(groups) + _BOTTOM
    right = _LABELS + _RATES + _VALUES + _GAP
    rate, time = _RATES / widest, _TIMES / _TIME_MAX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<style>{_STYLE}</style>",
        '<text class="title" x="10" y="24">sqlwright against a service written by hand</text>',
        f'<text class="soft" x="10" y="44">Starlette, raw driver, orjson · {escape(found["date"])}'
        f" · {escape(found['machine']['processor'])}</text>",
        _heading(_LABELS, "requests a second", "longer is better"),
        _heading(right, "processor time", "shorter is better"),
    ]
    y = _TOP
    for product, entries in groups:
        parts.append(f'<text class="group" x="10" y="{y + 24}">{escape(product)}</text>')
        y += _HEADING
        for entry in entries:
            parts += _row(entry, y, right, rate, time)
            y += _ROW
    for x in (_LABELS + rate, right + time):
        parts.append(f'<line class="one" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP + 4}" y2="{y + 8}"/>')
        parts.append(f'<text class="note" x="{x:.1f}" y="{y + 24}" text-anchor="middle">by hand = 1</text>')
    return "\n".join([*parts, "</svg>\n"])


def _heading(x: int, what: str, how: str) -> str:
    return f'<text class="group" x="{x}" y="{_TOP - 6}">{what} <tspan class="soft">· {how}</tspan></text>'


def _row(entry: dict[str, Any], y: int, right: int, rate: float, time: float) -> Iterator[str]:
    case, ratios = BY_NAME[entry["case"]], entry["ratios"]
    connections = "" if case.once else f", {entry['connections']} conn."
    middle = y + _BAR / 2 + 4
    yield f'<text x="{_LABELS - 10}" y="{middle}" text-anchor="end">{escape(case.title + connections)}</text>'
    yield from _bar("rate", ratios["requests_per_second"], (_LABELS, y, _RATES), rate)
    yield from _bar("time", ratios["service_us"], (right, y, _TIMES), time)


def _bar(kind: str, ratio: dict[str, float], place: tuple[int, int, int], scale: float) -> Iterator[str]:
    x, y, width = place
    length, low, high = (min(max(ratio[key] * scale, 0), width) for key in ("median", "low", "high"))
    middle = y + _BAR / 2
    yield f'<rect class="track" x="{x}" y="{y}" width="{width}" height="{_BAR}" rx="3"/>'
    yield f'<rect class="{kind}" x="{x}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="3"/>'
    yield f'<line class="whisker" x1="{x + low:.1f}" x2="{x + high:.1f}" y1="{middle}" y2="{middle}"/>'
    yield f'<text class="value" x="{x + width + 8}" y="{middle + 4}">{ratio["median"]:.2f} ×</text>'
