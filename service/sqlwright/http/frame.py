"""The frame around everything: one pure-ASGI layer through which each request comes and each answer leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException

from sqlwright.errors import SqlwrightError
from sqlwright.http.callers import was_stopped
from sqlwright.http.calls import caller_left, out_of_time
from sqlwright.http.direct import Direct
from sqlwright.http.dispatch import Handler, handler_of
from sqlwright.http.exchange import Exchange, Header, Message, Receive, Scope, Send, kept_exchange, request_ids
from sqlwright.http.guard import Guard
from sqlwright.http.problems import problem
from sqlwright.http.responses import Answer, send_answer, standard_headers
from sqlwright.http.service import Service

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Frame:
    """Checks who calls, sends our calls their straight way and the rest to FastAPI; no exception leaves it."""

    def __init__(self, service: Service, framework: Application) -> None:
        self._service = service
        self._framework = framework
        self._guard = Guard(service.settings)
        self._fresh_id = request_ids()
        self.direct = Direct(service, self._guard, self._fresh_id)

    def exchange(self, scope: Scope) -> Exchange:
        return kept_exchange(scope) or Exchange(scope, self._fresh_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self.exchange(scope)
        exchange.send = send
        self._service.metrics.begin()
        try:
            answer = await self._answer(exchange, scope, receive, send)
            if answer is not None:
                if self._service.leaving:
                    exchange.last = exchange.has_close
                await send_answer(exchange, answer, send)
        except Exception as error:
            # The answer could not be sent, or broke off: the caller has gone, and only the log can be told.
            exchange.error = error
            if not isinstance(error, OSError):
                self._service.log.failure("the answer could not be sent", error, exchange.request_id)
        finally:
            seconds = time.perf_counter() - exchange.started
            self._service.metrics.end(exchange, seconds)
            self._service.log.call(exchange, seconds)
            # A traceback leads back here: such a cycle would keep the connection open until garbage is collected.
            exchange.error = exchange.send = None

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """The answer to send, or None when it has been sent: by FastAPI, or piece by piece."""
        try:
            self._guard.check(exchange)
            if exchange.cors_origin is not None and exchange.method == "OPTIONS":
                return _preflight()
            handler = handler_of(exchange.path)
            if handler is not None:
                return await self._attended(handler, exchange, receive)
            await self._framework(scope, receive, _outgoing(self._service, exchange, send))
        except Exception as error:
            if not isinstance(error, SqlwrightError | HTTPException):
                self._service.log.failure("unexpected exception", error, exchange.request_id)
            if exchange.status:  # too late for another answer
                return None
            return problem(exchange, error, development=self._service.settings.development)
        return None

    async def _attended(self, handler: Handler, exchange: Exchange, receive: Receive) -> Answer | None:
        """One of our calls, for as long as its caller waits for it."""
        callers = self._service.callers
        callers.enter(exchange, receive)
        try:
            return await handler(self._service, exchange, receive)
        except asyncio.CancelledError:
            if not was_stopped(exchange):
                raise
            raise (caller_left if exchange.left else out_of_time)(exchange) from None
        finally:
            callers.leave(exchange)


def _outgoing(service: Service, exchange: Exchange, send: Send) -> Send:
    """Our headers on FastAPI's answers; no body for HEAD."""

    async def forward(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            exchange.last = service.leaving and exchange.has_close
            names = {name for name, _ in message["headers"]}
            extra: list[Header] = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
            added = [header for header in extra if header[0] not in names]
            message = {**message, "headers": [*message["headers"], *standard_headers(exchange), *added]}
        elif exchange.method == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return forward


def _preflight() -> Answer:
    """A browser asks whether a page of an allowed origin may make a call (CORS)."""
    return Answer(
        HTTPStatus.NO_CONTENT,
        b"",
        [
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", b"Accept, Content-Type, Prefer, X-Request-Id"),
            (b"access-control-max-age", b"600"),
        ],
    )
