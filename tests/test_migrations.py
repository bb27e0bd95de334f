"""`migrate` on every engine: order, once each, history, locks, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sqlwright.config import Settings
from sqlwright.database import Database
from sqlwright.errors import LoadError, LockTimeout, QueryInvalid, SettingsError
from sqlwright.migrations import State, initialise, look, migrate, read_migrations, resolve
from sqlwright.migrations.bookkeeping import Bookkeeping
from sqlwright.query import Access
from sqlwright.sql.dialect import DIALECTS

TABLE = "CREATE TABLE item (item_id integer PRIMARY KEY, name varchar(40) NOT NULL);\n"


class Shop:
    """A database and its folder of migrations."""

    def __init__(self, database: Database, settings: Settings, folder: Path) -> None:
        self.database = database
        self.settings = settings
        self.folder = folder

    @property
    def dialect(self) -> str:
        return self.database.engine.dialect.name

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8", newline="")

    async def migrate(self, **options: Any) -> list[str]:
        return [m.name for m in await migrate(self.database, self.settings, self.folder, **options)]

    async def resolve(self, number: int, verdict: Any) -> None:
        await resolve(self.database, self.settings, self.folder, number, verdict)

    async def states(self) -> dict[str, str]:
        return {e.name: e.state.value for e in await look(self.database, self.settings, self.folder)}

    async def names(self) -> list[str]:
        """What stands in the table `item`."""
        async with self.database.lease(Access.READ) as lease:
            rows = await lease.fetch_all(_text("SELECT name FROM item ORDER BY item_id"))
        return [row[0] for row in rows]

    async def assert_whole(self) -> None:
        for _ in range(400):
            pools = [status for group in self.database.status().values() for status in group]
            if all(p.size == p.idle and not p.waiting and not p.mending for p in pools):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.database.status())


def _text(sql: str) -> Any:
    from sqlalchemy import text

    return text(sql)


OpenShop = Callable[[], Awaitable[Shop]]


@pytest.fixture
async def open_shop(database_url: str, tmp_path: Path) -> AsyncIterator[OpenShop]:
    """`await open_shop()`: pools of their own over the same database and folder, as another process would have."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    opened: list[Database] = []

    async def open_one() -> Shop:
        settings = Settings(database_url=database_url, lock_timeout_seconds=0.2)
        database = Database(settings)
        opened.append(database)
        await database.open()
        return Shop(database, settings, folder)

    yield open_one
    for database in opened:
        await database.close()


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    return await open_shop()


def add(number: int, name: str) -> str:
    return f"INSERT INTO item (item_id, name) VALUES ({number}, '{name}');\n"


# --- order ------------------------------------------------------------------------------------------------------


async def test_each_file_once_in_the_order_of_the_numbers(shop: Shop) -> None:
    shop.write({"10_ten.sql": add(10, "ten"), "001_table.sql": TABLE, "2-two.sql": add(2, "two")})
    assert await shop.migrate() == ["001_table", "2-two", "10_ten"]
    assert await shop.migrate() == []
    shop.write({"0011.sql": add(11, "eleven")})
    assert await shop.migrate() == ["0011"]
    assert await shop.names() == ["two", "ten", "eleven"]
    await shop.assert_whole()


async def test_numbers_may_be_times(shop: Shop) -> None:
    shop.write({"20260101120000_table.sql": TABLE, "20260101120001_add.sql": add(1, "x")})
    assert len(await shop.migrate()) == 2
    assert await shop.migrate() == []


async def test_a_file_of_a_merged_branch_runs_later(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "3_three.sql": add(3, "three")})
    await shop.migrate()
    shop.write({"2_two.sql": add(2, "two")})
    assert await shop.migrate() == ["2_two"]


