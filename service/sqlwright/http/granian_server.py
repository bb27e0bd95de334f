"""granian inside of a worker process: on a listener that is open already, with short reads answered where they come.

All that is private to granian is in here; pyproject.toml caps its version for its sake.
"""

from __future__ import annotations

import asyncio
import math
import socket
import sys
from collections.abc import Callable
from typing import Any

from granian._futures import _future_watcher_wrapper
from granian._granian import ASGIWorker, CallbackScheduler, SocketHolder
from granian.asgi import _callback_wrapper
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import AsyncWorker
from granian.server.embed import Server as EmbeddedServer

from sqlwright.config import Settings
from sqlwright.http.app import Application
from sqlwright.http.arrivals import Arrivals
from sqlwright.http.direct import Direct
from sqlwright.http.listening import BACKLOG

HEADER_BYTES_MAX = 64 * 1024
"""What granian keeps of a request before it is read; longer headers are 431. Query strings have half of it at most."""

_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["stderr"], "level": "ERROR", "propagate": False}},
}


# Without types that would be true.
_make_worker: Any = ASGIWorker
_call_of: Any = _future_watcher_wrapper
_application_of: Any = _callback_wrapper


class Server(EmbeddedServer):
    _CALL = "future_watcher"
    """The name of granian's coroutine that runs a call."""

    def __init__(self, application: Application, listener: socket.socket, settings: Settings) -> None:
        super().__init__(
            application,
            interface=Interfaces.ASGINL,  # the life of the application is the worker's
            # HTTP/2 is the proxy's part: granian's knows no timeout for a caller that says nothing.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=math.ceil(settings.header_timeout_seconds * 1000), max_buffer_size=HEADER_BYTES_MAX
            ),
            websockets=False,
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
            backlog=BACKLOG,
            backpressure=max(1, BACKLOG // settings.workers),
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        holder: Any = SocketHolder
        backlog = (BACKLOG,) if sys.platform.startswith(("linux", "freebsd")) else ()
        self._ssp = None
        self._shd = holder(self._listener.fileno(), False, *backlog)

    def leave(self) -> None:
        """Close the connections that are idle, each other one behind its answer. Then `serve` returns."""
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def cut(self) -> None:
        """Cancel the calls that run: they are rolled back, and their connections are closed."""
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__name__", "") == self._CALL:
                task.cancel()

    @staticmethod
    @AsyncWorker.wrap_target  # type: ignore[untyped-decorator]  # granian says nothing of types there
    async def _spawn_asgi_worker(
        worker_id: int, leaving: Any, application: Application, sockets: Any, loop: Any, *options: Any
    ) -> None:
        """As granian's own, with our scheduler. Of the options the sixth is how tasks are made, the last three are
        what the access log looks like, TLS and the prefix of paths."""
        left = loop.create_future()
        leaving.add_cb(lambda: loop.call_soon_threadsafe(left.set_result, None))
        for_threads, (_, *for_connections), (log_format, tls, scope) = options[:5], options[5:-3], options[-3:]
        worker: Any = _make_worker(worker_id, sockets, None, *for_threads, *for_connections, *tls, (None, None))
        start = _call_of(_application_of(application, scope, {}, log_format))
        worker.serve_async(_Scheduler(loop, start, application.direct, None, None), loop, leaving)
        await left


class _Scheduler(CallbackScheduler):
    """Called by granian with each request, on a thread of its own."""

    __slots__ = ()

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Callable[[Any], Any], direct: Direct, *_: Any) -> None:
        super().__init__()
        self._schedule_fn = Arrivals(loop, self._ctx, start, direct).take
