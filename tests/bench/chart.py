"""The picture that the README shows: requests a second against the hand-written peer, a bar a case."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from services import BASE, OURS

from cases import BY_NAME

_WIDTH, _LEFT, _ROW, _TOP = 760, 260, 22, 56
_COLOURS = {OURS: "#2f6f9f", "sqlalchemy_crud": "#b9b9b9", "floor": "#e3e3e3"}


def chart(entries: Sequence[dict[str, Any]], title: str) -> str:
    """SVG. The line at 1 is the peer."""
    shown = [e for e in entries if e["service"] in (OURS, "sqlalchemy_crud") and e["ratios"]]
    widest = max([e["ratios"]["requests_per_second"]["high"] for e in shown] + [1.0])
    scale = (_WIDTH - _LEFT - 90) / widest
    height = _TOP + _ROW * len(shown) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="10" y="40" fill="#555">requests a second, {BASE} service = 1; lines are 90 % intervals</text>',
    ]
    for index, entry in enumerate(shown):
        parts += _bar(entry, _TOP + index * _ROW, scale)
    one = _LEFT + scale
    ends = f'x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP - 6}" y2="{height - 24}"'
    parts.append(f'<line {ends} stroke="#c0392b" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>\n"])


def _bar(entry: dict[str, Any], y: int, scale: float) -> list[str]:
    ratio = entry["ratios"]["requests_per_second"]
    width, low, high = (max(ratio[key], 0.0) * scale for key in ("median", "low", "high"))
    label = f"{BY_NAME[entry['case']].title}, {entry['connections']} conn."
    who = "" if entry["service"] == OURS else " (SQLAlchemy)"
    return [
        f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(label + who)}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_ROW - 6}" fill="{_COLOURS[entry["service"]]}"/>',
        f'<line x1="{_LEFT + low:.1f}" x2="{_LEFT + high:.1f}" y1="{y + 8}" y2="{y + 8}" stroke="#1b2b34"/>',
        f'<text x="{_LEFT + high + 6:.1f}" y="{y + 12}">{ratio["median"]:.2f} ×</text>',
    ]
