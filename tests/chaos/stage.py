"""The service of a run: started, warmed up, put to rest, and compared at the end with what it was asked to keep."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos import shop
from chaos.ledger import Verdict
from chaos.load import Load
from chaos.places import Place, place
from chaos.processes import Footprint
from chaos.scene import SETTINGS, Scene
from record_shop import write_files
from server_process import start

Watch = Callable[[str, float, float], None]
"""Told what is done, how much of it, of how much."""
REST_SECONDS = 10.0


def unseen(what: str, done: float, total: float) -> None:
    """For runs that nobody watches."""


@asynccontextmanager
async def staged(engine: str, seed: int, *, proxied: bool, **settings: object) -> AsyncIterator[Scene]:
    """A served database of its own, described and ready."""
    # Not below pytest's folder: PostgreSQL's user could not enter it.
    with tempfile.TemporaryDirectory(prefix="sqlwright-chaos-") as name, place(engine, Path(name)) as there:
        await there.prepare()
        folder = Path(name) / "queries"
        write_files(folder, shop.files(there.url))
        url = there.served_url if proxied else there.url
        with start("granian", url, folder, **{**SETTINGS, **settings}) as server:
            scene = Scene(there, server, Load(server.port, seed), folder, random.Random(seed))
            await asyncio.to_thread(server.until, "/readyz", 200)
            try:
                yield scene
            finally:
                scene.load.close()
                there.disconnect()


async def rest(scene: Scene, baseline: Footprint | None = None) -> Footprint:
    """What the workers keep when nobody calls; waits until that is no more than it was, where a baseline is given."""
    scene.load.close()
    await scene.whole()
    end = time.monotonic() + REST_SECONDS
    last = scene.footprint
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        now = scene.footprint
        if now.fits(baseline) if baseline else (now.threads, now.descriptors) == (last.threads, last.descriptors):
            return now
        last = now
    if baseline:
        scene.load.tally.complain(f"threads and descriptors did not come back: {baseline} before, {last} after")
    return last


async def stop(scene: Scene) -> Verdict:
    """End the service, then ask the database itself."""
    code = await asyncio.to_thread(scene.server.stop)
    if code != 0:
        scene.load.tally.complain(f"the server ended with {code}")
    for line in _accidents(scene.server.errors):
        scene.load.tally.complain(f"in the log: {line}")
    return scene.load.ledger.check(await asyncio.to_thread(stored, scene.place))


def stored(there: Place) -> list[tuple[int, int]]:
    there.disconnect()
    return there.stored()


def _accidents(log: str) -> Iterator[str]:
    """What nobody foresaw, by its last line."""
    for line in log.splitlines():
        if "Traceback (most recent call last)" in line:
            try:
                entry = json.loads(line)
            except ValueError:
                yield line[-500:]
            else:
                yield f"{entry['message']}: {entry.get('traceback', '').strip().splitlines()[-1]}"
