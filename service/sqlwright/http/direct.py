"""Reads without a task of their own: answered as soon as they come, or by the batch that they join.

Only what is as plain as most calls are. All else is left to the frame, as if nothing had happened, and so is what goes
wrong here: who reads can read again. ASGI has no words for this. It is for a server that gives us a request before its
loop has it, and sends when it is told to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from sqlwright.batch_member import Said, Tell
from sqlwright.contract import Contract
from sqlwright.engines.base import Program
from sqlwright.errors import AcquireTimeout, InvalidValue, LockTimeout, ResultError, StatementTimeout, TooManyWaiting
from sqlwright.execute import check_result
from sqlwright.http.exchange import Exchange, Message, Scope, leave_to_frame
from sqlwright.http.guard import Guard
from sqlwright.http.log import Log
from sqlwright.http.negotiation import ANYTHING, JSON, choose
from sqlwright.http.problems import problem
from sqlwright.http.responses import Answer, messages, respond
from sqlwright.http.routes import deadline_seconds
from sqlwright.http.service import Service
from sqlwright.plan import make_plan
from sqlwright.query import Access, Query, Result

_WAITED = (AcquireTimeout, TooManyWaiting)
"""There was no connection."""
_FINAL = (*_WAITED, InvalidValue, LockTimeout, ResultError, StatementTimeout)
"""What is not tried again: it is the call's own, and took its time."""


_NOTHING = nullcontext()


Answered = tuple[Exchange, Message, Message]
"""What is to be sent, in two messages: head and body."""
Hear = Callable[[Any, Exchange, Said], None]
"""Whose call it is, and what is said of it."""


