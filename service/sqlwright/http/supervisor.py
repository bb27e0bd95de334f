"""The parent of the workers: keeps as many as it was told, replaces them one by one, and ends them in order.

One loop and no threads. A worker starts, is ready, and is leaving once it has been told to; then it has until its
deadline. Whatever happens to workers, only a stop signal ends the parent.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlwright.config import Settings
from sqlwright.http.listening import spread_over
from sqlwright.http.log import Log
from sqlwright.http.worker import READY, RETIRE, STOP, work

START_SECONDS = 60.0
"""How long a worker may take until it serves."""
STEADY_SECONDS = 1.0
"""A worker that served less than this has died at once."""
BACKOFF_SECONDS = (0.1, 5.0)
"""First and longest pause before the next try, when workers die at once again and again."""
KILL_SECONDS = 0.5
"""What is left of the drain when a worker that does not end is killed."""
UNREADY_SECONDS = 2.0
"""How long a worker that did not serve yet may take to end."""
_LOOK_SECONDS = 1.0


@dataclass
class Worker:
    process: BaseProcess
    control: socket.socket
    deadline: float
    """When it is killed, unless it is ready (or, leaving, has ended) before."""
    ready_at: float | None = None
    leaving: bool = False

    def tell(self, word: bytes, deadline: float) -> None:
        self.leaving = True
        self.deadline = deadline
        try:
            self.control.send(word)
        except OSError:
            pass  # it has just died


@dataclass
class Slot:
    """A place for one worker."""

    number: int
    listener: socket.socket
    """What waits in its queue outlives the worker."""
    worker: Worker | None = None
    successor: Worker | None = None
    """Takes over when it is ready."""
    stale: bool = False
    """Its worker serves what was before the last reload."""
    failures: int = 0
    """Workers in a row that died at once."""
    not_before: float = 0.0
    leaving: list[Worker] = field(default_factory=list)

    def workers(self) -> list[Worker]:
        return [each for each in (self.worker, self.successor, *self.leaving) if each is not None]


class Supervisor:
    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        folder: Path,
        log: Log,
        *,
        limit_known: bool,
        announce: Callable[[], None],
        compile: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._folder = folder
        self._log = log
        self._limit_known = limit_known
        self._announce = announce
        self._compile = compile
        self._slots = [Slot(number, listener) for number, listener in enumerate(listeners, start=1)]
        self._serving: list[int] = []
        methods = multiprocessing.get_all_start_methods()
        # A fork finds everything imported; the parent has no threads that could be caught in the middle.
        self._processes: Any = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
        self._announced = False
        self._stop_asked = False
        self._reload_asked = False
        self._stopping = False

    def run(self) -> None:
        """Until a stop signal came and every worker has ended."""
        with self._signals() as wakeup:
            while True:
                self._hear_signals()
                for slot in self._slots:
                    self._look_after(slot)
                if not self._stopping:
                    self._go_on_replacing()
                    self._spread()
                elif not any(slot.workers() for slot in self._slots):
                    return
                self._wait(wakeup)

    # --- what comes from outside --------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        wakeup, end = socket.socketpair()
        for each in (wakeup, end):
            each.setblocking(False)
        handlers = dict.fromkeys(("SIGTERM", "SIGINT", "SIGBREAK"), self._ask_stop) | {"SIGHUP": self._ask_reload}
        numbers = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
        before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
        old = signal.set_wakeup_fd(end.fileno(), warn_on_full_buffer=False)
        try:
            with wakeup, end:
                yield wakeup
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in before.items():
                # The program ends after a stop: who asks twice must not cut its last moments and spoil its exit code.
                signal.signal(number, signal.SIG_IGN if self._stopping else handler)

    def _ask_stop(self, *_: object) -> None:
        self._stop_asked = True

    def _ask_reload(self, *_: object) -> None:
        self._reload_asked = True

    def _hear_signals(self) -> None:
        if self._reload_asked:
            self._reload_asked = False
            if self._settings.reload:  # saving is what reloads; the hangup is a terminal that was closed
                self._stop_asked = True
            elif not self._stopping and not self._stop_asked and self._compile():
                for slot in self._slots:
                    slot.stale = True
        if self._stop_asked and not self._stopping:
            self._stopping = True
            now = time.monotonic()
            deadline = now + max(self._settings.drain_seconds - KILL_SECONDS, 0.1)
            for slot in self._slots:
                for worker in slot.workers():
                    self._listen_to(worker)
                    if worker.ready_at is None:  # it has taken nothing yet
                        worker.tell(STOP, min(deadline, now + UNREADY_SECONDS))
                    else:
                        worker.tell(STOP, min(worker.deadline, deadline) if worker.leaving else deadline)
            for listener in self._listeners:  # each worker closes its copy when nobody is left in the queue
                listener.close()

    def _wait(self, wakeup: socket.socket) -> None:
        workers = [worker for slot in self._slots for worker in slot.workers()]
        times = [worker.deadline for worker in workers if worker.leaving or worker.ready_at is None]
        times += [slot.not_before for slot in self._slots if slot.worker is None and not self._stopping]
        seconds = min([_LOOK_SECONDS, *(max(moment - time.monotonic(), 0.0) for moment in times)])
        unready = [worker.control for worker in workers if worker.ready_at is None]
        wait([wakeup, *unready, *(worker.process.sentinel for worker in workers)], seconds)
        try:
            wakeup.recv(4096)
        except BlockingIOError:
            pass  # it was something else

    def _spread(self) -> None:
        """Nobody shall wait where nobody serves."""
        serving = [at for at, slot in enumerate(self._slots) if slot.worker is not None and slot.worker.ready_at]
        if serving != self._serving and len(self._slots) > 1:
            spread_over(self._listeners, serving)
        self._serving = serving

    # --- the workers --------------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> Worker:
        control, theirs = socket.socketpair()
        control.setblocking(False)
        foreign = [worker.control for each in self._slots for worker in each.workers()]
        foreign += [listener for listener in self._listeners if listener is not slot.listener]
        warns = slot.number == 1 and not self._limit_known
        process = self._processes.Process(
            name="sqlwright-worker",
            target=work,
            args=(self._settings, self._folder, slot.listener, theirs),
            kwargs={"foreign": [*foreign, control], "warns": warns},
        )
        process.start()
        theirs.close()
        return Worker(process, control, time.monotonic() + START_SECONDS)

    def _look_after(self, slot: Slot) -> None:
        for worker in slot.workers():
            self._listen_to(worker)
            late = (worker.leaving or worker.ready_at is None) and time.monotonic() > worker.deadline
            if late and worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            if not worker.process.is_alive():
                self._bury(slot, worker)
        if slot.worker is None and not self._stopping and time.monotonic() >= slot.not_before:
            slot.stale = False
            slot.worker = self._start(slot)

    def _listen_to(self, worker: Worker) -> None:
        if worker.ready_at is None:
            try:
                said = worker.control.recv(1)
            except OSError:
                return
            if said == READY:
                worker.ready_at = time.monotonic()
                if not self._announced:
                    self._announced = True
                    self._announce()

    def _bury(self, slot: Slot, worker: Worker) -> None:
        worker.process.join()
        code = worker.process.exitcode
        worker.process.close()
        worker.control.close()
        if worker in slot.leaving:
            slot.leaving.remove(worker)
            return
        if worker is slot.worker:
            slot.worker = slot.successor
        else:
            slot.stale = True  # the old one goes on, and is still to be replaced
        slot.successor = None
        if self._stopping:
            return
        pause = self._pause(slot, worker)
        slot.not_before = time.monotonic() + pause
        again = "starting another" + (f" in {pause:.1f} s" if pause else "")
        self._log.event("error", f"worker {slot.number} {_ended(code)}; {again}")

    def _pause(self, slot: Slot, worker: Worker) -> float:
        at_once = worker.ready_at is None or time.monotonic() - worker.ready_at < STEADY_SECONDS
        slot.failures = slot.failures + 1 if at_once else 0
        first, longest = BACKOFF_SECONDS
        return min(first * 2.0 ** min(slot.failures - 2, 30), longest) if slot.failures > 1 else 0.0

    def _go_on_replacing(self) -> None:
        """One worker more than usual at any time, because each has its own connections to the database."""
        for slot in self._slots:
            if slot.leaving:
                return
            if slot.successor is not None:
                if slot.successor.ready_at is not None and slot.worker is not None:
                    slot.worker.tell(RETIRE, time.monotonic() + self._settings.drain_seconds)
                    slot.leaving.append(slot.worker)
                    slot.worker, slot.successor = slot.successor, None
                return
        for slot in self._slots:
            if slot.stale and slot.worker is not None:
                if time.monotonic() >= slot.not_before:
                    slot.stale = False
                    slot.successor = self._start(slot)
                return


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with code {code}"
