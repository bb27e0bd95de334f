"""What the tests of a running service tell its server and ask of it, and how each engine that has a server says it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg

import mariadb_server

Execute = Callable[[str], Any]
"""`await execute(statements)` gives the rows of the last statement that gives some, on one connection."""


@dataclass(frozen=True, slots=True)
class ServerSql:
    connect: Callable[[str], Any]
    """`async with connect(url) as execute`."""
    sleep: str
    """A SELECT that takes `:seconds`."""
    sleep_and_add: str
    """An INSERT of `:n` into `item` that takes `:seconds`."""
    asleep: str
    """A SELECT of the sessions of this database that run one of these two."""
    end: str
    """A statement that ends one of them."""
    lock: str
    """Statements that keep everybody else from `item` while their connection is open."""


@asynccontextmanager
async def _postgresql(url: str) -> AsyncIterator[Execute]:
    connection = await asyncpg.connect(url)

    async def execute(statements: str) -> list[Any]:
        *first, last = statements.split("; ")
        for statement in first:
            await connection.execute(statement)
        return list(await connection.fetch(last))

    try:
        yield execute
    finally:
        await connection.close()


@asynccontextmanager
async def _mysql(url: str) -> AsyncIterator[Execute]:
    connection = mariadb_server.connect(url)

    async def execute(statements: str) -> list[Any]:
        return await asyncio.to_thread(mariadb_server.run, connection, statements)

    try:
        yield execute
    finally:
        connection.close()


_BY_SCHEME = {
    "postgresql": ServerSql(
        connect=_postgresql,
        sleep="SELECT pg_sleep(:seconds)::text",
        sleep_and_add="INSERT INTO item SELECT :n FROM pg_sleep(:seconds)",
        asleep="SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
        end="SELECT pg_terminate_backend({})",
        lock="BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE",
    ),
    "mysql": ServerSql(
        connect=_mysql,
        sleep="SELECT SLEEP(:seconds)",
        sleep_and_add="INSERT INTO item SELECT :n FROM DUAL WHERE SLEEP(:seconds) = 0",
        asleep="SELECT id FROM information_schema.processlist WHERE db = database() AND state = 'User sleep'",
        end="KILL CONNECTION {}",
        lock="LOCK TABLES item WRITE",
    ),
}


def server_sql(url: str) -> ServerSql:
    return _BY_SCHEME[urlsplit(url).scheme]
