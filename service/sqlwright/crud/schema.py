"""Which tables there are: reflected when first asked for, again after a while, and when something hints at a change."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable, Collection, Mapping

from sqlwright.crud.table import Table
from sqlwright.database import Database
from sqlwright.errors import UnknownTable
from sqlwright.parameters.refusal import clipped

REFLECTED_SECONDS = 60.0
"""After this the schema is looked at again, beside the calls."""
AGAIN_SECONDS = 1.0
"""Within this it is not looked at again, whatever is doubted,"""
AGAIN_SHARE = 20.0
"""nor within this many times what looking took: a schema of many tables takes long."""


class Schema:
    """The allowed tables of a database. `changed` is told the names of those that are no longer as they were."""

    def __init__(self, database: Database, allowed: Collection[str], changed: Callable[[set[str]], None]) -> None:
        self._database = database
        self._names = None if "*" in allowed else frozenset(allowed)
        self._listed = [name for name in dict.fromkeys(allowed) if name != "*"]
        self._changed = changed
        self._tables: Mapping[str, Table] | None = None
        self._reflected_at = 0.0
        self._took_seconds = 0.0
        self._is_doubted = False
        self._reflecting: asyncio.Task[Mapping[str, Table]] | None = None

    async def tables(self) -> Mapping[str, Table]:
        """Raises what a lease raises when the database is away and nothing is known yet."""
        if self._names is not None and not self._names:
            return {}
        if self._tables is None:
            return await self._reflect()
        if time.monotonic() - self._reflected_at > REFLECTED_SECONDS:
            self._begin()  # who calls meanwhile takes what was known
        elif self._is_doubted and self._may_look():
            return await self._reflect()
        return self._tables

    async def table(self, name: str) -> Table:
        """Raises `UnknownTable`."""
        tables = await self.tables()
        if name not in tables and (self._names is None or name in self._names) and self._may_look():
            tables = await self._reflect()  # it may be new
        if name not in tables:
            raise UnknownTable(clipped(name), difflib.get_close_matches(clipped(name), tables, n=3))
        return tables[name]

    async def fresh(self, table: Table) -> Table | None:
        """The table as it is now, if it is another than `table`. Looks again, unless that was done a moment ago."""
        if self._may_look():
            await self._reflect()
        found = (self._tables or {}).get(table.name)
        return found if found is not table else None

    async def missing(self) -> list[str]:
        """Names that are listed and do not exist."""
        tables = await self.tables()
        return [name for name in self._listed if name not in tables]

    def doubt(self) -> None:
        """The next call looks again."""
        self._is_doubted = True

    def _may_look(self) -> bool:
        wait = max(AGAIN_SECONDS, AGAIN_SHARE * self._took_seconds)
        return time.monotonic() - self._reflected_at > wait

    async def _reflect(self) -> Mapping[str, Table]:
        # Shielded: many calls may wait for it, and one that leaves must not take it from the others.
        return await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[Mapping[str, Table]]:
        if self._reflecting is None:
            self._reflecting = asyncio.get_running_loop().create_task(self._look())
            self._reflecting.add_done_callback(self._ended)
        return self._reflecting

    def _ended(self, task: asyncio.Task[Mapping[str, Table]]) -> None:
        self._reflecting = None
        if not task.cancelled():
            task.exception()  # seen, also when every caller has left meanwhile

    async def _look(self) -> Mapping[str, Table]:
        from sqlwright.crud.reflected import tables_of  # noqa: PLC0415 - SQLAlchemy, for those who serve tables

        begun = time.monotonic()
        async with self._database.describing() as lease:
            metadata = await self._database.engine.reflect(lease, self._names)
        found = tables_of(metadata, self._database.engine.dialect)
        known = self._tables or {}
        # What is as it was stays the same object: its statements hold.
        tables = {name: known[name] if known.get(name) == table else table for name, table in found.items()}
        self._tables = tables
        self._reflected_at = time.monotonic()
        self._took_seconds = self._reflected_at - begun
        self._is_doubted = False
        self._changed({name for name, table in known.items() if tables.get(name) is not table})
        return tables
