"""A small record shop on a real database, and a client of the application that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from record_shop import FILES, SCHEMA, run_script, running, write_files
from sqlwright.config import Settings


@pytest.fixture
def shop_url(database_url: str) -> str:
    asyncio.run(run_script(database_url, SCHEMA))
    return database_url


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return write_files(tmp_path / "queries", FILES)


@pytest.fixture
def settings(shop_url: str, queries: Path) -> Settings:
    return Settings(database_url=shop_url, queries=queries, log_calls=False)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings) as client:
        yield client
