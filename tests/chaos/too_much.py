"""Three times as many calls as one worker can answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict

from overload import overload

from chaos.result import OverloadResult
from chaos.scene import SETTINGS
from chaos.stage import Watch, staged, unseen

GOODPUT_MIN = 0.8
RECOVERY_SECONDS_MAX = 5.0
TRIES = 3
"""A machine that others use has bad moments; a service that breaks down under load does so each time."""
STATEMENT_SECONDS = 0.02
SLEEP_TIMEOUT_SECONDS = 1.0
"""Of the query that is called."""


async def too_much(engine: str, seconds: float, seed: int, watch: Watch = unseen) -> OverloadResult:
    """One worker with few connections, so that the machine has room for the callers."""
    async with staged(engine, seed, proxied=False, workers=1, reader_pool_size=2) as scene:
        watching = asyncio.create_task(_tick(seconds, watch))
        try:
            path = f"/queries/entries/sleep?seconds={STATEMENT_SECONDS}"
            for _ in range(TRIES):
                held = await overload(f"{scene.server.url}{path}", seconds=seconds)
                if held.goodput >= GOODPUT_MIN:
                    break
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        await scene.whole()
        complaints = list(scene.load.tally.complaints)
        if held.goodput < GOODPUT_MIN:
            complaints.append(f"goodput {held.goodput:.2f} of the capacity, not {GOODPUT_MIN}")
        longest = float(str(SETTINGS["acquire_timeout_seconds"])) + SLEEP_TIMEOUT_SECONDS
        if held.accepted_p99_seconds > longest:
            complaints.append(f"p99 of those accepted {held.accepted_p99_seconds:.1f} s, not {longest:g} s")
        if held.recovery_seconds > RECOVERY_SECONDS_MAX:
            complaints.append(f"recovered after {held.recovery_seconds:.1f} s, not {RECOVERY_SECONDS_MAX:g} s")
        if strange := set(held.statuses) - {"200", "503", "unsent"}:
            complaints.append(f"calls ended with {sorted(strange)}")
    return OverloadResult(engine=engine, seconds=seconds, complaints=complaints, **asdict(held))


async def _tick(seconds: float, watch: Watch) -> None:
    began = time.monotonic()
    while True:
        watch("three times the capacity", time.monotonic() - began, seconds)
        await asyncio.sleep(0.2)
