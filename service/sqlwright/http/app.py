"""The FastAPI application, from a factory: `uvicorn --factory sqlwright.http.app:create_app`, granian, or your own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sqlwright import __version__
from sqlwright.address import parse_address
from sqlwright.config import Settings, load_settings
from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import SqlwrightError
from sqlwright.http.direct import Direct
from sqlwright.http.docs import docs_asset, docs_page
from sqlwright.http.exchange import Exchange
from sqlwright.http.frame import Frame
from sqlwright.http.health import readiness
from sqlwright.http.metrics import METRICS_PATH
from sqlwright.http.openapi import OpenApi
from sqlwright.http.responses import Answer
from sqlwright.http.service import QUERIES_PATH, TABLES_PATH, TRANSACTION_PATH, Service
from sqlwright.registry import Registry, load_registry, reload


class Application(FastAPI):
    """FastAPI inside our frame; the calls of queries pass by its routing."""

    def __init__(self, service: Service, **options: Any) -> None:
        super().__init__(
            title="sqlwright", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, **options
        )
        self.service = service
        self._openapi = OpenApi(service)
        self._frame = Frame(service, super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._frame(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    @property
    def direct(self) -> Direct:
        """What may be asked before `__call__`."""
        return self._frame.direct

    def exchange(self, scope: Scope) -> Exchange:
        """For an answer that is made elsewhere."""
        return self._frame.exchange(scope)

    def openapi(self) -> dict[str, Any]:
        return self._openapi.document()

    def openapi_bytes(self, root_path: str = "") -> bytes:
        """`root_path` is the prefix that callers see before our paths."""
        return self._openapi.bytes(root_path)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application over these settings; without any, over the environment's.

    Raises `SettingsError` and `LoadError`. The database is first asked when the lifespan has begun, and may be down.
    """
    service = make_service(settings or load_settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close()

    return make_application(service, lifespan=lifespan)


def make_service(settings: Settings) -> Service:
    """The service over these settings, not yet open. Raises `LoadError`."""
    registry, diagnostics = _load(settings)
    service = Service(settings, registry)
    for diagnostic in diagnostics:
        service.log.diagnostic(diagnostic)
    return service


def make_application(service: Service, **options: Any) -> Application:
    """The application of a service that somebody else opens and closes."""
    app = Application(service, **options)
    app.router.redirect_slashes = False
    _add_routes(app)
    for kind in (HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _hand_to_frame)
    return app


def _load(settings: Settings) -> tuple[Registry, tuple[Diagnostic, ...]]:
    dialect = parse_address(settings.database_url).dialect
    if settings.reload:
        # While somebody edits, the files that are right are served.
        loaded = reload(Registry(), settings.queries, dialect)
        return loaded.registry, loaded.diagnostics
    return load_registry(settings.queries, dialect)


async def _hand_to_frame(_: Request, error: Exception) -> Response:
    """The frame makes every problem, so that there is one place which does."""
    raise error


def _add_routes(app: Application) -> None:
    async def links(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return JSONResponse(
            {
                "service": "sqlwright",
                "version": __version__,
                "links": {
                    "queries": root + QUERIES_PATH,
                    "tables": root + TABLES_PATH,
                    "docs": root + "/docs",
                    "openapi": root + "/openapi.json",
                    "livez": root + "/livez",
                    "readyz": root + "/readyz",
                    "metrics": root + METRICS_PATH,
                },
                "post": {"transaction": root + TRANSACTION_PATH},
            }
        )

    async def livez() -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        return _response(await readiness(app.service, request.query_params.get("access", "")))

    async def metrics(request: Request) -> Response:
        return _response(await app.service.metrics.answer(request.headers.get("accept", "")))

    async def openapi(request: Request) -> Response:
        if app.service.known_tables is not None:
            with suppress(SqlwrightError):  # what was known stays true enough
                await app.service.look_at_tables()
        return Response(app.openapi_bytes(request.scope.get("root_path", "")), media_type="application/json")

    routes: dict[str, Callable[..., Awaitable[Response]]] = {
        "/": links,
        "/livez": livez,
        "/readyz": readyz,
        METRICS_PATH: metrics,
        "/openapi.json": openapi,
        "/docs": docs_page,
        "/docs/{name}": docs_asset,
    }
    for path, endpoint in routes.items():
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, {name.decode(): value.decode() for name, value in answer.headers})
