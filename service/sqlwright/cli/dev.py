"""Serve while you write: a saved file is served at once, and messages are full.

A wrong file takes nothing else down: its last good version is served on, and what is wrong is printed.
"""

from __future__ import annotations

import argparse
import sys

from sqlwright.cli import options, output
from sqlwright.config import Settings
from sqlwright.registry import Registry, reload

FIXED = {"reload": True, "workers": 1}
"""One process watches the files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    options.add_settings(parser, without=tuple(FIXED))


def run(arguments: argparse.Namespace) -> int:
    return serve_with_reload(options.settings_of(arguments, **FIXED))


def serve_with_reload(settings: Settings) -> int:
    dialect = options.dialect_of(settings)
    options.check_folder(settings)
    loaded = reload(Registry(), settings.queries, dialect)
    output.diagnostics(loaded.diagnostics, sys.stderr)
    from sqlwright.http.server import serve

    return serve(settings, loaded.registry)
