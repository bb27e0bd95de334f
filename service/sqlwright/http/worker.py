"""A worker process of `serve`: loads the snapshot, serves on the listener of its place, and leaves losing no call.

The parent's word comes over a socket pair. Its end closes when the parent dies, and the worker leaves then, too.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlwright.config import Settings
from sqlwright.http.app import make_application
from sqlwright.http.connection_limit import warn_when_known
from sqlwright.http.granian_server import Server
from sqlwright.http.listening import connections, deafen, has_waiting, refuse_newcomers
from sqlwright.http.log import Log
from sqlwright.http.service import Service
from sqlwright.http.snapshot import read_queries

READY = b"r"
"""Said by the worker: it serves."""
RETIRE = b"l"
"""Said by the parent: another one has taken over."""
STOP = b"s"
"""Said by the parent: the service ends."""

SETTLE_SECONDS = 0.05
"""How long handshakes that have begun may take to be completed, and their connections to be taken."""
QUEUE_SECONDS = 1.0
"""How long connections that wait in the queue may take to be taken."""
LINGER_SECONDS = 0.5
"""How long open connections have to send what they are about to send, before those that are idle are closed."""
CUT_SECONDS = 2.0
"""How long before the end of the drain the calls that still run are cut, so that they are rolled back in time."""
_KNOWN_POLL_SECONDS = 1.0
_POLL_SECONDS = 0.02
COLLECT = (20_000, 20, 20)
"""Objects made and not yet freed before the youngest are looked at; how often that before the older ones are. Python's
own 700 are reached by every page of rows, none of which is ever garbage."""


def work(
    settings: Settings,
    folder: Path,
    listener: socket.socket,
    control: socket.socket,
    *,
    foreign: Sequence[socket.socket],
    warns: bool,
) -> None:
    """The whole life of the process. `foreign` are the parent's ends and the other workers' listeners, which a fork
    has copied. The one that `warns` tells whether all workers together have too many connections, once the database
    can be asked.
    """
    for end in foreign:
        end.close()
    # Ctrl-C and a closed terminal reach a whole group of processes; the parent ends its workers in order.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    try:
        registry = read_queries(folder)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(listener, control, Service(settings, registry, folder), warns=warns))
    except Exception as error:
        Log(settings).failure("a worker failed", error)
        sys.exit(1)


async def _serve(listener: socket.socket, control: socket.socket, service: Service, *, warns: bool) -> None:
    orders = Orders(control)
    warning: asyncio.Task[None] | None = None
    settings = service.settings
    await service.open()
    try:
        if orders.word:  # the end came before the beginning
            return
        server = Server(make_application(service), listener, settings)
        _collect_rarely()
        serving = asyncio.create_task(server.serve())
        control.send(READY)
        if warns:
            warning = asyncio.create_task(warn_when_known(service.database, settings, service.log))
        freezing = asyncio.create_task(_freeze_what_stays(service))
        told = asyncio.create_task(orders.come.wait())
        await asyncio.wait([serving, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        freezing.cancel()
        if not serving.done():
            await _leave(service, server, serving, listener, stopping=orders.word == STOP)
        await serving
    finally:
        if warning is not None:
            warning.cancel()
        await service.close()


def _collect_rarely() -> None:
    """What stands now stays: the collector of garbage need not look at it again, and a call leaves none behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


async def _freeze_what_stays(service: Service) -> None:
    """And what is known of the queries by and by: with ten thousand of them looking at it takes a fifth of a second."""
    while service.pending:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_KNOWN_POLL_SECONDS)
    gc.freeze()


async def _leave(
    service: Service, server: Server, serving: asyncio.Task[None], listener: socket.socket, *, stopping: bool
) -> None:
    """Answer everything that was sent on a connection that was taken. Calls that run on are cut at the end."""
    drain = service.settings.drain_seconds
    try:
        async with asyncio.timeout(max(drain - CUT_SECONDS, drain / 2)):
            service.leaving = True
            if stopping:
                service.draining = True
                await asyncio.sleep(service.settings.shutdown_delay_seconds)
                refuse_newcomers(listener)
                await asyncio.sleep(SETTLE_SECONDS)
                await _until(lambda: not has_waiting(listener), QUEUE_SECONDS)
            port = listener.getsockname()[1]
            deafen(listener)
            await asyncio.sleep(_POLL_SECONDS)  # one that is being taken this moment
            await _until(lambda: not connections(port), LINGER_SECONDS)
            server.leave()
            await asyncio.shield(serving)
    except TimeoutError:
        service.log.event("warning", "calls ran longer than drain_seconds allows: they are cut and rolled back")
        server.cut()
        server.leave()
        await asyncio.wait([serving], timeout=CUT_SECONDS / 4)
        serving.cancel()


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_POLL_SECONDS)


class Orders:
    """What the parent says; SIGTERM from somebody else says stop."""

    def __init__(self, control: socket.socket) -> None:
        self.word = b""
        self.come = asyncio.Event()
        self._control = control
        control.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(control, self._read)
        loop.add_signal_handler(signal.SIGTERM, self._take, STOP)

    def _read(self) -> None:
        try:
            word = self._control.recv(1)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if not word:  # the parent was killed
            asyncio.get_running_loop().remove_reader(self._control)
        self._take(word or STOP)

    def _take(self, word: bytes) -> None:
        self.word = self.word or word
        self.come.set()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
