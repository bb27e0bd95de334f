"""`serve`: worker processes that all load one compiled snapshot of the queries and keep its listeners.

The parent compiles. SIGHUP compiles anew: when everything is right the workers are replaced one by one, else the old
snapshot stays and its workers with it. SIGTERM and Ctrl-C let running calls finish.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from sqlwright.address import parse_address
from sqlwright.config import Settings
from sqlwright.errors import LoadError
from sqlwright.http.connection_limit import check_connections
from sqlwright.http.listening import open_listeners, reachable_url
from sqlwright.http.log import Log
from sqlwright.http.snapshot import place_of, write_queries, write_reload_error
from sqlwright.http.supervisor import Supervisor
from sqlwright.registry import Registry, load_registry


def serve(settings: Settings, registry: Registry) -> int:
    """Serve until a stop signal; the exit code. Raises `SettingsError` when it cannot listen where it should."""
    # Only its owner can enter this folder.
    with ExitStack() as closing:
        listeners = [closing.enter_context(listener) for listener in open_listeners(settings)]
        name = closing.enter_context(tempfile.TemporaryDirectory(prefix="sqlwright-"))
        address, port = listeners[0].getsockname()[:2]
        folder = Path(name)
        settings = settings.model_copy(update={"port": port})
        write_queries(folder, registry)
        log = Log(settings)
        known = settings.reload or check_connections(settings)

        def announce() -> None:
            log.event("info", f"serving {_count(registry)} at {reachable_url(address, port)}")

        Supervisor(
            settings,
            listeners,
            folder,
            log,
            limit_known=known,
            announce=announce,
            compile=lambda: _compile(settings, folder, log),
        ).run()
    return 0


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
