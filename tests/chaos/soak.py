"""Very many mixed calls on one worker, without faults: does it take more and more?"""

from __future__ import annotations

import asyncio
import statistics
import time

from chaos.processes import Footprint
from chaos.result import SoakResult
from chaos.scene import Scene
from chaos.stage import Watch, rest, staged, stop, unseen

GROWTH_MAX = 0.10
WARM_PART = 0.2
"""Of the calls, after which every cache is full that ever will be."""
SAMPLE_SECONDS = 0.25
SMOOTHED = 5
"""Samples whose median is a reading: one alone may meet a collection of garbage."""


async def soak(engine: str, calls: int, seed: int, watch: Watch = unseen) -> SoakResult:
    began = time.monotonic()
    async with staged(engine, seed, proxied=False, workers=1) as scene:
        samples: list[float] = []
        warm = await _calls(scene, int(calls * WARM_PART), samples, watch, calls)
        last = await _calls(scene, calls, samples, watch, calls)
        tally = scene.load.tally
        if not last.fits(warm):
            tally.complain(f"threads or descriptors grew: {warm} when warm, {last} at the end")
        if last.rss_mb > warm.rss_mb * (1 + GROWTH_MAX):
            tally.complain(f"memory grew from {warm.rss_mb:.1f} to {last.rss_mb:.1f} MB")
        verdict = await stop(scene)
    return SoakResult(
        engine, seed, tally.calls, time.monotonic() - began, warm, last, samples, verdict, dict(tally.complaints)
    )


async def _calls(scene: Scene, until: int, samples: list[float], watch: Watch, total: int) -> Footprint:
    """Go on to so many calls, then rest; what the worker takes then, its memory read as the median of some readings."""
    scene.load.calls_max = until
    working = asyncio.create_task(scene.load.run())
    while not working.done():
        await asyncio.wait([working], timeout=SAMPLE_SECONDS)
        samples.append(scene.footprint.rss_mb)
        watch("soaking", scene.load.tally.calls, total)
    await working
    resting = await rest(scene)
    memory = statistics.median([scene.footprint.rss_mb, *samples[-SMOOTHED:]])
    return Footprint(memory, resting.threads, resting.descriptors)
