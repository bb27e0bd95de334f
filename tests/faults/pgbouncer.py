"""PgBouncer in transaction mode before a PostgreSQL server, with few sessions, so that they change hands."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from server_process import free_port

SESSIONS = 2
_SETTINGS = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
server_round_robin = 1
server_login_retry = 0
"""


def missing() -> str:
    """Why none can be started here; empty when one can."""
    return "" if _which() else "pgbouncer not found: install it"


def _which() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")  # Debian's place


class PgBouncer:
    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        host = parts.hostname or parse_qs(parts.query).get("host", ["/tmp"])[0]
        self._port = free_port()
        self._file = folder / "pgbouncer.ini"
        folder.mkdir()
        text = _SETTINGS.format(host=host, port=parts.port or 5432, listen=self._port, sessions=SESSIONS)
        self._file.write_text(text)
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}{parts.path}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # It refuses to run as root; nobody cannot look into pytest's folders.
        user = {"user": "embedded_postgres"} if os.geteuid() == 0 else {}
        with self._file.open() as settings:
            command = [str(_which()), "-q", f"/proc/self/fd/{settings.fileno()}"]
            self._process = subprocess.Popen(
                command, pass_fds=[settings.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user
            )
            end = time.monotonic() + 10
            while time.monotonic() < end:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                        return
                time.sleep(0.02)
        raise AssertionError("pgbouncer did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
