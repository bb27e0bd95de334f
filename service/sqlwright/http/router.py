"""Inside of somebody's FastAPI application: a router with all that the service has, and dependencies for endpoints.

    app.include_router(sqlwright.router("…settings…"), prefix="/api")

    @app.post("/orders")
    async def order(tx: sqlwright.Tx) -> dict: ...

What the router opens lives as long as the application, and is found through the application that a request came to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sqlwright.client.client import Client, Transaction
from sqlwright.client.settings import settings_of
from sqlwright.config import Settings
from sqlwright.errors import SqlwrightError
from sqlwright.http.app import Application, make_application, make_service
from sqlwright.http.dispatch import own_paths
from sqlwright.http.problems import problem

_KEY = "sqlwright."
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_REST = "sqlwright_rest"
"""The path parameter of what is below a tree; a prefix may have parameters of its own."""
_OUTER = frozenset({"app", "endpoint", "path_params", "route", "router", "starlette.exception_handlers"})
"""What the host's routing has put into a scope."""


class Included:
    """What is open while an application that includes the router lives."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.client = Client(application.service)


def router(settings: Settings | None = None, **settings_overrides: Any) -> APIRouter:
    """A router with queries, tables, transactions, documentation and health, for `include_router` with any prefix.

    Settings are found as by `connect`: without `settings`, where the command line finds them; keywords win. The Host
    check is the host application's affair, unless `allowed_hosts` is set. Dependencies of `include_router` hold for all
    that is here. Raises `SettingsError` and `LoadError` at once; the database may be down.
    """
    chosen = settings_of(settings, settings_overrides)
    if not chosen.allowed_hosts:
        chosen = settings_of(chosen, {"allowed_hosts": "*"})
    checked = make_application(make_service(chosen))

    @asynccontextmanager
    async def lifespan(host: FastAPI) -> AsyncIterator[dict[str, Any]]:
        # Made anew each time: a test may run an application's life several times.
        included = Included(make_application(make_service(chosen)))
        service = included.application.service
        await service.open()
        setattr(host.state, key, included)  # for servers and test clients that know no state of a lifespan
        try:
            yield {key: included}
        finally:
            delattr(host.state, key)
            await service.close()

    api = APIRouter(lifespan=lifespan)
    key = f"{_KEY}{id(api):x}"
    own = [route.path for route in checked.routes if hasattr(route, "path")]
    for path in [*own_paths(_REST), *own]:
        # FastAPI's own kind of route: on another kind, dependencies of `include_router` would not hold.
        api.add_api_route(path, _endpoint(path, key), methods=_METHODS, include_in_schema=False, response_model=None)
    return api


def _endpoint(path: str, key: str) -> Callable[..., Any]:
    pattern = path.replace(f"{{{_REST}:path}}", f"{{{_REST}}}")

    async def endpoint(request: Request) -> Response:
        return _Passed(_included(request, key).application, request, pattern.format_map(request.path_params))

    return endpoint


class _Passed(Response):
    """The answer of our application to a request that came to the host's."""

    def __init__(self, application: Application, request: Request, path: str) -> None:
        super().__init__()
        self._application = application
        self._request = request
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        full: str = scope["path"]
        raw: bytes | None = scope.get("raw_path")
        if not full.startswith(root):  # a proxy has cut it
            full = root + full
            raw = None if raw is None else root.encode("utf-8") + raw
        inner = {name: value for name, value in scope.items() if name not in _OUTER}
        inner |= {"path": full, "raw_path": raw, "root_path": full.removesuffix(self._path)}
        if raw is None:
            del inner["raw_path"]
        # A dependency may have read the body.
        read = getattr(self._request, "_body", None)
        await self._application(inner, receive if read is None else _again(read, receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive_again() -> Any:
        return next(messages, None) or await receive()

    return receive_again


# --- for the host's own endpoints -------------------------------------------------------------------------------


async def client(connection: HTTPConnection) -> Client:
    """`db: Client = Depends(sqlwright.client)`, or `db: sqlwright.Db`: the client of the included service."""
    return _for_endpoint(connection).client


async def transaction(connection: HTTPConnection) -> AsyncIterator[Transaction]:
    """`tx: Transaction = Depends(sqlwright.transaction, scope="function")`, or `tx: sqlwright.Tx`.

    Committed when the endpoint has returned and before its answer is sent, rolled back by any exception. A COMMIT that
    is refused becomes the problem that it is.
    """
    _refuse_late_commit(connection)
    async with _for_endpoint(connection).client.transaction() as tx:
        yield tx


Db = Annotated[Client, Depends(client)]
Tx = Annotated[Transaction, Depends(transaction, scope="function")]


def _refuse_late_commit(connection: HTTPConnection) -> None:
    """With FastAPI's default scope, a dependency ends after the answer was sent: 200, and then no COMMIT."""
    # Newer versions of FastAPI keep what `include_router` adds beside the route, and not in it.
    included = connection.scope.get("fastapi", {}).get("effective_route_context")
    waiting = [getattr(route, "dependant", None) for route in (connection.scope.get("route"), included)]
    while waiting:
        dependant = waiting.pop()
        if dependant is None:
            continue
        if dependant.call is transaction and dependant.scope != "function":
            raise RuntimeError(
                "Depends(sqlwright.transaction) would commit after the answer has been sent: "
                'write Depends(sqlwright.transaction, scope="function"), or take the type sqlwright.Tx'
            )
        waiting += dependant.dependencies


def _for_endpoint(connection: HTTPConnection) -> Included:
    included = _included(connection)
    handlers = connection.scope.get("starlette.exception_handlers")
    if handlers is not None:  # the application's own dictionary; a handler of the host stays
        handlers[0].setdefault(SqlwrightError, _problem_response)
    return included


def _included(connection: HTTPConnection, key: str | None = None) -> Included:
    """The open one of this router, else the only one that there is."""
    found: dict[str, Included] = {}
    scope = connection.scope
    for state in (getattr(scope.get("app"), "state", None), scope.get("state")):
        values = getattr(state, "_state", state) or {}
        found |= {name: value for name, value in values.items() if name.startswith(_KEY)}
    if key is not None:
        found = {name: value for name, value in found.items() if name == key}
    if not found:
        raise RuntimeError(
            "sqlwright is not open: the application's lifespan has not run, or does not include sqlwright.router(…) "
            "(a mounted application's lifespan never runs)"
        )
    if len(found) > 1:
        raise RuntimeError(
            "the application includes several sqlwright.router(…), and Db and Tx are for one: "
            "open the other database with sqlwright.connect(…) in the application's lifespan"
        )
    return next(iter(found.values()))


async def _problem_response(request: Request, error: Exception) -> Response:
    """One of our errors that an endpoint of the host let pass."""
    if request.scope["type"] != "http":
        raise error  # a websocket has no answer to put it into
    application = _included(request).application
    exchange = application.exchange(request.scope)
    answer = problem(exchange, error, development=application.service.settings.development)
    exchange.status = answer.status
    if answer.status >= 500:
        application.service.log.call(exchange, 0.0)
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in answer.headers}
    return Response(answer.body, answer.status, {**headers, "x-request-id": exchange.request_id})
