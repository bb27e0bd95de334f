"""What is done to the service while it works. Each returns when the cause is gone: from then on its promise counts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chaos import shop
from chaos.client import Connection, request
from chaos.scene import Scene
from chaos.tally import Caller

FLOOD = 260
"""More than all pools and lines of all workers hold together."""
LEAVERS = 10
SLOW_READERS = 6


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    strike: Callable[[Scene], Awaitable[None]]
    promise: float = 5.0
    """Seconds until good calls are answered again on every connection: one, and four for a busy machine."""
    breaks: bool = False
    """Clients' connections may end without an answer."""


async def worker_killed(scene: Scene) -> None:
    before = scene.workers
    victim = scene.dice.choice(sorted(before))
    os.kill(victim, signal.SIGKILL)
    await scene.until(
        lambda: victim not in scene.workers and len(scene.workers) == len(before), "a worker in place of the killed one"
    )


async def all_workers_killed(scene: Scene) -> None:
    before = scene.workers
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    await scene.until(
        lambda: len(scene.workers) == len(before) and not scene.workers & before, "workers in place of the killed ones"
    )


async def files_changed(scene: Scene) -> None:
    before = scene.workers
    number = scene.dice.randrange(10**6)
    (scene.queries / "changed.sql").write_text(f"SELECT {number} AS number\n", encoding="utf-8")
    scene.server.process.send_signal(signal.SIGHUP)
    await scene.until(
        lambda: len(scene.workers) == len(before) and not scene.workers & before, "new workers after a reload"
    )
    for status, body in await asyncio.gather(*(scene.ask("/queries/changed") for _ in range(6))):
        if status == 200 and body != {"data": [{"number": number}], "next": None}:
            scene.load.tally.complain(f"after the reload an old query answers: {body}")


async def wrong_file(scene: Scene) -> None:
    before = scene.workers
    name = f"wrong_{scene.dice.randrange(10**6)}"
    wrong = scene.queries / f"{name}.sql"
    wrong.write_text("-- @parm x integer\nSELECT :x AS x\n", encoding="utf-8")
    told = len(scene.server.errors)
    scene.server.process.send_signal(signal.SIGHUP)
    await scene.until(lambda: "reload refused" in scene.server.errors[told:], "a wrong file is told")
    status, body = await scene.ask("/readyz")
    if status in (200, 503) and f"{name}.sql" not in str(body):
        scene.load.tally.complain(f"/readyz does not tell of a wrong file: {body}")
    if (status := (await scene.ask(f"/queries/{name}"))[0]) not in (0, 404):
        scene.load.tally.complain(f"a wrong file is served: {status}")
    wrong.unlink()
    if scene.workers != before:
        scene.load.tally.complain("workers were replaced though a file is wrong")


async def flood(scene: Scene) -> None:
    """More callers at once than the pools and their lines take."""

    async def one() -> None:
        caller = Caller(scene.server.port, scene.load.tally)
        await caller.call("flood", "GET", "/queries/entries/sleep?seconds=0.1")
        caller.connection.abort()

    shed = "503 too_many_waiting none"
    before = scene.load.tally.codes[shed]
    await asyncio.gather(*(one() for _ in range(FLOOD)))
    if scene.load.tally.codes[shed] == before:
        scene.load.tally.complain("flood: nobody was turned away, though more came than there is room for")


async def clients_leave(scene: Scene) -> None:
    """In the middle of transactions and of reads."""

    async def one() -> None:
        refs = scene.load.ledger.refs(2)
        sleep = {"query": "entries.sleep", "params": {"seconds": 0.2}}
        steps = [shop.step(refs[0]), sleep, shop.step(refs[1])]
        connection = Connection(scene.server.port)
        try:
            await connection.send(request("POST", "/transaction", {"steps": steps}))
            await asyncio.sleep(scene.dice.uniform(0.0, 0.5))
        except OSError:
            pass  # a server that ended before the client left
        connection.abort()
        scene.load.tally.answers["leaver", "left"] += 1

    await asyncio.gather(*(one() for _ in range(LEAVERS)))


async def slow_readers(scene: Scene) -> None:
    """They ask for far more than the buffers between take, and read next to nothing of it."""

    async def one() -> None:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            loop = asyncio.get_running_loop()
            try:
                await loop.sock_connect(raw, ("127.0.0.1", scene.server.port))
                await loop.sock_sendall(raw, request("GET", "/queries/songs/all?limit=1000") * 20)
                for _ in range(20):
                    await loop.sock_recv(raw, 1024)
                    await asyncio.sleep(0.1)
            except OSError:
                pass  # cut off, which is right as well
        scene.load.tally.answers["slow reader", "left"] += 1

    await asyncio.gather(*(one() for _ in range(SLOW_READERS)))


EVERYWHERE = (
    Fault("worker killed", worker_killed, breaks=True),
    Fault("all workers killed", all_workers_killed, promise=10.0, breaks=True),
    Fault("files changed", files_changed),
    Fault("wrong file", wrong_file),
    Fault("flood", flood),
    Fault("clients leave", clients_leave),
    Fault("slow readers", slow_readers),
)
