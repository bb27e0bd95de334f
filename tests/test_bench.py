"""The README shows what was measured, and the measuring does its sums."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench"


def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else [str(BENCH)]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCH)


def test_the_readme_shows_what_is_stored() -> None:
    done = run("--check")
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_ratios_are_taken_inside_of_rounds() -> None:
    done = run(
        code="""
from load import Figures
from rounds import Cell, compared, run_rounds
speed = {"handwritten": 100.0, "sqlwright": 300.0}
moments = iter([1.0, 1.0, 0.1, 0.1, 5.0, 5.0])  # a machine that is slow in one round
def measure(case, connections, service):
    rate = speed[service] * next(moments)
    return Figures(rate, 1e6 / rate, 0.0, 1.0)
entries = compared(run_rounds([Cell("by_key", 64, tuple(speed))], 3, measure))
ours = next(entry for entry in entries if entry["service"] == "sqlwright")
for ratio, expected in ((ours["ratios"]["requests_per_second"], 3), (ours["ratios"]["service_us"], 1 / 3)):
    assert all(abs(ratio[key] - expected) < 1e-9 for key in ("low", "median", "high")), ratio
assert "database_us" not in ours["ratios"]
assert ours["requests_per_second"] == 300.0
"""
    )
    assert done.returncode == 0, done.stderr


def test_every_case_has_its_script() -> None:
    done = run(
        code="""
from cases import BY_NAME, CASES, script
import report
for case in CASES:
    assert case.path in script(case)
    assert not case.peers_call or case.peers_call in BY_NAME
for cells in report.SETS.values():
    assert {cell.case for cell in cells} <= set(BY_NAME)
"""
    )
    assert done.returncode == 0, done.stderr
