"""One test's view of a database: one pinned connection for reading and writing, rolled back at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlwright.address import parse_address
from sqlwright.client.client import Client
from sqlwright.config import Settings
from sqlwright.contract import Contracts
from sqlwright.database import Database
from sqlwright.query import Cardinality, Query
from sqlwright.registry import Registry, load_registry

if TYPE_CHECKING:
    from httpx import AsyncClient

    from sqlwright.crud import Tables
    from sqlwright.testing.coverage import Coverage


class Sandbox:
    """What `rolled_back` gives. It is what a `Client` is made from, too."""

    def __init__(self, settings: Settings, registry: Registry, database: Database, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.registry = registry
        self.database = database
        self.contracts = Contracts(database, settings)
        self._stack = stack

    @cached_property
    def tables(self) -> Tables:
        from sqlwright.crud import Tables  # with pypika, for tests of tables

        return Tables(self.database, self.settings)

    def doubt(self, query: Query) -> None:
        self.contracts.forget(query)

    @cached_property
    def db(self) -> Client:
        """As `connect` gives it: `await db.run(…)`, `db.q`, `db.transaction()`, which is a savepoint here."""
        return Client(self)

    async def seed(self, name: str, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Call a query of the files once for each row, and give what each call gave; a bulk query takes all at once,
        and gives its one answer."""
        items = list(rows)
        if self.registry[name].cardinality is Cardinality.BULK:
            return [await self.db.run(name, items)]
        return [await self.db.run(name, item) for item in items]

    async def api(self, app: Any = None, **options: Any) -> AsyncClient:
        """An HTTP client of the application, without a socket; its endpoints use this very connection.

        `app` is any ASGI application that serves queries by `sqlwright.router(…)`, or None for `create_app`'s own. Its
        lifespan runs until the sandbox ends. `options` are those of `httpx.AsyncClient`.
        """
        from sqlwright.testing.application import http_client  # with the web framework

        return await self._stack.enter_async_context(http_client(self, app, options))


@asynccontextmanager
async def rolled_back(
    settings: Settings, registry: Registry | None = None, *, coverage: Coverage | None = None
) -> AsyncIterator[Sandbox]:
    """The database of `settings`, in one transaction that is always rolled back. Queries that read cannot write.

    Scripts cannot run inside, nor what commits by itself (MariaDB does at CREATE, ALTER, DROP). `registry` saves
    loading the files again. Raises `LoadError` and `DatabaseUnavailable`.
    """
    settings = settings.model_copy(update={"read_urls": ()})  # a replica would not see what is never committed
    if registry is None:
        registry, _ = load_registry(settings.queries, parse_address(settings.database_url).dialect)
    database = Database(settings)
    if coverage is not None:
        coverage.watch(database, registry)
    await database.open()
    try:
        async with database.pinned() as pinned, AsyncExitStack() as stack:
            yield Sandbox(settings, registry, pinned, stack)
    finally:
        await database.close()
