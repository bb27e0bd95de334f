"""A database that cannot be reached: each way of it is told, and leaves nothing that only the collector would free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import garbage
from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.errors import AcquireTimeout, DatabaseUnavailable, SqlwrightError
from sqlwright.query import Access

OURS = {"AcquireTimeout", "DatabaseCorrupt", "DatabaseUnavailable", "Pool"}
"""Both asyncpg and aiosqlite keep an error of their own when they cannot open."""
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def slams(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass
    writer.close()


@asynccontextmanager
async def listening(serve: Serve | None) -> AsyncIterator[int]:
    """The port of a server that is none; closed again where there is nothing to serve."""
    server = await asyncio.start_server(serve or slams, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    if serve is None:
        server.close()
        await server.wait_closed()
    try:
        yield port
    finally:
        server.close()


async def fail(database: Database, kind: type[SqlwrightError]) -> None:
    with pytest.raises(kind):
        async with database.lease(Access.READ):
            pass
    pool = database._readers[0].pool
    assert pool is not None
    if kind is not AcquireTimeout:
        with pytest.raises(kind):  # the pool remembers its last one, and so keeps it from being garbage
            await pool._connector.open()
    await asyncio.sleep(0.3)  # the attempts that are under way end


async def leaves_nothing(database: Database, kind: type[SqlwrightError]) -> None:
    await fail(database, kind)
    with garbage.kept() as kept:
        await fail(database, kind)
    assert not kept & OURS, kept


ONE, TWO = "127.0.0.1:{port}", "127.0.0.1:{port},localhost:{port}"
SERVERS = [(scheme, ONE, serve) for scheme in ("postgresql", "mysql") for serve in (None, slams, is_silent)]
# Of several hosts each has a task, which asyncio's and asyncpg's timeouts keep once they have ended it.
SERVERS += [("mysql", TWO, None), ("mysql", TWO, slams)]


@pytest.mark.parametrize(("scheme", "hosts", "serve"), SERVERS)
async def test_no_server(scheme: str, hosts: str, serve: Serve | None) -> None:
    async with listening(serve) as port:
        url = f"{scheme}://somebody:secret@{hosts.format(port=port)}/nothing"
        database = Database(
            Settings(database_url=url, connect_timeout_seconds=0.1, acquire_timeout_seconds=0.6, reader_pool_size=2)
        )
        await database.open()
        try:
            await leaves_nothing(database, DatabaseUnavailable)
        finally:
            await database.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    file.write_bytes(b"no database " * 1000)
    database = Database(Settings(database_url=f"sqlite:///{file}"))
    await database.open()
    try:
        with pytest.raises(SqlwrightError) as caught:
            async with database.lease(Access.READ):
                pass
        await leaves_nothing(database, type(caught.value))
    finally:
        await database.close()


async def test_no_connection_that_is_free(database_url: str) -> None:
    database = Database(Settings(database_url=database_url, reader_pool_size=1, acquire_timeout_seconds=0.1))
    await database.open()
    try:
        async with database.lease(Access.READ):
            await leaves_nothing(database, AcquireTimeout)
    finally:
        await database.close()
