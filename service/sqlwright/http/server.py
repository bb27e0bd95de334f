"""`serve`: granian with worker processes that all load one compiled snapshot of the queries.

The parent compiles. SIGHUP compiles anew: when everything is right the workers are replaced one by one, else the old
snapshot stays and its workers with it. SIGTERM and Ctrl-C let running calls finish.
"""

from __future__ import annotations

import math
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import granian.server
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

import sqlwright.http.app  # noqa: F401 - workers are forked from this process and find it imported
from sqlwright.address import parse_address
from sqlwright.config import Settings, snapshot_for_children
from sqlwright.errors import LoadError
from sqlwright.http.listening import choose_address, reachable_url, wait_until_listening
from sqlwright.http.log import Log
from sqlwright.http.snapshot import place_of, write_queries, write_reload_error, write_settings
from sqlwright.registry import Registry, load_registry

HEADER_BYTES_MAX = 64 * 1024
"""What granian keeps of a request before it is read; longer headers are 431. Query strings have half of it at most."""
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}


def serve(settings: Settings, registry: Registry) -> int:
    """Serve until a stop signal; the exit code. Raises `SettingsError` when it cannot listen where it should."""
    address, port = choose_address(settings)
    # Only its owner can enter this folder.
    with tempfile.TemporaryDirectory(prefix="sqlwright-") as name, snapshot_for_children(Path(name)):
        folder = Path(name)
        write_settings(folder, settings.model_copy(update={"port": port}))
        write_queries(folder, registry)
        log = Log(settings)

        def announce() -> None:
            if wait_until_listening(address, port):
                log.event("info", f"serving {_count(registry)} at {reachable_url(address, port)}")

        return _run(settings, address, port, announce, lambda: _compile(settings, folder, log))


def _count(registry: Registry) -> str:
    return "1 query" if len(registry) == 1 else f"{len(registry)} queries"


def _compile(settings: Settings, folder: Path, log: Log) -> bool:
    """A new snapshot in place of the old one; False, and nothing changed, when a file is wrong."""
    try:
        registry, warnings = load_registry(settings.queries, parse_address(settings.database_url).dialect)
        write_queries(folder, registry)
    except LoadError as error:
        write_reload_error(folder, [place_of(d) for d in error.diagnostics if d.severity == "error"])
        for diagnostic in error.diagnostics:
            log.diagnostic(diagnostic)
        log.event("error", "reload refused: the queries before it are served on")
        return False
    except Exception as error:
        write_reload_error(folder, ["the folder of queries could not be read"])
        log.failure("reload refused: the queries before it are served on", error)
        return False
    write_reload_error(folder, [])
    for warning in warnings:
        log.diagnostic(warning)
    log.event("info", f"reloaded {_count(registry)}; replacing the workers")
    return True


def _run(settings: Settings, address: str, port: int, announce: Callable[[], None], compile: Callable[[], bool]) -> int:
    server = _server_class()(
        "sqlwright.http.app:create_app",
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=settings.workers,
        loop=_loop(),
        # HTTP/2 is the proxy's part: granian's knows no timeout for a caller that says nothing.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=math.ceil(settings.header_timeout_seconds * 1000), max_buffer_size=HEADER_BYTES_MAX
        ),
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=math.ceil(settings.drain_seconds),
    )
    server.announce = announce
    server.compile = compile
    server.watched = settings.reload
    try:
        server.serve()
    except SystemExit as stop:
        # granian calls a worker's end unexpected when it came before its own word; after a stop signal it is not.
        return 0 if server.interrupt_signal else int(stop.code or 1)
    return 0


def _server_class() -> Any:
    """granian's server for this interpreter (processes, or threads where there is no GIL), with our SIGHUP."""
    base: Any = granian.server.Server

    class Server(base):  # type: ignore[misc]  # the base is chosen at run time by granian
        announce: Callable[[], None]
        compile: Callable[[], bool]
        watched: bool

        def _spawn_workers(self, *arguments: Any) -> None:
            super()._spawn_workers(*arguments)
            threading.Thread(target=self.announce, daemon=True).start()

        def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
            for worker in workers:
                if self.interrupt_signal:  # replacing takes seconds a worker; a stop does not wait for the rest
                    return
                super()._respawn_workers([worker], *arguments, **options)

        def _reload(self, *arguments: Any) -> None:
            self.reload_signal = False
            self.main_loop_interrupt.clear()
            if self.watched:  # saving is what reloads; the hangup is a terminal that was closed
                self.interrupt_signal = True
            if self.interrupt_signal:  # or a stop that came just before the event was cleared
                self.main_loop_interrupt.set()
            elif self.compile():
                super()._reload(*arguments)

    return Server


def _loop() -> Loops:
    try:
        import uvloop  # noqa: F401, PLC0415 - not on every platform
    except ImportError:
        return Loops.asyncio
    return Loops.uvloop if sys.platform != "win32" else Loops.asyncio
