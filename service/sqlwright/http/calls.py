"""What calls of queries, tables and transactions share: the body, the method, the query string, the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import TypeVar

from sqlwright.config import Settings
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import (
    BodyTooSlow,
    ClientLeft,
    DeadlineExceeded,
    InvalidParameters,
    MethodNotAllowed,
    Outcome,
    SqlwrightError,
)
from sqlwright.http.exchange import Exchange
from sqlwright.parameters import FAULTS_MAX
from sqlwright.parameters.json_body import parse_json
from sqlwright.parameters.query_string import split_query_string
from sqlwright.parameters.refusal import clipped
from sqlwright.query import Access

BODY_BYTES_ON_LOOP_MAX = 256 * 1024
"""Bodies up to here are parsed and validated on the event loop, in a few milliseconds; larger ones in a thread."""

Made = TypeVar("Made")


async def beside(size: int, work: Callable[..., Made], *arguments: object) -> Made:
    """Do the work, in a thread when the body is so large that other calls would wait for it."""
    return work(*arguments) if size <= BODY_BYTES_ON_LOOP_MAX else await asyncio.to_thread(work, *arguments)


def parse_body(settings: Settings, body: bytes) -> object:
    """The JSON of the body, no parameters where there is none."""
    return parse_json(body, settings.json_depth_max) if body else {}


def refuse_query_string(raw: bytes, detail: str) -> None:
    """For calls that take nothing there. Raises `InvalidParameters`."""
    names = [name for name, _ in islice(split_query_string(raw), FAULTS_MAX)] if raw else []
    if names:
        raise InvalidParameters([ParameterFault("query", clipped(name), "unknown", detail) for name in names])


def check_method(exchange: Exchange, allow: tuple[str, ...]) -> None:
    if exchange.method not in allow:
        raise MethodNotAllowed(f"this path takes {', '.join(allow)}", allow)


@asynccontextmanager
async def deadline(exchange: Exchange, seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Raises what there is to say when the time is up."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield timeout
    except TimeoutError:
        if not timeout.expired():
            raise
        raise out_of_time(exchange) from None


def out_of_time(exchange: Exchange) -> SqlwrightError:
    if not exchange.complete:
        return BodyTooSlow("the request did not become complete in time")
    if _may_be_applied(exchange):
        return DeadlineExceeded("the call took too long; it may or may not have been applied", outcome="unknown")
    return DeadlineExceeded("the call took too long")


def caller_left(exchange: Exchange) -> ClientLeft:
    outcome: Outcome = "unknown" if _may_be_applied(exchange) else "none"
    return ClientLeft("the caller closed the connection", outcome=outcome)


def _may_be_applied(exchange: Exchange) -> bool:
    return exchange.executing and exchange.access is not Access.READ
