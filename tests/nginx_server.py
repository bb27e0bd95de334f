"""Debian's nginx with the configuration of compose.yaml, in front of a service of a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from server_process import free_port

_COMPOSE = Path(__file__).parent.parent / "compose.yaml"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
START_SECONDS = 10


def missing() -> str:
    """Why no proxy can be started here; empty when one can."""
    return "" if _which() else "nginx not found: install nginx"


def _which() -> str | None:
    # Debian puts it where only root looks.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def configuration() -> str:
    content: str = yaml.safe_load(_COMPOSE.read_text(encoding="utf-8"))["configs"]["nginx"]["content"]
    return content.replace("$$", "$")


@contextmanager
def proxy_to(service: int, folder: Path, **changes: str) -> Iterator[int]:
    """The port of an nginx before the service at a port. `changes` replace values of directives."""
    port = free_port()
    text = configuration()
    for old, new in (("service:8000", f"127.0.0.1:{service}"), ("listen 8080", f"listen 127.0.0.1:{port}")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    for directive, value in changes.items():
        before, found, rest = text.partition(f"{directive} ")
        assert found
        text = f"{before}{found}{value}{rest[rest.index(';') :]}"
    places = "".join(f"{name}_temp_path {folder / name};\n" for name in _TEMPORARY)
    (folder / "nginx.conf").write_text(text.replace("http {\n", "http {\n" + places), encoding="utf-8")
    log = folder / "error.log"
    own = f"daemon off; master_process off; pid {folder / 'pid'}; error_log {log};"
    command = [str(_which()), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(log), "-g", own]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_until_listening(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < end, log.read_text(errors="replace")
            time.sleep(0.02)
        else:
            return
