"""A private MariaDB server for the tests: Debian's `mariadbd` with a data directory of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pymysql
from pymysql.constants import CLIENT

START_SECONDS = 60


def missing() -> str:
    """Why no server can be started here; empty when one can."""
    absent = [name for name in ("mariadbd", "mariadb-install-db") if _which(name) is None]
    return f"{' and '.join(absent)} not found: install mariadb-server, or set TEST_MYSQL_URL" if absent else ""


def _which(name: str) -> str | None:
    # Debian puts the server where only root looks.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/libexec")


class OwnServer:
    """A server with a data directory of its own, in `folder`, that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        user = [f"--user={getpass.getuser()}"]  # as root it must be said that root is meant
        data, temporary = folder / "data", folder / "tmp"
        temporary.mkdir(parents=True)
        command = [_which("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *user]
        # In a folder for temporary files of its own: what is there is removed by every server that starts.
        command += ["--auth-root-authentication-method=normal", f"--tmpdir={temporary}"]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        port = _free_port()
        self._log = folder / "log"
        self._command = [
            str(_which("mariadbd")),
            "--no-defaults",
            *user,
            f"--datadir={data}",
            f"--tmpdir={temporary}",  # a server that starts empties it
            f"--socket={folder / 'mariadb.sock'}",
            f"--pid-file={folder / 'pid'}",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            "--character-set-server=utf8mb4",
            "--skip-log-bin",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=2",
            "--max-connections=200",
        ]
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"mysql://root:@127.0.0.1:{port}/mysql"
        """With rights to do anything on it."""

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        _wait_until_it_answers(self.url, self.process, self._log)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """URL of a server that lives as long as the context, with rights to do anything on it."""
    server = OwnServer(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            connect(url).close()
        except pymysql.err.OperationalError:
            if server.poll() is not None or time.monotonic() >= give_up_at:
                raise RuntimeError(f"mariadbd did not start:\n{log.read_text(errors='replace')[-4000:]}") from None
            time.sleep(0.05)
        else:
            return


def connect(url: str, **options: Any) -> Any:
    """A plain connection of the driver below ours, to look at a database from outside; it takes several statements."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return pymysql.connect(
        host=parts.hostname or "localhost",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.strip("/")) or None,
        unix_socket=query.get("unix_socket"),
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
        **options,
    )


def execute(url: str, script: str) -> list[tuple[Any, ...]]:
    """Run statements; the rows of the last one that gives some."""
    with closing(connect(url)) as connection:
        return run(connection, script)


def run(connection: Any, script: str) -> list[tuple[Any, ...]]:
    """The same on a connection that is there."""
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        cursor.execute(script)
        while True:
            rows = list(cursor.fetchall()) or rows
            if not cursor.nextset():
                return rows


IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
