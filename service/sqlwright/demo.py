"""The demo: a music shop (Chinook), loaded by sqlwright itself.

`queries/_chinook` has a folder of migrations, which make the tables, and queries like any other: one bulk insert per
table, beside a CSV file for each. A table is filled whole, and only while it is empty, so a start that was cut off
half-way is completed by the next one.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sqlwright.config import Settings
from sqlwright.contract import Contracts
from sqlwright.database import Database
from sqlwright.errors import QueryInvalid, SettingsError
from sqlwright.execute import execute
from sqlwright.migrations import State, look, migrate, resolve
from sqlwright.plan import make_bulk_plan, make_plan
from sqlwright.query import Access
from sqlwright.registry import Registry, load_registry

CHINOOK = "_chinook"
"""Skipped by the loader, as every name that begins with `_`: the shop's API does not offer to load the shop."""

TABLES = (
    "artist",
    "album",
    "genre",
    "media_type",
    "track",
    "playlist",
    "playlist_track",
    "employee",
    "customer",
    "invoice",
    "invoice_line",
)
"""In the order of their foreign keys."""

Progress = Callable[[str, int, int], None]
"""Called with the table being filled, rows written so far, and rows to write in all."""


def demo_queries() -> Path:
    """The folder of the demo's queries: inside an installed package, else at the top of the clone."""
    package = Path(__file__).resolve().parent
    installed = package / "demo_queries"
    return installed if installed.is_dir() else package.parent.parent / "queries"


def copy_demo(folder: Path) -> Path:
    """The demo's queries in `<folder>/queries`, to be edited. What is there already stays as it is."""
    target = folder / "queries"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # Copied beside its place and renamed, so that a copy that was cut off is not taken for the user's own folder.
    with tempfile.TemporaryDirectory(prefix=".queries-", dir=folder) as place:
        copied = shutil.copytree(demo_queries(), Path(place) / "queries", ignore=shutil.ignore_patterns(CHINOOK))
        copied.rename(target)
    return target


async def prepare_demo(settings: Settings, progress: Progress | None = None) -> None:
    """Create and fill the demo's tables, as far as they are not there yet.

    Raises `SettingsError` when the database has other tables of these names, `LoadError` when they were left half-made
    (only where a CREATE TABLE cannot be undone), and every `DatabaseError`.
    """
    async with _opened(settings) as shop:
        counts = await shop.row_counts()
        await shop.create_tables(there_already=counts is not None)
        counts = counts or {}
        rows = {table: read_rows(table) for table in TABLES if not counts.get(table)}
        done, total = 0, sum(map(len, rows.values()))
        for table, items in rows.items():
            if progress is not None:
                progress(table, done, total)
            await shop.fill(table, items)
            done += len(items)
            if progress is not None:
                progress(table, done, total)


def read_rows(table: str) -> list[dict[str, str]]:
    """The rows of a table's CSV file by column name. An empty field is NULL, and left out."""
    path = demo_queries() / CHINOOK / f"{table.title().replace('_', '')}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [{_snake_case(name): text for name, text in row.items() if text} for row in csv.DictReader(file)]


def _snake_case(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).removeprefix("_")


class _Shop:
    """The queries of `_chinook` on one open database."""

    def __init__(self, database: Database, settings: Settings, registry: Registry, contracts: Contracts) -> None:
        self._database = database
        self._settings = settings
        self._registry = registry
        self._contracts = contracts

    async def row_counts(self) -> Mapping[str, int] | None:
        """Rows by table; None where a table is missing."""
        try:
            contract = await self._contracts.get(self._registry["row_counts"])
        except QueryInvalid:
            return None
        result = await execute(self._database, make_plan(contract, contract.validator.from_strings([]), paged=False))
        return {row["table_name"]: row["row_count"] for row in json.loads(b"[%b]" % result.json)}

    async def create_tables(self, *, there_already: bool) -> None:
        database, settings, folder = self._database, self._settings, demo_queries() / CHINOOK / "_migrations"
        try:
            first = (await look(database, settings, folder))[0]
            if first.state is State.PENDING and there_already:  # since before there was a history
                await resolve(database, settings, folder, first.number, "applied")
            elif first.state is State.PENDING and await self._are_taken():
                raise _taken()  # looked at first: not every database can undo a CREATE TABLE
            await migrate(database, settings, folder)
        except QueryInvalid as error:
            raise _taken() from error

    async def _are_taken(self) -> bool:
        async with self._database.lease(Access.READ) as lease:
            found = await self._database.engine.reflect(lease, TABLES)
        return bool(found.tables)

    async def fill(self, table: str, rows: list[dict[str, str]]) -> None:
        contract = await self._contracts.get(self._registry[f"load_{table}"])
        items = [contract.validator.from_strings(list(row.items())).values for row in rows]
        await execute(self._database, make_bulk_plan(contract, items))


def _taken() -> SettingsError:
    return SettingsError(
        "database_url: the demo's tables cannot be created there",
        hint="the demo wants a database of its own, without other tables named " + ", ".join(TABLES),
    )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[_Shop]:
    # Only where it is written: a replica may not have the tables yet.
    database = Database(settings.model_copy(update={"read_urls": ()}))
    registry, _ = load_registry(demo_queries() / CHINOOK, database.engine.dialect)
    await database.open()
    try:
        yield _Shop(database, settings, registry, Contracts(database, settings))
    finally:
        await database.close()
