"""/livez: the process answers. /readyz: the database does too, and every query and table has been described."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlwright.errors import QueryInvalid
from sqlwright.http.problems import describe_diagnostic
from sqlwright.http.responses import Answer, json_answer
from sqlwright.http.service import Service
from sqlwright.http.snapshot import place_of, read_reload_error

_INVALID_SHOWN_MAX = 100


async def readiness(service: Service, access: str = "") -> Answer:
    """200 or 503, with what one wants to know when it is not what one expects. `access` write: 503 also when writes are
    refused."""
    refusal = await service.ask_database()
    refuses_writes = refusal or await service.ask_writes()
    queries = list(service.served.callable)
    pending = service.pending
    invalid = service.contracts.invalid
    development = service.settings.development
    shown = sorted(name for name in invalid if name)[:_INVALID_SHOWN_MAX]
    tables = service.known_tables
    ready = refusal is None and pending == 0 and tables is not None and not service.draining
    content: dict[str, Any] = {
        "ready": ready,
        "draining": service.draining,
        "database": {
            "answers": refusal is None,
            "detail": None if refusal is None else str(refusal),
            "pools": {name: [asdict(pool) for pool in pools] for name, pools in service.database.status().items()},
        },
        "writes": {
            "ready": refuses_writes is None,
            "detail": None if refuses_writes is None else str(refuses_writes),
        },
        "queries": {
            "loaded": len(queries),
            "pending": pending,
            "invalid": [_invalid(name, invalid[name], development) for name in shown],
        },
        "tables": {"served": None if tables is None else len(tables), "missing": service.missing_tables},
        "reload_errors": _reload_errors(service, development),
    }
    return json_answer(content, 200 if ready and (access != "write" or refuses_writes is None) else 503)


def _invalid(name: str, error: QueryInvalid, development: bool) -> dict[str, Any]:
    """Outside development only where it stands: the database's message may quote the statement."""
    diagnostic = error.diagnostic
    entry: dict[str, Any] = {"name": name}
    if diagnostic is not None:
        entry["at"] = f"{diagnostic.file}:{diagnostic.line}"
    if development:
        entry["message"] = str(error)
        if diagnostic is not None:
            entry["diagnostic"] = describe_diagnostic(diagnostic)
    return entry


def _reload_errors(service: Service, development: bool) -> list[str]:
    """The last reload's errors, empty when it went well."""
    if development:
        return [str(diagnostic) for diagnostic in service.reload_errors]
    noted = read_reload_error(service.snapshot) if service.snapshot is not None else []
    return [*map(place_of, service.reload_errors), *noted]
