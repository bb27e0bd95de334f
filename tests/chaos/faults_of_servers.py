"""What happens to a database server and to the way to it."""

from __future__ import annotations

import asyncio
import signal

from chaos.faults import Fault
from chaos.places import ServerPlace
from chaos.scene import Scene
from chaos.tally import LONGEST_CALL_SECONDS

LONGER_THAN_LIMITS_SECONDS = LONGEST_CALL_SECONDS + 1


def _there(scene: Scene) -> ServerPlace:
    assert isinstance(scene.place, ServerPlace)
    return scene.place


async def restart(scene: Scene) -> None:
    await asyncio.to_thread(_there(scene).server.restart, crashes=False)


async def crash(scene: Scene) -> None:
    await asyncio.to_thread(_there(scene).server.restart, crashes=True)


async def stopped(scene: Scene) -> None:
    server = _there(scene).server
    server.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(LONGER_THAN_LIMITS_SECONDS)
    finally:
        server.signal(signal.SIGCONT)


async def sessions_ended(scene: Scene) -> None:
    for _ in range(3):
        await asyncio.to_thread(_there(scene).server.end_sessions)
        await asyncio.sleep(scene.dice.uniform(0.02, 0.3))


async def reset(scene: Scene) -> None:
    for _ in range(5):
        _there(scene).proxy.reset()
        await asyncio.sleep(scene.dice.uniform(0.02, 0.3))


async def refused(scene: Scene) -> None:
    proxy = _there(scene).proxy
    proxy.refuse()
    await asyncio.sleep(scene.dice.uniform(0.5, 2.0))
    await proxy.accept()


async def frozen(scene: Scene) -> None:
    proxy = _there(scene).proxy
    proxy.freeze()
    try:
        await asyncio.sleep(LONGER_THAN_LIMITS_SECONDS)
    finally:
        proxy.thaw()


async def cut(scene: Scene) -> None:
    """Somewhere in an answer, and around a COMMIT."""
    proxy = _there(scene).proxy
    for _ in range(8):
        proxy.cut_after = scene.dice.choice((0, 1, 20, 100, 500, 5_000))
        await asyncio.sleep(scene.dice.uniform(0.02, 0.1))
        proxy.cut_at, proxy.cut_delivers = b"COMMIT", scene.dice.random() < 0.5
        await asyncio.sleep(scene.dice.uniform(0.02, 0.1))
    proxy.cut_after = proxy.cut_at = None


OF_SERVERS = (
    Fault("restart", restart),
    Fault("crash", crash),
    Fault("server stopped", stopped),
    Fault("sessions ended", sessions_ended),
    Fault("connections reset", reset),
    Fault("connections refused", refused),
    Fault("connections frozen", frozen),
    Fault("connections cut", cut),
)
