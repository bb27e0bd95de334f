"""The fixtures; `plugin.py` tells what they are for. Database libraries are imported when one is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sqlwright.testing.plugin import coverage_of, option

if TYPE_CHECKING:
    from httpx import AsyncClient

    from sqlwright.client.client import Client
    from sqlwright.config import Settings
    from sqlwright.registry import Registry
    from sqlwright.testing.sandbox import Sandbox
    from sqlwright.testing.throwaway import Prepare

Seed = Callable[..., Any]

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # anyio's plugin takes pytest's own
    async_fixture = pytest.fixture  # type: ignore[assignment]


@pytest.fixture(scope="session")
def sqlwright_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """A database that is there for this run."""
    from sqlwright.testing.throwaway import database_url

    with database_url(option(pytestconfig, "sqlwright_database") or "sqlite") as url:
        yield url


@pytest.fixture(scope="session")
def sqlwright_settings(pytestconfig: pytest.Config, sqlwright_url: str) -> Settings:
    """The project's own settings, over the throwaway database."""
    from sqlwright.config import load_settings

    given: dict[str, Any] = {"log_calls": False}
    for name in ("queries", "migrations"):
        given[name] = option(pytestconfig, f"sqlwright_{name}") or None
    settings = load_settings({**given, "database_url": sqlwright_url, "read_urls": ()}, folder=pytestconfig.rootpath)
    folders = {name: pytestconfig.rootpath / getattr(settings, name) for name in ("queries", "migrations")}
    return settings.model_copy(update=folders)


@pytest.fixture(scope="session")
def sqlwright_prepare() -> Prepare | None:
    """Override it to fill the database once: `async def prepare(db: Client)`."""
    return None


@pytest.fixture(scope="session")
def sqlwright_registry(sqlwright_settings: Settings) -> Registry:
    from sqlwright.address import parse_address
    from sqlwright.registry import load_registry

    return load_registry(sqlwright_settings.queries, parse_address(sqlwright_settings.database_url).dialect)[0]


@pytest.fixture(scope="session")
def sqlwright_database(sqlwright_settings: Settings, sqlwright_prepare: Prepare | None) -> Settings:
    """The settings, once their database is migrated and filled."""
    from sqlwright.testing.throwaway import prepare_database

    prepare_database(sqlwright_settings, sqlwright_prepare)
    return sqlwright_settings


@pytest.fixture
def sqlwright_app() -> Any:
    """Override it with an ASGI application of your own."""
    return None


@async_fixture
async def sqlwright_sandbox(
    pytestconfig: pytest.Config, sqlwright_database: Settings, sqlwright_registry: Registry
) -> AsyncIterator[Sandbox]:
    from sqlwright.testing.sandbox import rolled_back

    async with rolled_back(sqlwright_database, sqlwright_registry, coverage=coverage_of(pytestconfig)) as sandbox:
        yield sandbox


@pytest.fixture
def sqlwright_db(sqlwright_sandbox: Sandbox) -> Client:
    return sqlwright_sandbox.db


@pytest.fixture
def sqlwright_seed(sqlwright_sandbox: Sandbox) -> Seed:
    return sqlwright_sandbox.seed


@async_fixture
async def sqlwright_api(sqlwright_sandbox: Sandbox, sqlwright_app: Any) -> AsyncClient:
    return await sqlwright_sandbox.api(sqlwright_app)