async def test_the_file_for_this_dialect_wins(shop: Shop) -> None:
    others = [name for name in DIALECTS if name != shop.dialect]
    shop.write({"1_table.sql": TABLE, "2_add.sql": add(1, "any"), f"2_add.{shop.dialect}.sql": add(1, "exact")})
    shop.write({f"2_add.{name}.sql": "this is not for us" for name in others})
    shop.write({f"3_other.{others[0]}.sql": "nor is this"})
    assert await shop.migrate() == ["1_table", "2_add"]
    assert await shop.names() == ["exact"]


async def test_text_is_sent_as_it_is(shop: Shop) -> None:
    shop.write(
        {
            "1_table.sql": "-- A comment; with a semicolon\n"
            "CREATE TABLE item ( -- name: this is no query\n"
            "-- name: nor this\n"
            "item_id integer PRIMARY KEY, /* ; */ name varchar(40) NOT NULL);;\n",
            "2_add.sql": "INSERT INTO item VALUES (1, 'a :b; %s \\:c');\nINSERT INTO item VALUES (2, 'it''s')",
        }
    )
    await shop.migrate()
    first, second = await shop.names()
    assert first.replace("\\:", ":") == "a :b; %s :c"  # a backslash means something in MariaDB's strings
    assert second == "it's"


# --- what is wrong with the files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "code", "place"),
    [
        ({"2_a.sql": "SELECT 1;", "002_b.sql": "SELECT 1;"}, "duplicate_number", (1, 1)),
        ({"first.sql": "SELECT 1;"}, "file_name", (1, 1)),
        ({"2_a.oracle.sql": "SELECT 1;"}, "file_name", (1, 1)),
        ({"2_a.sql": "-- nothing\n"}, "empty", (1, 1)),
        ({"2_a.sql": "SELECT 1;\nSELECT 'open;\n"}, "unterminated", (2, 8)),
        ({"2_a.sql": "INSERT INTO item VALUES (1, 'x');\n  COMMIT;\n"}, "transaction", (2, 3)),
        ({"2_a.sql": "-- @no_transactions\nSELECT 1;\n"}, "directive", (1, 1)),
        ({"2_a.sql": "DELIMITER //\nSELECT 1 //\n"}, "delimiter", (1, 1)),
    ],
)
async def test_a_wrong_file_stops_everything(
    shop: Shop, files: dict[str, str], code: str, place: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    shop.write({"1_table.sql": TABLE, **files})
    if code == "transaction" and DIALECTS[shop.dialect].undoable is not None:
        shop.write({"2_a.sql": "-- @no_transaction\nSELECT 'x"})
        code, place = "unterminated", (2, 8)
    with pytest.raises(LoadError) as raised:
        await shop.migrate()
    found = raised.value.diagnostics
    assert [(d.code, d.line, d.column) for d in found] == [(code, *place)]
    async with shop.database.lease(Access.READ) as lease:
        assert not await Bookkeeping(shop.database.engine, lease, shop.settings).is_initialised()


async def test_all_that_is_wrong_is_told_at_once(shop: Shop) -> None:
    shop.write({"x.sql": "SELECT 1", "1_a.sql": "SELECT 'x", "3_b.sql": "SELECT 1", "03_c.sql": "SELECT 1"})
    with pytest.raises(LoadError) as raised:
        await shop.migrate()
    assert {d.code for d in raised.value.diagnostics} == {"file_name", "unterminated", "duplicate_number"}


async def test_names_with_an_underscore_are_skipped_and_other_files_are_none(shop: Shop) -> None:
    shop.write({"_draft.sql": "nothing", "README.md": "nothing", ".2_x.sql": "nothing", "1_table.sql": TABLE})
    assert await shop.migrate() == ["1_table"]


async def test_no_folder(shop: Shop) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        read_migrations(Path("nowhere"), shop.database.engine.dialect)


# --- the history ------------------------------------------------------------------------------------------------


async def test_an_applied_file_must_not_change(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "2_add.sql": add(1, "x")})
    await shop.migrate()
    shop.write({"2_add.sql": add(1, "y"), "3_more.sql": add(3, "z")})
    with pytest.raises(LoadError) as raised:
        await shop.migrate()
    assert [(Path(d.file).name, d.code) for d in raised.value.diagnostics] == [("2_add.sql", "changed")]
    assert await shop.names() == ["x"]
    assert (await shop.states())["2_add"] == State.CHANGED


