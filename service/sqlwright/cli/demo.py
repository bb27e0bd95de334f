"""Try it: a music shop on an embedded SQLite database, served with reload.

Makes the folder sqlwright-demo with the database and a copy of the queries, to be edited. --queries uses other files
where they are, and --database-url another empty database (PostgreSQL too). DATABASE_URL and the settings of your own
project are not used for either.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from sqlwright.address import parse_address
from sqlwright.cli import options, output
from sqlwright.cli.dev import FIXED, serve_with_reload
from sqlwright.cli.progress import progress
from sqlwright.config import Settings
from sqlwright.demo import TABLES, copy_demo, prepare_demo
from sqlwright.errors import SettingsError
from sqlwright.http.listening import open_listeners, reachable_url
from sqlwright.query import Access
from sqlwright.registry import Registry, reload

FOLDER = Path("sqlwright-demo")

TRY = (
    ("artists.search", "?name=queen"),
    ("artists.albums", "?artist_id=1"),
    ("reports.top_artists", ""),
)
"""Queries of the shop, and what to call them with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    options.add_settings(parser, without=tuple(FIXED))
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR", help=f"what the demo makes ({FOLDER})")
    parser.add_argument("--only-prepare", action="store_true", help="fill the database and stop")


def run(arguments: argparse.Namespace) -> int:
    own: dict[str, Any] = {"read_urls": (), "tables": TABLES}
    if arguments.queries is None:
        own["queries"] = copy_demo(arguments.folder)
    if arguments.database_url is None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        own["database_url"] = f"sqlite:///{arguments.folder / 'chinook.db'}"
    settings = options.settings_of(arguments, **own, **FIXED)
    if parse_address(settings.database_url).in_memory:
        raise SettingsError(
            "the demo's database is filled by one process and served by another: it cannot be in memory",
            hint="leave --database-url out, or name a file",
        )
    if arguments.only_prepare:
        asyncio.run(_prepare(settings))
        return 0
    (probe,) = open_listeners(settings)  # a port that is taken is told before anything is filled
    with probe:
        port = probe.getsockname()[1]
    settings = settings.model_copy(update={"port": port})
    asyncio.run(_prepare(settings))
    _say_what_to_try(settings)
    return serve_with_reload(settings)


async def _prepare(settings: Settings) -> None:
    async with progress("filling the music shop") as advance:
        await prepare_demo(settings, advance)


def _say_what_to_try(settings: Settings) -> None:
    loaded = reload(Registry(), settings.queries, options.dialect_of(settings))
    urls = [(name, values) for name, values in TRY if name in loaded.registry]
    if len(urls) < len(TRY):  # other queries than the demo's own
        urls = [
            (q.name, "")
            for q in loaded.registry
            if q.access is Access.READ and not any(p.required for p in q.parameters)
        ]
    base_url = reachable_url(settings.host, settings.port)
    output.note(f"Try these, then change a file in {settings.queries} and call it again:\n")
    for name, values in urls[: len(TRY)]:
        output.note(f"  curl '{base_url}/queries/{name.replace('.', '/')}{values}'")
    output.note("")
