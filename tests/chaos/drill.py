"""One chaos run: the load, and one fault after another while it works."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from chaos.faults import EVERYWHERE, Fault
from chaos.faults_of_files import OF_FILES
from chaos.faults_of_servers import OF_SERVERS
from chaos.places import FilePlace
from chaos.result import ChaosResult, Struck
from chaos.scene import Scene
from chaos.stage import Watch, rest, staged, stop, unseen

WARM_SECONDS = 1.5
CALM_SECONDS = (0.2, 1.0)
"""Between two faults."""


async def drill(
    engine: str, seconds: float, seed: int, watch: Watch = unseen, names: Sequence[str] = ()
) -> ChaosResult:
    """Every fault at least once and again until the time is up; or those of `names` alone, in their order."""
    began = time.monotonic()
    async with staged(engine, seed, proxied=engine != "sqlite") as scene:
        watch("warming up", 0, seconds)
        await _load_for(scene, WARM_SECONDS)
        before = await rest(scene)
        working = asyncio.create_task(scene.load.run())
        struck: list[Struck] = []
        for fault in _schedule(scene, names):
            if not names and time.monotonic() - began > seconds and len(struck) >= len(_faults_here(scene)):
                break
            watch(fault.name, time.monotonic() - began, seconds)
            await asyncio.sleep(scene.dice.uniform(*CALM_SECONDS))
            struck.append(await _strike(scene, fault))
            if scene.ended:
                scene.load.tally.complain(f"{fault.name}: the server has ended")
                break
        await asyncio.sleep(1.0)
        scene.load.end()
        await working
        watch("looking at what is left", seconds, seconds)
        after = await rest(scene, before)
        verdict = await stop(scene)
    tally = scene.load.tally
    answers: dict[str, dict[str, int]] = defaultdict(dict)
    for (kind, word), count in sorted(tally.answers.items()):
        answers[kind][word] = count
    return ChaosResult(
        engine=engine, seed=seed, seconds=time.monotonic() - began, answers=dict(answers),
        codes=dict(tally.codes.most_common()), walks=scene.load.walks, bad_inputs=tally.bad_inputs,
        internal=tally.internal, hung=tally.hung, faults=struck, before=before, after=after, verdict=verdict,
        complaints=dict(tally.complaints),
    )  # fmt: skip


async def _load_for(scene: Scene, seconds: float) -> None:
    working = asyncio.create_task(scene.load.run())
    await asyncio.sleep(seconds)
    scene.load.end()
    await working


def _faults_here(scene: Scene) -> tuple[Fault, ...]:
    if not isinstance(scene.place, FilePlace):
        return (*EVERYWHERE, *OF_SERVERS)
    return (*EVERYWHERE, *(fault for fault in OF_FILES if fault.name != "disk full" or scene.place.disk is not None))


def _schedule(scene: Scene, names: Sequence[str]) -> Iterator[Fault]:
    faults = _faults_here(scene)
    if names:
        by_name = {fault.name: fault for fault in faults}
        yield from (by_name[name] for name in names if name in by_name)
        return
    while True:
        yield from scene.dice.sample(faults, len(faults))


async def _strike(scene: Scene, fault: Fault) -> Struck:
    tally = scene.load.tally
    complaints = tally.complaints.total()
    tally.breaking += fault.breaks
    try:
        await fault.strike(scene)
        recovered = await scene.recovered()
    finally:
        tally.breaking -= fault.breaks
        if fault.breaks:
            tally.broke()
    if recovered > fault.promise:
        tally.complain(f"{fault.name}: good calls only after {recovered:.1f} s, not {fault.promise:g} s")
    return Struck(fault.name, fault.promise, recovered, tally.complaints.total() - complaints)
