"""The demo on every engine: what is loaded, that every query of it runs, and that the engines agree."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

import mariadb_server
from servers import with_database
from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.demo import CHINOOK, TABLES, copy_demo, demo_queries, prepare_demo
from sqlwright.errors import CheckViolation, ForeignKeyViolation, QueryInvalid, SettingsError, UniqueViolation
from sqlwright.migrations import migrate, resolve
from sqlwright.query import Access
from sqlwright.registry import load_registry
from sqlwright.sql.dialect import DIALECTS

ENGINES = ("sqlite", "postgresql", "mysql")
CASES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "cases" / "demo.json").read_text(encoding="utf-8"), parse_float=Decimal
)
ROWS = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in TABLES)
OpenBench = Callable[..., Awaitable[Any]]
_numbers = itertools.count(1)


def case_name(case: dict[str, Any]) -> str:
    return f"{case['query']}{json.dumps(case['parameters'], default=str)}"[:60]


def rows_in_files() -> dict[str, int]:
    files = (demo_queries() / CHINOOK).glob("*.csv")
    counts = {file.stem.lower(): file.read_text(encoding="utf-8").count("\n") - 1 for file in files}
    return {table: counts.pop(table.replace("_", "")) for table in TABLES} | counts


async def execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def create_database(server: str, name: str, template: str = "template1") -> str:
    asyncio.run(execute(server, f"CREATE DATABASE {name} TEMPLATE {template}"))
    return urlunsplit(urlsplit(server)._replace(path="/" + name))


async def create_tables(url: str) -> None:
    settings = Settings(database_url=url)
    database = Database(settings)
    await database.open()
    try:
        await migrate(database, settings, demo_queries() / CHINOOK / "_migrations")
    finally:
        await database.close()


@pytest.fixture(scope="module")
def shops(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: str, mysql_server: str
) -> Iterator[dict[str, str]]:
    """URL of a filled demo per engine, for reading only."""
    name = f"demo_{os.getpid()}"
    urls = {
        "sqlite": f"sqlite:///{tmp_path_factory.mktemp('demo') / 'chinook.db'}",
        "postgresql": create_database(postgresql_server, name),
        "mysql": with_database(mysql_server, name),
    }
    mariadb_server.execute(mysql_server, f"CREATE DATABASE {name}")
    for url in urls.values():
        asyncio.run(prepare_demo(Settings(database_url=url)))
    yield urls
    asyncio.run(execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)"))
    mariadb_server.execute(mysql_server, f"DROP DATABASE {name}")


@pytest.fixture(params=ENGINES)
def shop(request: pytest.FixtureRequest, shops: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A filled demo of the test's own: a copy."""
    url = shops[request.param]
    if request.param == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as source:
            source.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])
        yield f"sqlite:///{tmp_path / 'copy.db'}"
        return
    server = request.getfixturevalue(f"{request.param}_server")
    template = urlsplit(url).path[1:]
    name = f"{template}_copy_{next(_numbers)}"
    if request.param == "mysql":
        mariadb_server.execute(server, f"CREATE DATABASE {name}")
        asyncio.run(create_tables(with_database(server, name)))
        for table in TABLES:
            mariadb_server.execute(server, f"INSERT INTO {name}.{table} SELECT * FROM {template}.{table}")
        yield with_database(server, name)
        mariadb_server.execute(server, f"DROP DATABASE {name}")
        return
    yield create_database(server, name, template)
    asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def open_shop(open_bench: OpenBench) -> OpenBench:
    """`await open_shop(url)`: the demo's queries over a database."""

    async def open_one(url: str) -> Any:
        bench = await open_bench(url)
        bench.folder = demo_queries()
        bench.load()
        return bench

    return open_one


async def rows_in_tables(open_bench: OpenBench, url: str) -> dict[str, int]:
    bench = await open_bench(url, {"rows.sql": f"-- name: rows :one\n{ROWS};"})
    counts: dict[str, int] = await bench.call("rows")
    return counts


# --- loading ----------------------------------------------------------------------------------------------------


async def test_every_table_has_the_rows_of_its_file(database_url: str, open_bench: OpenBench) -> None:
    seen: list[tuple[str, int, int]] = []
    await prepare_demo(Settings(database_url=database_url), lambda *step: seen.append(step))
    expected = rows_in_files()
    assert await rows_in_tables(open_bench, database_url) == expected
    total = sum(expected.values())
    assert seen[0] == ("artist", 0, total)
    assert seen[-1] == ("invoice_line", total, total)


