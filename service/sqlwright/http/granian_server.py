"""granian inside of a worker process: on a listener that is open already, with short reads answered where they come.

All that is private to granian is in here; pyproject.toml caps its version for its sake.
"""

from __future__ import annotations

import asyncio
import math
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
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
from sqlwright.http.direct import Answered, Direct, Planned
from sqlwright.http.listening import BACKLOG
from sqlwright.query import Result

HEADER_BYTES_MAX = 64 * 1024
"""What granian keeps of a request before it is read; longer headers are 431. Query strings have half of it at most."""

DRAIN_SECONDS = 0.001
"""How long the loop may gather answers before it sends them."""
LOOK_CALLS = 64
"""How many calls granian's thread answers by itself before it is looked again whether there is a crowd."""
LONELY_MAX = 4
"""How often in a row the loop has to find a single call for the crowd to be over."""

_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["stderr"], "level": "ERROR", "propagate": False}},
}


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
    @AsyncWorker.wrap_target
    async def _spawn_asgi_worker(
        worker_id: int, leaving: Any, application: Application, sockets: Any, loop: Any, *options: Any
    ) -> None:
        """As granian's own, with our scheduler. Of the options the sixth is how tasks are made, the last three are
        what the access log looks like, TLS and the prefix of paths."""
        left = loop.create_future()
        leaving.add_cb(lambda: loop.call_soon_threadsafe(left.set_result, None))
        for_threads, (_, *for_connections), (log_format, tls, scope) = options[:5], options[5:-3], options[-3:]
        worker = ASGIWorker(worker_id, sockets, None, *for_threads, *for_connections, *tls, (None, None))
        start = _future_watcher_wrapper(_callback_wrapper(application, scope, {}, log_format))
        worker.serve_async(_Scheduler(loop, start, application.direct, None, None), loop, leaving)
        await left


class _Scheduler(CallbackScheduler):
    """Called by granian with each request, on a thread of its own."""

    __slots__ = ()

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Callable[[Any], Any], direct: Direct, *_: Any) -> None:
        super().__init__()
        self._schedule_fn = _Arrivals(loop, self._ctx, start, direct).take


class _Arrivals:
    """Requests on their way from granian's thread to where they are answered.

    To wake the loop costs more than a short read, so in a quiet moment granian's thread answers such a call by itself.
    In a crowd that would cost more: each answer wakes granian to send it. There the loop takes all that have come
    together, and their answers go out together. Which of the two it is shows by how many the loop finds.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: Any, start: Callable[[Any], Any], direct: Direct
    ) -> None:
        self._loop = loop
        self._context = context
        self._start = start
        self._direct = direct
        self._waiting: deque[Any] = deque()
        self._heard: list[tuple[Any, Planned, Result | Exception | None]] = []
        self._is_crowd = True
        self._until_look = 0
        """How many calls more are not left to the loop."""
        self._lonely = 0
        """How often in a row the loop has found only one."""

    def take(self, watcher: Any) -> None:
        """granian's thread."""
        if self._until_look and self._direct.reads:
            self._until_look -= 1
            answered = self._direct.read(watcher.scope)
            if answered is None:
                self._loop.call_soon_threadsafe(self._begin, watcher, context=self._context)
            else:
                self._send([(watcher, answered)])
            return
        self._waiting.append(watcher)
        if len(self._waiting) == 1:  # else the loop has been woken, and has not come to the end
            self._loop.call_soon_threadsafe(self._drain, context=self._context)

    def _send(self, answers: Sequence[tuple[Any, Answered]]) -> None:
        """One right behind the other: granian then has several to send when it wakes up."""
        failed: dict[int, Exception] = {}
        for watcher, answer in answers:
            try:
                send = watcher.proto.send
                send(answer.head)
                send(answer.body)
                watcher.done()
            except Exception as error:
                failed[id(answer)] = error
                watcher.err(error)
        for _, answer in answers:
            self._direct.count(answer.exchange, failed.get(id(answer)))

    # --- the loop ---------------------------------------------------------------------------------------------

    def _begin(self, watcher: Any) -> None:
        watcher.taskref(self._loop.create_task(self._start(watcher)))

    def _drain(self) -> None:
        """Answer what can be at once, have others answered by a batch, begin the rest."""
        waiting = self._waiting
        self._lonely = self._lonely + 1 if len(waiting) == 1 else 0
        self._is_crowd = not self._lonely or (self._is_crowd and self._lonely < LONELY_MAX)
        if not self._is_crowd:
            self._until_look = LOOK_CALLS
        late = time.perf_counter() + DRAIN_SECONDS
        answers = []
        with self._direct.together():
            while waiting and time.perf_counter() < late:
                watcher = waiting.popleft()
                answer = self._direct.take(watcher.scope, partial(self._hear, watcher), crowd=self._is_crowd)
                if answer is False:
                    self._begin(watcher)
                elif answer is not True:
                    answers.append((watcher, answer))
        self._send(answers)
        if waiting:
            self._loop.call_soon(self._drain)

    def _hear(self, watcher: Any, planned: Planned, said: Result | Exception | None) -> None:
        """A batch is through, and says so for each that was in it."""
        self._heard.append((watcher, planned, said))
        if len(self._heard) == 1:
            self._loop.call_soon(self._answer_heard)

    def _answer_heard(self) -> None:
        heard, self._heard = self._heard, []
        answers = []
        for watcher, planned, said in heard:
            answer = self._direct.answer(planned, said)
            if answer is None:
                self._begin(watcher)
            else:
                answers.append((watcher, answer))
        self._send(answers)
