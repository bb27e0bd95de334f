"""The demo tested by its own kit: this folder is what the README shows. Nothing here comes from the other tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sqlwright.config import Settings
from sqlwright.demo import demo_queries, prepare_demo


@pytest.fixture(scope="session")
def sqlwright_settings(sqlwright_url: str) -> Settings:
    return Settings(database_url=sqlwright_url, queries=demo_queries(), migrations=Path("none"), log_calls=False)


@pytest.fixture(scope="session")
def sqlwright_prepare(sqlwright_settings: Settings) -> Any:
    """The shop is filled once; what a test changes is rolled back."""

    async def prepare(_: Any) -> None:
        await prepare_demo(sqlwright_settings)

    return prepare