async def test_an_empty_field_is_null(shop: str, open_bench: OpenBench) -> None:
    composers = "SELECT count(*) AS missing, count(composer) AS named, max(length(composer)) AS longest FROM track"
    bench = await open_bench(
        shop,
        {
            "composers.sql": f"-- :result :one\n{composers} WHERE composer IS NULL OR composer <> ''",
            "nothing.sql": "-- :result :value\nSELECT count(*) FROM track WHERE composer = ''",
            "boss.sql": "-- :result :value\nSELECT last_name FROM employee WHERE reports_to IS NULL",
        },
    )
    assert await bench.call("composers") == {"missing": 3503, "named": 3503 - 977, "longest": 188}
    assert await bench.call("nothing") == {"value": 0}
    assert await bench.call("boss") == {"value": "Adams"}


async def test_preparing_again_changes_nothing(shop: str, open_shop: OpenBench, open_bench: OpenBench) -> None:
    bench = await open_shop(shop)
    await bench.call("artists.rename", {"artist_id": 1, "name": "mine"})
    await bench.call("playlists.remove_track", {"playlist_id": 17, "track_id": 1})
    before = await rows_in_tables(open_bench, shop)
    seen: list[tuple[str, int, int]] = []
    await prepare_demo(Settings(database_url=shop), lambda *step: seen.append(step))
    assert seen == []
    assert await rows_in_tables(open_bench, shop) == before
    assert (await bench.call("artists.get", {"artist_id": 1}))["name"] == "mine"


@pytest.mark.parametrize("last_table", ["artist", "track", "invoice_line"])
async def test_a_load_that_was_cut_off_is_completed(database_url: str, last_table: str, open_bench: OpenBench) -> None:
    def stop(table: str, done: int, total: int) -> None:
        if table == last_table:
            raise KeyError(table)

    with pytest.raises(KeyError, match=last_table):
        await prepare_demo(Settings(database_url=database_url), stop)
    assert (await rows_in_tables(open_bench, database_url))[last_table] == 0
    await prepare_demo(Settings(database_url=database_url))
    assert await rows_in_tables(open_bench, database_url) == rows_in_files()


async def test_a_shop_from_before_there_was_a_history(shop: str, open_shop: OpenBench, open_bench: OpenBench) -> None:
    settings = Settings(database_url=shop)
    database = Database(settings)
    await database.open()
    await resolve(database, settings, demo_queries() / CHINOOK / "_migrations", 1, "undone")
    await database.close()
    await prepare_demo(settings)
    assert await rows_in_tables(open_bench, shop) == rows_in_files()


async def test_tables_of_somebody_else_stay_as_they_are(database_url: str, open_bench: OpenBench) -> None:
    bench = await open_bench(
        database_url,
        {
            "make.sql": "-- :result :script\nCREATE TABLE genre (label text);",
            "add.sql": "-- :result :exec\nINSERT INTO genre (label) VALUES ('mine')",
            "count.sql": "-- :result :value\nSELECT count(*) FROM genre",
            "artists.sql": "SELECT name FROM artist",
        },
    )
    await bench.call("make")
    await bench.call("add")
    with pytest.raises(SettingsError, match="cannot be created") as raised:
        await prepare_demo(Settings(database_url=database_url))
    assert "invoice_line" in raised.value.hint
    assert await bench.call("count") == {"value": 1}
    with pytest.raises(QueryInvalid):
        await bench.call("artists")


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("album", "title, artist_id", "'x', 1"),
        ("media_type", "name", "'x'"),
        ("employee", "last_name, first_name, email", "'x', 'y', 'x@example.com'"),
        ("playlist", "name", "'x'"),
    ],
)
async def test_a_row_without_a_key_gets_the_next_one(
    shop: str, table: str, columns: str, values: str, open_bench: OpenBench
) -> None:
    insert = f"INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING {table}_id AS new_key;"
    bench = await open_bench(shop, {"add.sql": f"-- :result :returning\n{insert}"})
    assert await bench.call("add") == {"new_key": rows_in_files()[table] + 1}


async def test_the_tables_keep_their_rules(shop: str, open_shop: OpenBench) -> None:
    bench = await open_shop(shop)
    with pytest.raises(UniqueViolation):
        await bench.call("artists.create", {"name": "AC/DC"})
    with pytest.raises(ForeignKeyViolation):
        await bench.call("playlists.add_track", {"playlist_id": 1, "track_id": 99_999})
    with pytest.raises(ForeignKeyViolation):
        await bench.call("playlists.add_tracks", [{"playlist_id": 2, "track_id": t} for t in (1, 99_999)])
    assert (await bench.call("playlists.tracks", {"playlist_id": 2}))["data"] == []