class Direct:
    def __init__(self, service: Service, guard: Guard, fresh_id: Callable[[], str]) -> None:
        self._service = service
        self._guard = guard
        self._fresh_id = fresh_id

    # --- on any thread ----------------------------------------------------------------------------------------

    @property
    def reads(self) -> bool:
        """Whether anything can be answered as soon as it comes."""
        return self._service.thread_reader is not None

    def read(self, scope: Scope) -> Answered | None:
        """The answer of a short read."""
        contract = self._contract(scope)
        if contract is None or not self._service.database.engine.is_short(contract.program):
            return None
        exchange = self._plan(contract, scope)
        result = None if exchange is None else self._read(exchange)
        return None if exchange is None or result is None else self.answer(exchange, result)

    def _read(self, exchange: Exchange) -> Result | None:
        reader, plan = self._service.thread_reader, exchange.plan
        assert plan is not None
        result = None if reader is None else reader.read(plan.contract.program, plan.values, plan.window)
        if result is not None:
            exchange.pooled = False
        return result

    def _contract(self, scope: Scope) -> Contract | None:
        query = self._service.served.by_path.get(scope["path"])
        return None if query is None or not _is_plain(scope, query) else self._service.contracts.ready(query)

    def _plan(self, contract: Contract, scope: Scope) -> Exchange | None:
        """What has a plan then, and can be executed."""
        query = contract.query
        exchange = Exchange(scope, self._fresh_id)
        try:
            self._guard.check(exchange)
            accept = exchange.every(b"accept")
            if accept not in ANYTHING and choose(accept, streams=query.is_paged) != JSON:
                return None
            plan = make_plan(contract, contract.validator.from_query_string(exchange.query_string))
        except Exception:
            return None  # the frame will come to it, too, and say it
        exchange.query, exchange.access, exchange.plan = query.name, query.access, plan
        exchange.complete = exchange.executing = True
        return exchange

    def _ready(self, exchange: Exchange, answer: Answer) -> Answered:
        if self._service.leaving:
            exchange.last = exchange.has_close
        return (exchange, *messages(exchange, answer))

    def answer(self, exchange: Exchange, said: Said) -> Answered | None:
        """Of what was read, or a batch said. None where the frame has to see to it."""
        try:
            answered = self._answer(exchange, said)
        except Exception:
            answered = None  # somebody hears of it there
        if answered is None:
            self._leave(exchange)
        return answered

    def _answer(self, exchange: Exchange, said: Said) -> Answered | None:
        if isinstance(said, Result):
            plan = exchange.plan
            assert plan is not None
            exchange.waited_seconds, exchange.database_seconds = said.waited_seconds, said.database_seconds
            try:
                check_result(plan, said)
                return self._ready(exchange, respond(exchange, plan, said))
            except ResultError as error:
                return self._refusal(exchange, error)
        if isinstance(said, _FINAL):
            seconds = time.perf_counter() - exchange.started
            if isinstance(said, _WAITED):
                exchange.waited_seconds = seconds
            else:
                exchange.database_seconds = seconds
            return self._refusal(exchange, said)
        return None

    def _leave(self, exchange: Exchange) -> None:
        leave_to_frame(exchange)
        if exchange.in_flight:
            exchange.in_flight = False
            self._service.metrics.leave()

    def _refusal(self, exchange: Exchange, error: Exception) -> Answered:
        return self._ready(exchange, problem(exchange, error, development=self._service.settings.development))

    def count(self, exchange: Exchange, error: Exception | None, later: Callable[..., Any]) -> None:
        """What was sent, or could not be. `later` has the loop call something."""
        service = self._service
        seconds = time.perf_counter() - exchange.started
        if error is not None and not isinstance(error, OSError):
            service.log.failure("the answer could not be sent", error, exchange.request_id)
        (service.metrics.end if exchange.in_flight else service.metrics.count)(exchange, seconds)
        if service.log.is_quiet(exchange, seconds):
            exchange.error = None
        else:
            later(_tell, service.log, exchange, seconds)

    # --- on the loop ------------------------------------------------------------------------------------------

    def together(self) -> AbstractContextManager[None]:
        """Around several calls of `take`, which then cost less each."""
        reader = self._service.thread_reader
        return _NOTHING if reader is None else reader.together()

    def take(self, scope: Scope, hear: Hear, who: Any, *, crowd: bool) -> Answered | bool:
        """The answer; or whether `hear` will be called, with `who` and what `answer` takes. `crowd`: others come with
        it."""
        contract = self._contract(scope)
        if contract is None:
            return False
        program = contract.program
        service = self._service
        is_short = service.thread_reader is not None and service.database.engine.is_short(program)
        if not is_short and not (contract.together and self._is_worth_it(program, crowd)):
            return False  # before anything that would be done twice
        exchange = self._plan(contract, scope)
        if exchange is None:
            return False
        result = self._read(exchange) if is_short else None
        if result is not None:
            return self.answer(exchange, result) or False
        return self._join(exchange, partial(hear, who, exchange), opens=crowd)

    def _is_worth_it(self, program: Program, crowd: bool) -> bool:
        starts = self._service.database.starts_reads and program.measured.is_cheap
        return crowd or starts or program.measured.lines > 0

    def _join(self, exchange: Exchange, tell: Tell, *, opens: bool) -> bool:
        batching, plan = self._service.database.batching, exchange.plan
        if batching is None or plan is None or not plan.contract.together:
            return False
        settings = self._service.settings
        if deadline_seconds(plan.contract.query, settings) < settings.acquire_timeout_seconds + plan.timeout_seconds:
            return False  # here nobody looks at the time of the whole
        joined = batching.join(plan.contract.program, plan.values, plan.window, plan.timeout_seconds, tell, opens=opens)
        if joined:
            exchange.in_flight = True
            self._service.metrics.begin()
        return joined


def _tell(log: Log, exchange: Exchange, seconds: float) -> None:
    log.call(exchange, seconds)
    exchange.error = None  # its traceback leads back here: a cycle would keep all of the call


def _is_plain(scope: Scope, query: Query) -> bool:
    return scope["method"] == "GET" and query.access is Access.READ and query.isolation is None
