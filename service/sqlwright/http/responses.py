"""Answers: bytes and headers, made once and sent as two messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import orjson

from sqlwright.body import render_body
from sqlwright.http.exchange import Exchange, Header, Message, Send
from sqlwright.plan import Plan
from sqlwright.query import Result

_JSON: Header = (b"content-type", b"application/json")
VARY: Header = (b"vary", b"accept")
"""Of rows, which come as JSON, NDJSON or CSV."""
COMMON_HEADERS: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


_EXPOSED = b"Link, Location, Preference-Applied, Retry-After, Server-Timing, X-CSV-Formulas, X-Request-Id"


@dataclass(slots=True)
class Answer:
    """A whole response. `headers` are those beside length, request id and the ones that every answer has."""

    status: int
    body: bytes
    headers: Sequence[Header] = (_JSON,)


def json_answer(content: object, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(content))


def respond(exchange: Exchange, plan: Plan, result: Result) -> Answer:
    """The answer of a call that succeeded."""
    begun = time.perf_counter()
    body, token = render_body(plan, result)
    answer = timed(exchange, body, result, time.perf_counter() - begun)
    if plan.window is not None:
        answer.headers = [*answer.headers, VARY]
    if token is not None and exchange.method != "POST":
        answer.headers = [*answer.headers, (b"link", _next_link(exchange, token))]
    return answer


def timed(exchange: Exchange, body: bytes, result: Result, encode_seconds: float) -> Answer:
    """An answer that says what the call took, and the exchange told the same."""
    exchange.rows = result.count or result.affected
    exchange.waited_seconds = result.waited_seconds
    exchange.database_seconds = result.database_seconds
    exchange.encode_seconds = encode_seconds
    exchange.together = result.together
    return Answer(200, body, [_JSON, timing_header(exchange)])


def timing_header(exchange: Exchange) -> Header:
    """What the call took so far."""
    timing = b"queue;dur=%.2f, db;dur=%.2f, encode;dur=%.2f" % (
        exchange.waited_seconds * 1000,
        exchange.database_seconds * 1000,
        exchange.encode_seconds * 1000,
    )
    return b"server-timing", timing


def _next_link(exchange: Exchange, token: str) -> bytes:
    """The same call with another `next`: relative to this server, so that it holds behind any proxy."""
    pairs = exchange.query_string.split(b"&")
    kept = [pair for pair in pairs if pair and unquote_to_bytes(pair.partition(b"=")[0]) != b"next"]
    query = quote(b"&".join([*kept, b"next=" + token.encode("ascii")]), safe="%&=+!$'()*,;:@/?-._~")
    return f'<{quote(exchange.root_path + exchange.path)}?{query}>; rel="next"'.encode("ascii")


async def send_answer(exchange: Exchange, answer: Answer, send: Send) -> None:
    head, body = messages(exchange, answer)
    await send(head)
    await send(body)


def messages(exchange: Exchange, answer: Answer) -> tuple[Message, Message]:
    """The head, and the whole body (none for HEAD and 204)."""
    exchange.status = answer.status
    headers = [*answer.headers, *COMMON_HEADERS, (b"x-request-id", exchange.request_id.encode())]
    if exchange.last or exchange.cors_origin is not None:
        headers += _unusual_headers(exchange)
    if answer.status != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    return (
        {"type": "http.response.start", "status": answer.status, "headers": headers},
        {"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else answer.body},
    )


def standard_headers(exchange: Exchange) -> list[Header]:
    """What every response carries, whoever made it."""
    return [(b"x-request-id", exchange.request_id.encode("ascii")), *_unusual_headers(exchange)]


def _unusual_headers(exchange: Exchange) -> list[Header]:
    headers: list[Header] = []
    if exchange.last:
        headers.append((b"connection", b"close"))
    if exchange.cors_origin is not None:
        headers += [
            (b"access-control-allow-origin", exchange.cors_origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]
    return headers
