"""A database of a chaos run's own, on each engine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fault_proxy import FaultProxy
from own_servers import OWN_SERVERS

import mariadb_server
from chaos import shop
from record_shop import run_script

DISK_MB = 64


class Place(ABC):
    engine: str
    url: str
    """Of the database itself."""

    @property
    def served_url(self) -> str:
        """What the service is given."""
        return self.url

    @abstractmethod
    def stored(self) -> list[tuple[int, int]]:
        """Id and version of every entry."""

    async def prepare(self) -> None:
        await run_script(self.url, shop.schema(self.engine))

    def disconnect(self) -> None:  # noqa: B027 - nothing to do where nothing stands between
        """End what stands between the service and the database."""


class ServerPlace(Place):
    """A server of our own behind a proxy of our own."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.server = OWN_SERVERS[engine](folder / "server")
        self.url = self.server.url
        self.proxy = FaultProxy(self.url)

    async def prepare(self) -> None:
        await super().prepare()
        await self.proxy.accept()

    @property
    def served_url(self) -> str:
        return self.proxy.address

    def stored(self) -> list[tuple[int, int]]:
        return [(row[0], row[1]) for row in self.server.execute("SELECT ref, version FROM entry")]

    def disconnect(self) -> None:
        self.proxy.refuse()


class FilePlace(Place):
    """A SQLite file, on a disk of its own where we may make one."""

    def __init__(self, folder: Path) -> None:
        self.engine = "sqlite"
        self.disk: Path | None = folder / "disk"
        self.disk.mkdir(parents=True)
        if not _mount(self.disk):
            self.disk = None
        self.file = (self.disk or folder) / "shop.db"
        self.url = f"sqlite:///{self.file}"

    def stored(self) -> list[tuple[int, int]]:
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return connection.execute("SELECT ref, version FROM entry").fetchall()

    def unmount(self) -> None:
        if self.disk is not None:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)


def _mount(folder: Path) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def place(engine: str, folder: Path) -> Iterator[Place]:
    """Made in `folder`, and gone afterwards."""
    if engine == "sqlite":
        made = FilePlace(folder)
        try:
            yield made
        finally:
            made.unmount()
        return
    there = ServerPlace(engine, folder)
    try:
        yield there
    finally:
        there.server.stop()


def missing(engine: str) -> str:
    """Why an engine cannot be tried here; empty when it can."""
    return mariadb_server.missing() if engine == "mysql" else ""
