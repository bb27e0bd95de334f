"""What a person sees: progress while it runs, then a table and the line of each engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from chaos.result import ChaosResult, OverloadResult, SoakResult
from chaos.stage import Watch

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 60


@contextmanager
def progress(console: Console, title: str) -> Iterator[Watch]:
    """Gives what is told how far a run is; drawn where someone looks."""
    columns = (TextColumn("{task.description:36}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, what="starting")

        def watch(what: str, done: float, total: float) -> None:
            bar.update(task, completed=min(done, total), total=total, what=what)

        yield watch


def curve(samples: list[float], width: int = CURVE_WIDTH) -> str:
    """A line of blocks from the least to the most; the floor is zero, so that a small rise looks small."""
    if not samples:
        return ""
    step = max(1, -(-len(samples) // width))
    heights = [max(samples[at : at + step]) for at in range(0, len(samples), step)]
    return "".join(BARS[round(height / max(heights) * (len(BARS) - 1))] for height in heights)


def show_chaos(console: Console, result: ChaosResult) -> None:
    fates = sorted({fate for row in result.answers.values() for fate in row})
    calls = Table(title=f"{result.engine}: calls by what became of them", title_justify="left")
    calls.add_column("call")
    for fate in fates:
        calls.add_column(fate, justify="right")
    for kind, row in result.answers.items():
        calls.add_row(kind, *(f"{row[fate]:,}" if fate in row else "" for fate in fates))
    console.print(calls)

    faults = Table(title=f"{result.engine}: good calls after a fault, in seconds", title_justify="left")
    for name in ("fault", "tried", "survived"):
        faults.add_column(name, justify="left" if name == "fault" else "right")
    faults.add_column("slowest", justify="right")
    faults.add_column("promised", justify="right")
    for name in sorted({struck.name for struck in result.faults}):
        tried = [struck for struck in result.faults if struck.name == name]
        survived = sum(struck.survived for struck in tried)
        faults.add_row(
            name, str(len(tried)), str(survived), f"{max(struck.recovered for struck in tried):.2f}",
            f"{tried[0].promise:g}", style=None if survived == len(tried) else "red",
        )  # fmt: skip
    console.print(faults)

    before, after = result.before, result.after
    console.print(
        f"pages walked to their end {result.walks:,}; without an answer {result.hung}; outcome unknown"
        f" {result.verdict.unknown:,}; a worker's memory {before.rss_mb:.0f} → {after.rss_mb:.0f} MB, threads"
        f" {before.threads} → {after.threads}, descriptors {before.descriptors} → {after.descriptors}"
    )
    _show_complaints(console, result.complaints, result.verdict.faults)


def show_overload(console: Console, result: OverloadResult) -> None:
    console.print(f"[bold]{result.engine}[/]: {result.line}", highlight=False)
    _show_complaints(console, dict.fromkeys(result.complaints, 1), {})


def show_soak(console: Console, result: SoakResult) -> None:
    console.print(f"[bold]{result.engine}[/]: {result.line}", highlight=False)
    console.print(f"  memory over time {curve(result.samples)} {max(result.samples):.0f} MB", highlight=False)
    _show_complaints(console, result.complaints, result.verdict.faults)


def _show_complaints(console: Console, complaints: dict[str, int], faults: dict[str, list[int]]) -> None:
    for what, count in complaints.items():
        console.print(f"FAILED ({count} ×): {what}", style="red", markup=False, highlight=False)
    for what, ids in faults.items():
        console.print(f"FAILED: {len(ids)} {what}, as {ids[:10]}", style="red", markup=False, highlight=False)


def show_line(console: Console, result: ChaosResult, overload: OverloadResult | None) -> None:
    good = result.passed and (overload is None or overload.passed)
    style = "green" if good else "red"
    console.print(f"{result.engine:10} {result.line(overload)}", style=style, highlight=False, soft_wrap=True)
