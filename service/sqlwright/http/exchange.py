"""One request and what becomes of it, as the frame, the calls and the log share it."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from sqlwright.plan import Plan
from sqlwright.query import Access

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z")
_INSTANCE_LENGTH_MAX = 300


def request_ids() -> Callable[[], str]:
    """A prefix and a count: unique, readable, and cheaper than a random number a call. For any thread.

    Made with the application, not at import: workers that were forked would all have the same prefix.
    """
    prefix = secrets.token_hex(6)
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


class Exchange:
    """What is read of the request once, and what is known of the answer so far. Times are in seconds.

    What stands here is so until a call says otherwise; an object of its own has only what differs.
    """

    cors_origin: bytes | None = None
    query: str | None = None
    access: Access | None = None
    plan: Plan | None = None
    last = False
    """The connection is closed behind the answer."""
    complete = False
    """The whole request has been read."""
    executing = False
    """The statement may have been sent."""
    receive: Receive | None = None
    send: Send | None = None
    """For an answer that is sent in pieces."""
    task: asyncio.Task[Any] | None = None
    """Who runs the call, while it can be cancelled."""
    ends_at = math.inf
    """When the whole call has to be through, by the clock of `started`."""
    expired = False
    """It was not, and so the task was cancelled."""
    watcher: asyncio.Task[None] | None = None
    left = False
    """The caller has left, and so the task was cancelled."""
    status = 0
    code: str | None = None
    error: Exception | None = None
    rows: int | None = None
    together = 1
    """How many calls ran in its statement."""
    in_flight = False
    """It is counted among the requests that are being answered, by whoever has no frame around it."""
    pooled = True
    """It had to have a connection from a pool."""
    alone = False
    """It was in a batch that went wrong, and is not to be in another."""
    waited_seconds = 0.0
    database_seconds = 0.0
    encode_seconds = 0.0

    def __init__(self, scope: Scope, fresh_id: Callable[[], str]) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.method: str = scope["method"]
        self.root_path: str = scope.get("root_path", "")
        self.path: str = _below(self.root_path, scope["path"]) if self.root_path else scope["path"]
        self.query_string: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        self.request_id = given.decode("ascii") if given and _REQUEST_ID.match(given) else fresh_id()

    def repeated(self, name: bytes) -> bool:
        """Whether a header came more than once."""
        if len(self.headers) == len(self.scope["headers"]):
            return False
        return sum(1 for key, _ in self.scope["headers"] if key == name) > 1

    def every(self, name: bytes) -> bytes | None:
        """All values of a header as one list; None when it is not there."""
        if len(self.headers) == len(self.scope["headers"]):
            return self.headers.get(name)
        values = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(values) if values else None

    @property
    def has_close(self) -> bool:
        """Whether an answer can say that it is the last. HTTP/2 has no such header; there the server says it."""
        return not str(self.scope.get("http_version", "")).startswith("2")

    @property
    def instance(self) -> str:
        """The path as the caller sees it, as a URI reference of bounded length."""
        return quote(self.root_path + self.path, safe="/:@!$&'()*+,;=~", errors="replace")[:_INSTANCE_LENGTH_MAX]


_KEPT = "sqlwright.exchange"


def leave_to_frame(exchange: Exchange) -> None:
    """Who has it so far has no answer."""
    exchange.complete = exchange.executing = False
    exchange.alone = True
    exchange.scope[_KEPT] = exchange


def kept_exchange(scope: Scope) -> Exchange | None:
    """What was left to the frame."""
    kept: Exchange | None = scope.pop(_KEPT, None)
    return kept


def _below(root_path: str, path: str) -> str:
    """The path inside the application: where a proxy has cut a prefix, some servers put it back (ASGI's root_path)."""
    return path[len(root_path) :] if path.startswith(root_path + "/") else path
