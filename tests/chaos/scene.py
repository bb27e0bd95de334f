"""A served database under load, and the ways to look at it from outside."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.client import Broken, Connection, Hung
from chaos.ledger import Fate
from chaos.load import Load
from chaos.places import Place
from chaos.processes import Footprint, footprint, workers
from chaos.tally import Caller
from server_process import Server

WORKERS = 2
SETTINGS: dict[str, object] = {
    "workers": WORKERS,
    "tables": "entry,song",
    "reader_pool_size": 3,
    "writer_pool_size": 2,
    "waiting_max": 40,
    "connect_timeout_seconds": 0.5,
    "acquire_timeout_seconds": 1,
    "lock_timeout_seconds": 1,
    "statement_timeout_seconds": 2,
    "transaction_timeout_seconds": 3,
    "log_calls": "false",
    "slow_ms": 0,
}
"""Short limits, so that a fault can be longer than they are; a short line, so that a flood is one."""
GIVE_UP_SECONDS = 30.0
WHOLE_SECONDS = 2.0
PROBES = 6
"""Fresh connections that ask at once: enough to meet every worker."""


@dataclass(slots=True)
class Scene:
    place: Place
    server: Server
    load: Load
    queries: Path
    dice: random.Random

    @property
    def ended(self) -> bool:
        return self.server.process.poll() is not None

    @property
    def workers(self) -> frozenset[int]:
        return workers(self.server.process.pid)

    @property
    def footprint(self) -> Footprint:
        return footprint(self.server.process.pid)

    async def recovered(self) -> float:
        """Seconds until a read and a write are good on every one of some fresh connections."""
        began = time.monotonic()
        await asyncio.gather(*(self._good_call(began + GIVE_UP_SECONDS) for _ in range(PROBES)))
        return time.monotonic() - began

    async def _good_call(self, give_up: float) -> None:
        while time.monotonic() < give_up and not self.ended:
            caller = Caller(self.server.port, self.load.tally)
            read, _ = await caller.call("probe", "GET", "/queries/songs/get?song_id=1")
            refs = self.load.ledger.refs(1)
            write, _ = await caller.call("probe", "POST", "/queries/entries/add", {"ref": refs[0]})
            self.load.ledger.settle(refs, write)
            caller.connection.abort()
            if read is Fate.ACKNOWLEDGED and write is Fate.ACKNOWLEDGED:
                return
            await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = GIVE_UP_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end or self.ended:
                self.load.tally.complain(f"not within {seconds:g} s: {what}")
                return
            await asyncio.sleep(0.02)

    async def ask(self, path: str) -> tuple[int, object]:
        """Status and body on a fresh connection; 0 where there is no answer."""
        connection = Connection(self.server.port)
        try:
            answer = await connection.call("GET", path)
            return answer.status, answer.json()
        except (Broken, Hung) as error:
            return 0, str(error)
        finally:
            connection.abort()

    async def whole(self, seconds: float = WHOLE_SECONDS) -> None:
        """Every worker is ready, with every connection of its pools idle."""
        end = time.monotonic() + seconds
        while True:
            answers = await asyncio.gather(*(self.ask("/readyz") for _ in range(PROBES)))
            torn = [body for status, body in answers if status != 200 or not _is_whole(body)]
            if not torn:
                return
            if time.monotonic() > end:
                self.load.tally.complain(f"not whole after {seconds:g} s: {torn[0]}")
                return
            await asyncio.sleep(0.05)


def _is_whole(body: object) -> bool:
    assert isinstance(body, dict)
    pools = [pool for group in body["database"]["pools"].values() for pool in group]
    return all(pool["idle"] == pool["size"] and not pool["waiting"] and not pool["mending"] for pool in pools)