async def test_another_file_of_the_same_number_is_told_as_such(shop: Shop) -> None:
    shop.write({"001_item.sql": TABLE})
    await shop.migrate()
    (shop.folder / "001_item.sql").rename(shop.folder / "001_other.sql")
    shop.write({"001_other.sql": "CREATE TABLE other (id integer PRIMARY KEY);\n"})
    with pytest.raises(LoadError, match=r"number 1 was applied at .* as 001_item"):
        await shop.migrate()


async def test_line_ends_are_no_change(shop: Shop) -> None:
    text = TABLE + add(1, "x")
    shop.write({"1_table.sql": text})
    await shop.migrate()
    for other in (text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text):
        shop.write({"1_table.sql": other})
        assert await shop.migrate() == []


async def test_a_file_that_is_gone_is_told_and_stops_nothing(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "2_add.sql": add(1, "x")})
    await shop.migrate()
    (shop.folder / "2_add.sql").unlink()
    shop.write({"3_more.sql": add(3, "z")})
    assert await shop.migrate() == ["3_more"]
    assert (await shop.states())["2_add"] == State.MISSING


async def test_an_older_database_is_taken_over(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "2_add.sql": add(1, "x")})
    await shop.migrate()
    await shop.resolve(1, "undone")
    assert await shop.states() == {"1_table": "pending", "2_add": "applied"}
    await shop.resolve(1, "applied")
    assert await shop.migrate() == []
    with pytest.raises(SettingsError, match="9"):
        await shop.resolve(9, "applied")


async def test_initialise_is_idempotent(open_shop: OpenShop) -> None:
    shops = [await open_shop() for _ in range(3)]
    made = await asyncio.gather(*(initialise(shop.database, shop.settings) for shop in shops))
    assert any(made)
    assert await initialise(shops[0].database, shops[0].settings) is False


# --- failures ---------------------------------------------------------------------------------------------------


async def test_the_first_failure_stops_and_is_undone(shop: Shop) -> None:
    bad = add(2, "two") + "\n  INSERT INTO itm (item_id) VALUES (3);\n"
    shop.write({"1_table.sql": TABLE, "2_one.sql": add(1, "one"), "3_bad.sql": bad, "4_late.sql": add(4, "late")})
    with pytest.raises(QueryInvalid) as raised:
        await shop.migrate()
    diagnostic = raised.value.diagnostic
    assert diagnostic is not None
    assert Path(diagnostic.file).name == "3_bad.sql"
    assert diagnostic.line == 3
    assert "itm" in diagnostic.message
    assert "nothing of this file is applied" in diagnostic.hint
    assert await shop.names() == ["one"]
    assert list((await shop.states()).values()) == ["applied", "applied", "pending", "pending"]
    await shop.assert_whole()
    shop.write({"3_bad.sql": add(2, "two")})
    assert await shop.migrate() == ["3_bad", "4_late"]


async def test_a_value_that_is_refused_points_at_its_statement(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "2_twice.sql": add(1, "a") + add(1, "b")})
    with pytest.raises(QueryInvalid) as raised:
        await shop.migrate()
    assert raised.value.diagnostic is not None
    assert (raised.value.diagnostic.line, raised.value.diagnostic.column) == (2, 1)
    assert raised.value.diagnostic.code == "unique_violation"
    assert await shop.names() == []


