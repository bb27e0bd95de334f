"""An ASGI application over a sandbox: its lifespan, an HTTP client without a socket, and its service's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from sqlwright.contract import Contracts
from sqlwright.crud import Tables
from sqlwright.http.app import Application, make_application
from sqlwright.http.service import Served, Service
from sqlwright.registry import load_registry

if TYPE_CHECKING:
    from sqlwright.testing.sandbox import Sandbox

BASE_URL = "http://localhost"
"""A name that the application answers to without being told."""


@asynccontextmanager
async def http_client(sandbox: Sandbox, app: Any, options: Mapping[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    with _services_over(sandbox):
        app = _own(sandbox) if app is None else app
        async with lifespan(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(**{"transport": transport, "base_url": BASE_URL, **options}) as client:
                yield client


def _own(sandbox: Sandbox) -> Application:
    """What `create_app` makes, without reading the files again."""
    service = Service(sandbox.settings, sandbox.registry)

    @asynccontextmanager
    async def life(_: Any) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close()

    return make_application(service, lifespan=life)


@contextmanager
def _services_over(sandbox: Sandbox) -> Iterator[None]:
    """Every service that is opened meanwhile works with the sandbox's connection instead of its own pools.

    The application may have been made long before, when its module was imported: so it is caught as it opens, where
    its lifespan begins.
    """
    opening = Service.open
    opened: list[tuple[Service, dict[str, Any]]] = []

    async def open_over(service: Service) -> None:
        opened.append((service, {name: getattr(service, name) for name in _SWAPPED}))
        _swap(service, sandbox)
        await opening(service)

    replaced: Any = open_over  # a function in the place of a method
    Service.open = replaced  # type: ignore[method-assign]
    try:
        yield
    finally:
        Service.open = opening  # type: ignore[method-assign]
        for service, parts in reversed(opened):
            for name, part in parts.items():
                setattr(service, name, part)


_SWAPPED = ("database", "contracts", "tables", "served")


def _swap(service: Service, sandbox: Sandbox) -> None:
    ours, theirs = sandbox.database.engine.dialect, service.database.engine.dialect
    service.database = sandbox.database
    service.contracts = Contracts(sandbox.database, service.settings)
    service.tables = Tables(sandbox.database, service.settings)
    if ours is not theirs:  # the files say another thing to another kind of database
        service.served = Served.of(load_registry(service.settings.queries, ours)[0])


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Run an ASGI application's lifespan, in a task of its own as a server does.

    Raises RuntimeError with what the application says when it cannot start or stop, and what it raises itself.
    """
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=2)
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=2)
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    running = asyncio.get_running_loop().create_task(app(scope, to_app.get, from_app.put))

    async def tell(what: str) -> None:
        await to_app.put({"type": f"lifespan.{what}"})
        answer = asyncio.get_running_loop().create_task(from_app.get())
        await asyncio.wait({answer, running}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await running  # raises what the application raised; one that knows no lifespan just returns
        elif answer.result()["type"] != f"lifespan.{what}.complete":
            raise RuntimeError(f"the application's {what} failed: {answer.result().get('message', '')}")

    try:
        await tell("startup")
        yield
        if not running.done():
            await tell("shutdown")
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