async def test_a_price_below_zero_is_refused(shop: str, open_bench: OpenBench) -> None:
    bench = await open_bench(
        shop, {"p.sql": "-- :result :exec\nUPDATE track SET unit_price = :price WHERE track_id = 1"}
    )
    with pytest.raises(CheckViolation):
        await bench.call("p", {"price": -1})


# --- queries ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_queries_load_without_warnings_and_are_documented(engine: str) -> None:
    registry, warnings = load_registry(demo_queries(), DIALECTS[engine])
    assert list(warnings) == []
    assert len(registry) >= 32
    for query in registry:
        assert query.doc, query.name
        for parameter in query.parameters:
            assert parameter.type, f"{query.name}: {parameter.name}"
            assert parameter.doc, f"{query.name}: {parameter.name}"
    _, warnings = load_registry(demo_queries() / CHINOOK, DIALECTS[engine])
    assert list(warnings) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_every_query_has_a_case(engine: str) -> None:
    registry, _ = load_registry(demo_queries(), DIALECTS[engine])
    reads = {query.name for query in registry if query.access is Access.READ}
    writes = {query.name for query in registry} - reads
    assert {case["query"] for case in CASES["reads"]} == reads
    assert {case["query"] for case in CASES["writes"]} == writes


@pytest.mark.parametrize("case", CASES["reads"], ids=case_name)
async def test_a_read_gives_the_same_on_every_engine(
    case: dict[str, Any], shops: dict[str, str], open_shop: OpenBench
) -> None:
    bodies = {}
    for engine, url in shops.items():
        bench = await open_shop(url)
        bodies[engine] = await bench.call(case["query"], case["parameters"], **unpaged(bench, case))
    body = bodies["sqlite"]
    assert all(other == body for other in bodies.values())
    if "body" in case:
        assert body == case["body"]
    else:
        assert len(body["data"]) == case.get("rows", len(body["data"]))
        assert body["data"][:1] == ([case["first"]] if "first" in case else body["data"][:1])


def unpaged(bench: Any, case: dict[str, Any]) -> dict[str, bool]:
    return {"paged": False} if bench.registry[case["query"]].is_paged else {}


@pytest.mark.parametrize("case", CASES["writes"], ids=case_name)
async def test_a_write_does_what_it_says(case: dict[str, Any], shop: str, open_shop: OpenBench) -> None:
    bench = await open_shop(shop)
    body = await bench.call(case["query"], case["parameters"])
    expected = case.get("body", {})
    assert {key: body[key] for key in expected} == expected


async def test_a_purchase_from_invoice_to_reset(shop: str, open_shop: OpenBench, open_bench: OpenBench) -> None:
    bench = await open_shop(shop)
    customer = await bench.call(
        "customers.create", {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"}
    )
    key = {"invoice_id": (await bench.call("invoices.create", {"customer_id": customer["customer_id"]}))["invoice_id"]}
    await bench.call("invoices.add_line", {**key, "track_id": 1})
    await bench.call("invoices.add_line", {**key, "track_id": 2820, "quantity": 2})
    assert await bench.call("invoices.update_total", key) == {**key, "total": Decimal("4.97")}
    lines = (await bench.call("invoices.lines", key))["data"]
    assert [(line["track_id"], line["quantity"]) for line in lines] == [(1, 1), (2820, 2)]
    newest = (await bench.call("customers.invoices", {"customer_id": customer["customer_id"]}))["data"]
    assert [invoice["total"] for invoice in newest] == [Decimal("4.97")]
    await bench.call("maintenance.reset_purchases")
    assert await rows_in_tables(open_bench, shop) == rows_in_files()


# --- the folder -------------------------------------------------------------------------------------------------


def test_the_licence_of_the_rows_goes_along() -> None:
    licence = (demo_queries() / CHINOOK / "LICENSE.md").read_text(encoding="utf-8")
    assert "Luis Rocha" in licence
    assert "The above copyright notice and this permission notice shall be included" in licence


def test_a_copy_to_edit_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "demo"
    queries = copy_demo(folder)
    assert queries == folder / "queries"
    assert [path.name for path in folder.iterdir()] == ["queries"]
    copied = {path.relative_to(queries).as_posix() for path in queries.rglob("*.sql")}
    ours = {path.relative_to(demo_queries()).as_posix() for path in demo_queries().rglob("*.sql")}
    assert copied == {name for name in ours if not name.startswith(CHINOOK)}
    albums = queries / "artists" / "albums.sql"
    albums.write_text("SELECT 1 AS mine", encoding="utf-8")
    assert copy_demo(folder) == queries
    assert albums.read_text(encoding="utf-8") == "SELECT 1 AS mine"
