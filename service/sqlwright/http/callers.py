"""Who waits for the calls that run, and for how long: a call whose caller has left, or whose time is up, is cancelled.

A server tells that a caller has left only to who asks, and asking takes a task. Most calls are through in a
millisecond, so they are only noted here, and whoever is not through a little later gets a task that asks. A timer for
each call would cost as much as all that is done here; so a call's time is up at the next look.
"""

from __future__ import annotations

import asyncio
import time

from sqlwright.http.exchange import Exchange, Receive

LOOK_SECONDS = 0.05
"""Between two looks at the calls that run."""
WATCHED_SECONDS = 0.5
"""The age from which a call is watched. Under load calls wait that long in a line, and watching costs as much as a
third of a call."""


class Callers:
    def __init__(self) -> None:
        self._present: dict[Exchange, None] = {}  # the oldest first
        self._next_look: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._present)

    def enter(self, exchange: Exchange, receive: Receive) -> None:
        """A call of the running task begins."""
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.get_running_loop()  # asked for once: asking is a system call
            self._next_look = None
        exchange.receive = receive
        exchange.task = asyncio.current_task(loop)
        self._present[exchange] = None
        if self._next_look is None:
            self._next_look = loop.call_later(LOOK_SECONDS, self._look)

    def leave(self, exchange: Exchange) -> None:
        """It ends, however it does."""
        del self._present[exchange]
        exchange.task = exchange.receive = None
        if exchange.watcher is not None:
            exchange.watcher.cancel()
            exchange.watcher = None  # which refers to the exchange

    def _look(self) -> None:
        self._next_look = None
        if not self._present:
            return
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        for exchange in list(self._present):
            if exchange.ends_at <= now and not exchange.expired:
                exchange.expired = True
                if exchange.task is not None:
                    exchange.task.cancel()
            # Of a call whose body is still being read, the reader sees it.
            elif exchange.started <= now - WATCHED_SECONDS and exchange.complete and exchange.watcher is None:
                exchange.watcher = loop.create_task(_watch(exchange))
        self._next_look = loop.call_later(LOOK_SECONDS, self._look)


async def _watch(exchange: Exchange) -> None:
    """Ask until the caller has left. The body of a GET, which nobody has read, comes first."""
    assert exchange.receive is not None
    ends = 0
    while ends < 2:  # one who repeats himself does not tell
        try:
            message = await exchange.receive()
        except Exception:
            return  # a host application's own, which is not to be asked
        if message["type"] == "http.disconnect":
            if exchange.task is not None:
                exchange.left = True
                exchange.task.cancel()
            return
        ends += not message.get("more_body", False)


def was_stopped(exchange: Exchange) -> bool:
    """Whether the cancellation that ended this call came from here; else it is the server's."""
    task = asyncio.current_task()
    return (exchange.left or exchange.expired) and task is not None and task.uncancel() == 0
