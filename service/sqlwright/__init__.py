"""sqlwright: put SQL in files, get a typed, fast, safe JSON API, tune each query by its name.

From Python: `connect`, `Client`, `Transaction`. Inside of a FastAPI application: `router`, and for its endpoints `Tx`
and `Db` (`Depends(transaction, scope="function")`, `Depends(client)`). `create_app` is the ASGI factory.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlwright.client.client import Client, Transaction
    from sqlwright.client.connecting import connect
    from sqlwright.config import Settings, load_settings
    from sqlwright.errors import SqlwrightError
    from sqlwright.http.app import create_app
    from sqlwright.http.router import Db, Tx, client, router, transaction

__version__ = "0.1.0"

__all__ = [
    "Client",
    "Db",
    "Settings",
    "SqlwrightError",
    "Transaction",
    "Tx",
    "client",
    "connect",
    "create_app",
    "load_settings",
    "router",
    "transaction",
]

_EXPORTS = {
    "Client": "client.client",
    "Db": "http.router",
    "Settings": "config",
    "SqlwrightError": "errors",
    "Transaction": "client.client",
    "Tx": "http.router",
    "client": "http.router",
    "connect": "client.connecting",
    "create_app": "http.app",
    "load_settings": "config",
    "router": "http.router",
    "transaction": "http.router",
}


class _Package(ModuleType):
    """Nothing is imported before it is asked for: neither drivers nor FastAPI.

    `sqlwright.transaction` and `sqlwright.client` are dependencies for FastAPI, and modules of these names stand in the
    package, too; the import system would put the modules in their place.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _EXPORTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _EXPORTS or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
