"""The fixtures by the names that tests like to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from httpx import AsyncClient

    from sqlwright.client.client import Client
    from sqlwright.testing.fixtures import Seed


@pytest.fixture
def db(sqlwright_db: Client) -> Client:
    """A client of the database; all that a test does there is rolled back."""
    return sqlwright_db


@pytest.fixture
def api(sqlwright_api: AsyncClient) -> AsyncClient:
    """An HTTP client of the application, over the connection of `db`."""
    return sqlwright_api


@pytest.fixture
def seed(sqlwright_seed: Seed) -> Seed:
    """`await seed("customers.create", [{…}])` calls a query once for each row."""
    return sqlwright_seed