async def test_outside_of_a_transaction_what_is_done_stays_and_nobody_goes_on(shop: Shop) -> None:
    text = "-- @no_transaction\n" + add(1, "one") + "INSERT INTO itm VALUES (1);\n" + add(2, "two")
    shop.write({"1_table.sql": TABLE, "2_steps.sql": text, "3_late.sql": add(3, "late")})
    with pytest.raises(QueryInvalid, match="2_steps") as raised:
        await shop.migrate()
    assert raised.value.diagnostic is not None
    assert raised.value.diagnostic.line == 3
    assert "1 of the 3 statements" in raised.value.diagnostic.hint
    assert await shop.names() == ["one"]
    for _ in range(2):
        with pytest.raises(LoadError) as refused:
            await shop.migrate()
        (found,) = refused.value.diagnostics
        assert (found.code, found.line) == ("unfinished", 3)
        assert "--mark-applied 2" in found.hint
    assert (await shop.states())["2_steps"] == State.UNFINISHED
    await shop.resolve(2, "applied")
    assert await shop.migrate() == ["3_late"]
    assert await shop.names() == ["one", "late"]


async def test_what_was_undone_by_hand_runs_again(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "2_steps.sql": "-- @no-transaction\n" + "INSERT INTO itm VALUES (1);\n"})
    with pytest.raises(QueryInvalid):
        await shop.migrate()
    await shop.resolve(2, "undone")
    shop.write({"2_steps.sql": "-- @no_transaction\n" + add(1, "one")})
    assert await shop.migrate() == ["2_steps"]


async def test_a_file_may_begin_and_end_transactions_itself(shop: Shop) -> None:
    text = (
        "-- @no_transaction\nBEGIN;\n" + add(1, "a") + "ROLLBACK;\nBEGIN;\n" + add(2, "b") + "COMMIT;\n" + add(3, "c")
    )
    shop.write({"1_table.sql": TABLE, "2_own.sql": text})
    await shop.migrate()
    assert await shop.names() == ["b", "c"]


async def test_stopped_anywhere_it_is_completed_by_the_next_run(shop: Shop) -> None:
    """Cancelled after every number of turns of the loop; what was begun is undone, and nothing runs twice."""
    shop.write({"1_table.sql": TABLE})
    await shop.migrate()
    for number in range(2, 42):
        shop.write({f"{number}_add.sql": add(number, "a") + f"UPDATE item SET name = 'b' WHERE item_id = {number};"})
        task = asyncio.create_task(shop.migrate())
        for _ in range(3 * number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await shop.assert_whole()
        await shop.migrate()
        assert await shop.names() == ["b"] * (number - 1)


# --- other runners ----------------------------------------------------------------------------------------------


async def test_runners_that_meet_run_each_file_once(open_shop: OpenShop) -> None:
    shops = [await open_shop() for _ in range(3)]
    shops[0].write({"1_table.sql": TABLE, **{f"{n}_add.sql": add(n, f"n{n}") for n in range(2, 12)}})
    ran = await asyncio.gather(*(shop.migrate() for shop in shops))
    assert sorted(name for names in ran for name in names) == sorted(await shops[0].states())
    assert await shops[0].names() == [f"n{n}" for n in range(2, 12)]


async def test_a_runner_waits_so_long_and_says_why(open_shop: OpenShop) -> None:
    first, second = await open_shop(), await open_shop()
    first.write({"1_table.sql": TABLE})
    await first.migrate()
    first.write({"2_add.sql": add(1, "x")})
    engine = first.database.engine
    async with first.database.lease(Access.SCRIPT) as lease:
        assert await Bookkeeping(engine, lease, first.settings).lock()
        await engine.begin(lease, isolation=None, read_only=False, timeout_seconds=5)
        with pytest.raises(LockTimeout, match="another `sqlwright migrate`"):
            await second.migrate(wait_seconds=0.3)
        await engine.rollback(lease, timeout_seconds=5)
    await first.assert_whole()
    assert await second.migrate() == ["2_add"]


async def test_progress(shop: Shop) -> None:
    shop.write({"1_table.sql": TABLE, "2_add.sql": add(1, "x")})
    seen: list[tuple[str, int, int]] = []
    await shop.migrate(progress=lambda *step: seen.append(step))
    assert seen == [("1_table", 0, 2), ("2_add", 1, 2)]
