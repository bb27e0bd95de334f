"""Saving, breaking, mending, renaming and deleting query files while they are watched."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Query
from sqlwright.registry import Registry, Reload, load_registry
from sqlwright.reload import call_of, watch
from sqlwright.sql.dialect import SQLITE

PATIENCE_SECONDS = 20.0


class Service:
    """Stands where the server does: holds the registry, and keeps what was printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = Registry()
        self.reloads: list[Reload] = []
        self.printed: list[str] = []

    def swap(self, reload: Reload) -> None:
        self.registry = reload.registry
        self.reloads.append(reload)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, as editors do it.
        aside = path.with_name(path.name + "~")
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in files and threads
                await asyncio.sleep(0.02)

    async def until_printed(self, text: str) -> None:
        try:
            await self.until(lambda: any(text in line for line in self.printed))
        except TimeoutError:
            raise AssertionError(f"{text!r} was not printed: {self.printed}") from None

    def sql(self, name: str) -> str:
        return self.registry[name].source.text


@asynccontextmanager
async def watched(
    service: Service, refusal: Callable[[Query], Awaitable[Diagnostic | None]] | None = None
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        watch(
            service.folder, SQLITE, lambda: service.registry, service.swap, stop,
            printer=service.printed.append, base_url="http://h:1", refusal=refusal,
        )
    )  # fmt: skip
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task


@pytest.fixture
def service(tmp_path: Path) -> Service:
    folder = tmp_path / "queries"
    folder.mkdir()
    service = Service(folder)
    service.write("first.sql", "SELECT 1;")
    service.registry, _ = load_registry(folder, SQLITE)
    return service


async def test_added_changed_and_removed_with_the_url_to_call(service: Service) -> None:
    async with watched(service):
        service.write("a/b.sql", "SELECT :x;")
        await service.until_printed("added a.b  GET http://h:1/queries/a/b?x=")
        service.write("a/b.sql", "SELECT 2;")
        await service.until_printed("changed a.b  GET http://h:1/queries/a/b")
        shutil.rmtree(service.folder / "a")
        await service.until_printed("removed a.b")
    assert [query.name for query in service.registry] == ["first"]


async def test_a_wrong_file_keeps_its_last_good_version_and_stops_nothing(service: Service) -> None:
    async with watched(service):
        service.write("first.sql", "SELECT 'open")
        await service.until_printed("first.sql:1:8: error: ")
        await service.until_printed("kept the last good version of first")
        assert service.sql("first") == "SELECT 1;"
        service.write("other.sql", "SELECT 3;")
        await service.until_printed("added other")
        service.write("first.sql", "SELECT 4;")
        await service.until_printed("all files are right again")
    assert service.sql("first") == "SELECT 4;"
    assert len([line for line in service.printed if "error: " in line]) == 1, "told once"
    assert service.reloads[0].diagnostics
    assert not service.reloads[-1].diagnostics


async def test_what_was_saved_before_the_watch_stood_is_seen(service: Service) -> None:
    service.write("early.sql", "SELECT 1;")
    async with watched(service):
        await service.until_printed("added early")


async def test_many_files_at_once_are_few_reloads(service: Service) -> None:
    async with watched(service):
        for number in range(200):
            service.write(f"many/q{number}.sql", f"SELECT {number};")
        await service.until(lambda: len(service.registry) == 201)
    assert len(service.reloads) < 20


async def test_the_folder_may_go_and_come_back(service: Service) -> None:
    async with watched(service):
        service.write("a.sql", "SELECT 1;")
        await service.until_printed("added a")
        shutil.rmtree(service.folder)
        await service.until_printed("is gone")
        assert "a" in service.registry
        service.write("a.sql", "SELECT 1;")
        service.write("b.sql", "SELECT 2;")
        await service.until_printed("added b")
        service.write("c.sql", "SELECT 3;")
        await service.until_printed("added c")
    assert "first" not in service.registry
    assert len([line for line in service.printed if "is gone" in line]) == 1


async def test_the_folder_may_be_replaced(service: Service, tmp_path: Path) -> None:
    async with watched(service):
        other = tmp_path / "other"
        other.mkdir()
        (other / "a.sql").write_text("SELECT 1;")
        service.folder.rename(tmp_path / "old")
        other.rename(service.folder)
        await service.until_printed("added a")
        service.write("b.sql", "SELECT 2;")
        await service.until_printed("added b")


async def test_other_files_are_nobodys_business(service: Service) -> None:
    async with watched(service):
        (service.folder / "notes.txt").write_text("x")
        (service.folder / "shop.db").write_text("x")
        service.write("a.sql", "SELECT 1;")
        await service.until_printed("added a")
    assert len(service.printed) == 1


async def test_saving_the_same_text_is_silent(service: Service) -> None:
    async with watched(service):
        service.write("first.sql", "SELECT 1;")
        await asyncio.sleep(0.5)
        service.write("a.sql", "SELECT 1;")
        await service.until_printed("added a")
    assert len(service.printed) == 1


async def test_an_error_is_printed_and_the_next_save_is_seen(service: Service) -> None:
    failed = False

    def fail_once(fresh: Reload) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("no room")
        service.swap(fresh)

    stop = asyncio.Event()
    task = asyncio.create_task(
        watch(
            service.folder, SQLITE, lambda: service.registry, fail_once, stop, printer=service.printed.append
        )
    )  # fmt: skip
    service.write("a.sql", "SELECT 1;")
    await service.until_printed("RuntimeError: no room")
    service.write("b.sql", "SELECT 1;")
    await service.until_printed("added b")
    stop.set()
    await task
    assert "a" in service.registry


async def test_what_the_database_refuses_is_told_and_not_taken(service: Service) -> None:
    async def refusal(query: Query) -> Diagnostic | None:
        bad = "missing" in query.source.text
        return query.source.diagnostic("query_invalid", query.offset, "no such table: missing") if bad else None

    async with watched(service, refusal):
        service.write("first.sql", "SELECT 1 FROM missing;")
        await service.until_printed("no such table: missing")
        await service.until_printed("kept the last good version of first")
        assert service.sql("first") == "SELECT 1;"
        service.write("a.sql", "SELECT 1;")
        await service.until_printed("added a")
        assert "all files are right again" not in service.printed
        service.write("first.sql", "SELECT 2;")
        await service.until_printed("all files are right again")
    assert len([line for line in service.printed if "no such table" in line]) == 1


def test_how_to_call(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "-- name: read\n-- @param y int = 1\nSELECT :x, :y;\n-- name: write!\nDELETE FROM t WHERE a = :x;\n"
        "-- name: script#\nCREATE TABLE t (a);"
    )
    registry, _ = load_registry(tmp_path, SQLITE)
    assert call_of(registry["read"], "http://h") == "GET http://h/queries/read?x="
    assert call_of(registry["write"], "http://h") == "POST http://h/queries/write"
    assert call_of(registry["script"], "http://h") == "sqlwright run script"
