"""Servers of the record shop on SQLite: what is asked here ends before the database, or in what all engines share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import LIMITS

import mariadb_server
import nginx_server
from record_shop import FILES, SCHEMA, run_script, write_files
from server_process import Server, start


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The URL of its database, and its queries."""
    folder = tmp_path_factory.mktemp("shop")
    url = f"sqlite:///{folder / 'shop.db'}"
    asyncio.run(run_script(url, SCHEMA))
    return url, write_files(folder / "queries", FILES)


@pytest.fixture(scope="module", params=["granian", "uvicorn"])
def server(request: pytest.FixtureRequest, shop: tuple[str, Path]) -> Iterator[Server]:
    with start(request.param, *shop, **LIMITS) as server:
        server.kind = request.param
        server.until("/readyz", 200)
        yield server


@pytest.fixture(scope="module")
def proxied(shop: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The proxy of compose.yaml before uvicorn, the server that leaves more to it."""
    if reason := nginx_server.missing():
        (pytest.fail if mariadb_server.IN_CI else pytest.skip)(reason)
    with (
        start("uvicorn", *shop, **LIMITS) as server,
        nginx_server.proxy_to(server.port, tmp_path_factory.mktemp("nginx"), client_header_timeout="1s") as port,
    ):
        server.until("/readyz", 200)
        server.kind = "nginx"
        server.port = port
        server.url = f"http://127.0.0.1:{port}"
        yield server
