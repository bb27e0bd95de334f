"""Calls that are over as soon as they begin: short reads, answered on the thread that has the request.

Only what is as plain as most calls are, and goes well: all else is left to the frame, as if nothing had happened. ASGI
has no words for this. It is for a server that gives us a request before its loop has it, and sends when it is told to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from sqlwright.contract import Contract
from sqlwright.errors import SqlwrightError
from sqlwright.execute import check_result
from sqlwright.http.exchange import Exchange, Message, Scope
from sqlwright.http.guard import Guard
from sqlwright.http.negotiation import JSON, choose
from sqlwright.http.responses import Answer, messages, respond
from sqlwright.http.service import Service
from sqlwright.plan import make_plan
from sqlwright.query import Access, Query


@dataclass(slots=True)
class Answered:
    """What is to be sent, in two messages."""

    exchange: Exchange
    head: Message
    body: Message


class AtOnce:
    def __init__(self, service: Service, guard: Guard, fresh_id: Callable[[], str]) -> None:
        self._service = service
        self._guard = guard
        self._fresh_id = fresh_id

    @property
    def is_open(self) -> bool:
        """Whether anything can be answered here."""
        return self._service.thread_reader is not None

    def together(self) -> AbstractContextManager[None]:
        """Around several `answer`s, which then cost less each."""
        reader = self._service.thread_reader
        return nullcontext() if reader is None else reader.together()

    def answer(self, scope: Scope) -> Answered | None:
        """On whichever thread. Where it is None, nothing has happened. What is sent of it goes to `count`."""
        query = self._service.served.by_path.get(scope["path"])
        if query is None or scope["method"] != "GET" or query.access is not Access.READ or query.isolation is not None:
            return None
        contract = self._service.contracts.ready(query)
        if contract is None or not self._service.database.engine.is_short(contract.program):
            return None
        exchange = Exchange(scope, self._fresh_id)
        try:
            answer = self._answer(exchange, query, contract)
        except SqlwrightError:
            return None  # the frame will come to it, too, and say it
        if answer is None:
            return None
        if self._service.leaving:
            exchange.last = exchange.has_close
        return Answered(exchange, *messages(exchange, answer))

    def _answer(self, exchange: Exchange, query: Query, contract: Contract) -> Answer | None:
        reader = self._service.thread_reader
        self._guard.check(exchange)
        if reader is None or choose(exchange.every(b"accept"), streams=query.is_paged) != JSON:
            return None
        plan = make_plan(contract, contract.validator.from_query_string(exchange.query_string))
        result = reader.read(contract.program, plan.values, plan.window)
        if result is None:
            return None
        check_result(plan, result)
        exchange.query, exchange.access, exchange.plan = query.name, query.access, plan
        exchange.complete = exchange.executing = True
        return respond(exchange, plan, result)

    def count(self, exchange: Exchange) -> None:
        """What was sent."""
        service = self._service
        seconds = time.perf_counter() - exchange.started
        service.metrics.count(exchange, seconds)
        service.log.call(exchange, seconds)
