"""Create what sqlwright itself keeps in the database: the history of `sqlwright migrate`. Nothing of yours is touched.

On PostgreSQL that is the schema `sqlwright`, elsewhere tables named `sqlwright_…`. What is there already stays.
"""

from __future__ import annotations

import argparse
import asyncio

from sqlwright.cli import options, output, session
from sqlwright.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    parser.add_argument("--json", action="store_true", help="for programs: {ok, created}")


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    options.dialect_of(settings)
    created = asyncio.run(_initialise(settings.model_copy(update={"read_urls": ()})))
    if arguments.json:
        output.json_result({"ok": True, "created": created})
    else:
        print("created what sqlwright keeps in this database" if created else "nothing to do: all is there")
    return 0


async def _initialise(settings: Settings) -> bool:
    from sqlwright.migrations import initialise

    async with session.open_database(settings) as (database, _):
        return await initialise(database, settings)
