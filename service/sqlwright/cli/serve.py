"""Serve the queries as a JSON API, for production.

Every file must be right. The database may be down: the service starts, says so at /readyz, and asks again. SIGHUP
compiles the files anew and replaces the workers, or keeps the old queries when a file is wrong; SIGTERM finishes what
runs.
"""

from __future__ import annotations

import argparse
import sys

from sqlwright.cli import options, output
from sqlwright.registry import load_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    options.add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    dialect = options.dialect_of(settings)
    options.check_folder(settings)
    registry, warnings = load_registry(settings.queries, dialect)
    output.diagnostics(warnings, sys.stderr)
    from sqlwright.http.server import serve  # after the files: their errors need no web framework

    return serve(settings, registry)
