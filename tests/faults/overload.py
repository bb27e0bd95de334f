"""Three times as many calls as a service can answer, from a process of its own that needs little of the machine.

    held = await overload("http://127.0.0.1:8000/queries/items/slow", seconds=60)

First the capacity: what the service answers to a few callers who ask again at once. Then calls at three times that
rate, whatever becomes of those before (an open loop), on connections that are kept and on fresh ones, from callers who
give up after a while. Then the time until it answers again as if nothing had been.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

TIMES = 3
CALLERS = 32
"""Who measure the capacity."""
FRESH_EVERY = 10
"""Every tenth call comes on a connection of its own."""
TICK_SECONDS = 0.01
QUIET_SECONDS = 0.1
"""What a call may take in a service that has recovered, beside what it took before the load."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a service did under too much load."""

    goodput: float
    """Successes a second, as a part of `capacity`."""
    accepted_p99_seconds: float
    """99 of 100 successes took no longer, from when the call was due."""
    recovery_seconds: float
    capacity: float
    """Successes a second before."""
    shed_p50_seconds: float
    """Half of the refusals (503) took no longer."""
    statuses: dict[str, int]
    """How many calls ended how: statuses, `gave up` (the caller), `unsent` (all connections were taken), `broken`."""


async def overload(
    url: str, *, seconds: float, capacity_seconds: float = 2.0, connections: int = 600, patience_seconds: float = 8.0
) -> Held:
    """Call `url` by GET. `connections` bounds those that are open at once, and so what the service can hold."""
    arguments = map(str, (url, seconds, capacity_seconds, connections, patience_seconds))
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, "the load could not be made"
    return Held(**json.loads(output))


class Connection(asyncio.Protocol):
    """One call at a time."""

    def __init__(self, done: Callable[[Connection, str], None]) -> None:
        self._done = done
        self.transport: asyncio.Transport | None = None
        self._answer = b""
        self.due = 0.0
        self.sent = 0.0
        self.waits = False
        self.fresh = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self.due, self.sent, self.waits, self._answer = due, time.perf_counter(), True, b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) >= int(length):
            self._end(head[9:12].decode("ascii"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._end("broken")

    def give_up(self) -> None:
        self._end("gave up")
        self.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _end(self, how: str) -> None:
        if self.waits:
            self.waits = False
            self._done(self, how)


class Load:
    """Calls from many connections, and how they ended."""

    def __init__(self, url: str, connections: int, patience_seconds: float) -> None:
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._address = (parts.hostname, parts.port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._most = connections
        self._patience = patience_seconds
        self._idle: deque[Connection] = deque()
        self._asking: dict[Connection, None] = {}  # the oldest first
        self._opening: set[asyncio.Task[None]] = set()
        self._again = False
        self.statuses: Counter[str] = Counter()
        self.accepted: list[float] = []
        self.shed: list[float] = []

    def _call(self, due: float, *, fresh: bool = False) -> None:
        if not fresh:
            while self._idle:
                connection = self._idle.pop()
                if connection.transport is not None:
                    self._ask(connection, due)
                    return
        if len(self._asking) + len(self._opening) >= self._most:
            self.statuses["unsent"] += 1
            return
        task = asyncio.get_running_loop().create_task(self._open(due, fresh))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, due: float, fresh: bool) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                _, connection = await loop.create_connection(lambda: Connection(self._done), *self._address)
        except (OSError, TimeoutError):
            self.statuses["broken"] += 1
            return
        connection.fresh = fresh
        self._ask(connection, due)

    def _ask(self, connection: Connection, due: float) -> None:
        self._asking[connection] = None
        connection.ask(self._request, due)

    def _done(self, connection: Connection, how: str) -> None:
        del self._asking[connection]
        self.statuses[how] += 1
        now = time.perf_counter()
        if how == "200":
            self.accepted.append(now - connection.due)
        elif how == "503":
            self.shed.append(now - connection.sent)
        if connection.fresh:
            connection.close()
        elif connection.transport is not None:
            self._idle.append(connection)
            if self._again:
                self._call(now)

    async def closed(self, callers: int, seconds: float) -> float:
        """Successes a second to a few callers who ask again as soon as they are answered."""
        self._again = True
        for _ in range(callers):
            self._call(time.perf_counter())
        await asyncio.sleep(seconds / 4)
        before, begun = len(self.accepted), time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (len(self.accepted) - before) / (time.perf_counter() - begun)
        self._again = False
        await asyncio.sleep(0.2)
        return rate

    async def open(self, rate: float, seconds: float) -> float:
        """Calls at a rate; gives the successes a second, without those of the first moment."""
        begun = time.perf_counter()
        warm = min(1.0, seconds / 5)
        made, before = 0, -1
        while (passed := time.perf_counter() - begun) < seconds:
            if before < 0 and passed >= warm:
                before = len(self.accepted)
            while made < passed * rate:
                made += 1
                self._call(begun + made / rate, fresh=made % FRESH_EVERY == 0)
            self._give_up()
            await asyncio.sleep(TICK_SECONDS)
        return (len(self.accepted) - before) / (time.perf_counter() - begun - warm)

    def _give_up(self) -> None:
        late = time.perf_counter() - self._patience
        for connection in list(self._asking):
            if connection.sent > late:
                return
            connection.give_up()

    async def one(self) -> tuple[str, float]:
        """How a call of a lone caller ends, and how long that takes."""
        begun, before = time.perf_counter(), self.statuses.copy()
        self._call(begun, fresh=True)
        while not (ended := self.statuses - before):  # noqa: ASYNC110 - no event for what is measured
            await asyncio.sleep(0.002)
        return next(iter(ended)), time.perf_counter() - begun

    def leave(self) -> None:
        for connection in [*self._asking, *self._idle]:
            connection.close()


async def recovered(load: Load, usual_seconds: float) -> float:
    """Seconds until five calls in a row are answered with success and as fast as usual."""
    begun = last = time.perf_counter()
    good = 0
    while good < 5:
        started = time.perf_counter()
        how, seconds = await load.one()
        good = good + 1 if how == "200" and seconds <= usual_seconds + QUIET_SECONDS else 0
        if good == 1:
            last = started
        assert started - begun < 60, "it never recovers"
        await asyncio.sleep(0.02)
    return last - begun


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)] if values else 0.0


async def main(url: str, seconds: str, capacity_seconds: str, connections: str, patience_seconds: str) -> Held:
    patience = float(patience_seconds)
    before = Load(url, CALLERS, patience)
    capacity = await before.closed(CALLERS, float(capacity_seconds))
    usual = max([(await before.one())[1] for _ in range(5)])
    before.leave()
    load = Load(url, int(connections), patience)
    rate = await load.open(TIMES * capacity, float(seconds))
    statuses = dict(load.statuses)
    load.leave()
    return Held(
        goodput=rate / capacity,
        accepted_p99_seconds=quantile(load.accepted, 0.99),
        recovery_seconds=await recovered(Load(url, CALLERS, patience), usual),
        capacity=capacity,
        shed_p50_seconds=quantile(load.shed, 0.5),
        statuses=statuses,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(main(*sys.argv[1:])))))
