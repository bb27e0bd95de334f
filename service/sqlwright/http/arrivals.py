"""Requests on their way from the server's thread to where they are answered.

To wake the loop costs more than a short read, so in a quiet moment the server's thread answers such a call by itself.
In a crowd that would cost more: each answer wakes the server to send it. There the loop takes all that have come
together, and their answers go out together. Which of the two it is shows by how many the loop finds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sqlwright.batch_member import Said
from sqlwright.http.direct import Answered, Direct
from sqlwright.http.exchange import Exchange
from sqlwright.query import Result

DRAIN_SECONDS = 0.001
"""How long the loop may gather answers before it sends them."""
LOOK_CALLS = 64
"""How many calls the server's thread answers by itself before it is looked again whether there is a crowd."""
LONELY_MAX = 4
"""How often in a row the loop has to find a single call for the crowd to be over."""


class Arrivals:
    """`start` gives the coroutine of a call; a watcher is granian's handle of one, and `context` what it runs in."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: Any, start: Callable[[Any], Any], direct: Direct
    ) -> None:
        self._loop = loop
        self._context = context
        self._start = start
        self._direct = direct
        self._waiting: deque[Any] = deque()
        self._heard: list[tuple[Any, Exchange, Said]] = []
        self._is_crowd = True
        self._until_look = 0
        """How many calls more are not left to the loop."""
        self._lonely = 0
        """How often in a row the loop has found only one."""

    def take(self, watcher: Any) -> None:
        """The server's thread: a request has come."""
        if self._until_look and self._direct.reads:
            self._until_look -= 1
            answered = self._read(watcher)
            if answered is None:
                self._loop.call_soon_threadsafe(self._begin, watcher, context=self._context)
            else:
                self._send([(watcher, answered)])
            return
        self._waiting.append(watcher)
        if len(self._waiting) == 1:  # else the loop has been woken, and has not come to the end
            self._loop.call_soon_threadsafe(self._drain, context=self._context)

    def _read(self, watcher: Any) -> Answered | None:
        try:
            return self._direct.read(watcher.scope)
        except Exception:
            return None  # it will come again on the long way, where somebody hears of it

    def _send(self, answers: Sequence[tuple[Any, Answered]]) -> None:
        """One right behind the other: the server then has several to send when it wakes up."""
        failed: dict[int, Exception] = {}
        for watcher, (exchange, head, body) in answers:
            try:
                send = watcher.proto.send
                send(head)
                send(body)
                watcher.done()
            except Exception as error:
                failed[id(exchange)] = error
                with suppress(Exception):
                    watcher.err(error)
        for _, (exchange, _, _) in answers:
            self._direct.count(exchange, failed.get(id(exchange)), self._loop.call_soon_threadsafe)

    # --- the loop ---------------------------------------------------------------------------------------------

    def _begin(self, watcher: Any) -> None:
        watcher.taskref(self._loop.create_task(self._start(watcher)))

    def _drain(self) -> None:
        """Answer what can be at once, have others answered by a batch, begin the rest."""
        waiting = self._waiting
        if not waiting:  # an earlier call has seen to it
            return
        self._lonely = self._lonely + 1 if len(waiting) == 1 else 0
        self._is_crowd = not self._lonely or (self._is_crowd and self._lonely < LONELY_MAX)
        if not self._is_crowd:
            self._until_look = LOOK_CALLS
        answers: list[tuple[Any, Answered]] = []
        try:
            if len(waiting) == 1:
                self._take_next(answers)
            else:
                self._take_all(answers)
        except BaseException:
            while waiting:  # nobody may be left there
                self._begin(waiting.popleft())
            raise
        finally:
            if waiting:
                self._loop.call_soon(self._drain)
            if answers:
                self._send(answers)

    def _take_all(self, answers: list[tuple[Any, Answered]]) -> None:
        """Or as many as there is time for."""
        late = time.perf_counter() + DRAIN_SECONDS
        with self._direct.together():
            # Not those that come meanwhile: what they read may be older than they are.
            for _ in range(len(self._waiting)):
                self._take_next(answers)
                if time.perf_counter() > late:
                    break

    def _take_next(self, answers: list[tuple[Any, Answered]]) -> None:
        watcher = self._waiting.popleft()
        try:
            answer = self._direct.take(watcher.scope, self._hear, watcher, crowd=self._is_crowd)
        except Exception:
            answer = False  # it will come again on the long way, where somebody hears of it
        if answer is False:
            self._begin(watcher)
        elif answer is not True:
            answers.append((watcher, answer))

    def _hear(self, watcher: Any, exchange: Exchange, said: Said) -> None:
        """A statement is through, and says so for each that was in it."""
        self._heard.append((watcher, exchange, said))
        if len(self._heard) > 1:
            return
        if isinstance(said, Result) and said.together == 1:
            self._answer_heard()  # no other is about to follow
        else:
            self._loop.call_soon(self._answer_heard)

    def _answer_heard(self) -> None:
        heard, self._heard = self._heard, []
        answers = []
        for watcher, exchange, said in heard:
            answer = self._direct.answer(exchange, said)
            if answer is None:
                self._begin(watcher)
            else:
                answers.append((watcher, answer))
        self._send(answers)
