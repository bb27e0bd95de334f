"""sqlwright from Python: `connect`, and the `Client` and `Transaction` that calls are made on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlwright.client.connecting import connect

if TYPE_CHECKING:
    from sqlwright.client.calls import Calls
    from sqlwright.client.client import Client, Transaction
    from sqlwright.client.source import Source
    from sqlwright.client.stream import Stream
    from sqlwright.client.tables import TableCalls

_MODULES = {
    "Calls": "calls",
    "Client": "client",
    "Source": "source",
    "Stream": "stream",
    "TableCalls": "tables",
    "Transaction": "client",
}


def __getattr__(name: str) -> Any:
    """These import the database libraries, so they wait until they are asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = ["Calls", "Client", "Source", "Stream", "TableCalls", "Transaction", "connect"]
