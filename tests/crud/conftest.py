"""The facade over tables on every engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from table_facade import SCHEMA, Facade

from workbench import Bench


@pytest.fixture
async def open_facade(open_bench: Callable[..., Awaitable[Bench]]) -> Callable[..., Awaitable[Facade]]:
    """`await open_facade(url, files, **settings)`: `setup` of the files makes the tables; all of them are served."""

    async def open_one(url: str, files: Mapping[str, str] = SCHEMA, **settings: Any) -> Facade:
        bench = await open_bench(url, files, **{"tables": ("*",), **settings})
        await bench.call("setup")
        return Facade(bench)

    return open_one


@pytest.fixture
async def facade(open_facade: Callable[..., Awaitable[Facade]], database_url: str) -> Facade:
    return await open_facade(database_url)
