"""List the queries: their names, what they give, their parameters. Opens no database.

Only the dialect of DATABASE_URL counts. Without one, the files are read in the first dialect in which all of them are
right (PostgreSQL, SQLite, MySQL), and a message says which.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlwright.cli import options, output
from sqlwright.config import Settings
from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Query
from sqlwright.sql.dialect import DIALECTS
from sqlwright.sql.loader import Loaded, load_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    parser.add_argument("--json", action="store_true", help="for programs: a JSON array")


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    options.check_folder(settings)
    loaded = _load(settings)
    queries = sorted(loaded.queries, key=lambda query: query.name)
    if arguments.json:
        output.json_result([_record(query) for query in queries])
    elif queries:
        output.table(("name", "gives", "parameters", "about"), [_row(query) for query in queries])
    else:
        output.message(f"there are no queries in {settings.queries}", hint="a query is a file: queries/hello.sql")
    output.diagnostics(loaded.diagnostics, sys.stderr)
    return 1 if _errors(loaded.diagnostics) else 0


def _load(settings: Settings) -> Loaded:
    if settings.database_url:
        return load_folder(settings.queries, options.dialect_of(settings, opens=False))
    name, loaded = _guess(settings.queries)
    output.note(f"no DATABASE_URL: the files are read as {name}'s")
    return loaded


def _guess(folder: Path) -> tuple[str, Loaded]:
    tried = []
    for name, dialect in DIALECTS.items():
        loaded = load_folder(folder, dialect)
        if not _errors(loaded.diagnostics):
            return name, loaded
        tried.append((name, loaded))
    return tried[0]


def _errors(found: Iterable[Diagnostic]) -> Sequence[Diagnostic]:
    return [diagnostic for diagnostic in found if diagnostic.severity == "error"]


def _record(query: Query) -> dict[str, Any]:
    return {
        "name": query.name,
        "cardinality": query.cardinality.value,
        "access": query.access.value,
        "parameters": [parameter.name for parameter in query.parameters],
        "file": query.file,
        "line": query.line,
    }


def _row(query: Query) -> tuple[str, str, str, str]:
    parameters = ", ".join(p.name if p.required else f"[{p.name}]" for p in query.parameters)
    return query.name, query.cardinality.value, parameters, query.doc.partition("\n")[0]
