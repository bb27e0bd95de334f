"""What `serve` hands its workers: the compiled queries, in a private folder.

The parent compiles once and the workers load only this, so that all of them serve the same, whatever is being edited
meanwhile. Beside it the parent leaves a note when a reload failed, for /readyz.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from sqlwright.diagnostic import Diagnostic
from sqlwright.registry import Registry

_QUERIES = "queries"
_RELOAD_ERROR = "reload-error.json"
_STATISTICS = "statistics"


def write_queries(folder: Path, registry: Registry) -> None:
    """Takes the place of the old one in one step: a worker that starts meanwhile reads the one or the other."""
    registry.dump(folder / _QUERIES)


def read_queries(folder: Path) -> Registry:
    return Registry.read(folder / _QUERIES)


def write_reload_error(folder: Path, places: Sequence[str]) -> None:
    """What /readyz shows of a failed reload; nothing takes the note away."""
    path = folder / _RELOAD_ERROR
    if places:
        _replace(path, json.dumps(list(places)).encode("utf-8"))
    else:
        path.unlink(missing_ok=True)


def read_reload_error(folder: Path) -> list[str]:
    try:
        found = json.loads((folder / _RELOAD_ERROR).read_bytes())
    except (OSError, ValueError):
        return []
    return [str(place) for place in found] if isinstance(found, list) else []


def statistics_folder(folder: Path) -> Path:
    """Where every worker counts its calls."""
    return folder / _STATISTICS


def place_of(diagnostic: Diagnostic) -> str:
    """Where and what kind, without quoting the file."""
    return f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}: {diagnostic.code}"


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
