"""Which calls are answered here and not by FastAPI's routing, by the path inside the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.responses import Answer
from sqlwright.http.routes import call
from sqlwright.http.service import QUERIES_PATH, TABLES_PATH, TRANSACTION_PATH, Service
from sqlwright.http.tables import call_table
from sqlwright.http.transaction import call_transaction

Handler = Callable[[Service, Exchange, Receive], Awaitable[Answer | None]]
"""Gives the answer, or None when it has been sent."""

_TREES: dict[str, Handler] = {QUERIES_PATH: call, TABLES_PATH: call_table}
_PATHS: dict[str, Handler] = {TRANSACTION_PATH: call_transaction}


def own_paths(rest: str) -> list[str]:
    """All of them as patterns of routes; `rest` names the parameter for what is below a tree."""
    return [*_PATHS, *_TREES, *(f"{tree}/{{{rest}:path}}" for tree in _TREES)]


def handler_of(path: str) -> Handler | None:
    """The one for this path, None where it is not ours."""
    end = path.find("/", 1)
    return _PATHS.get(path) or _TREES.get(path if end < 0 else path[:end])
