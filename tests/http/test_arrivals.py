"""Requests from another thread than the loop's: each is answered once, whatever the two threads do meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import garbage
from record_shop import FILES, SCHEMA, run_script, write_files
from sqlwright.config import Settings
from sqlwright.http.app import Application, make_application, make_service
from sqlwright.http.arrivals import Arrivals
from sqlwright.query import Access


class Watcher:
    """What a server has of one request."""

    def __init__(self, query_string: str, path: str = "/queries/artists/find") -> None:
        self.scope: dict[str, Any] = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": path, "root_path": "",
            "query_string": query_string.encode(), "headers": [(b"host", b"localhost")],
        }  # fmt: skip
        self.proto = self
        self.sent: list[Any] = []
        self.ended = 0
        self.failed: list[BaseException] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def done(self) -> None:
        self.ended += 1

    def err(self, error: BaseException) -> None:
        self.failed.append(error)

    def taskref(self, task: asyncio.Task[None]) -> None:
        self.task = task

    @property
    def body(self) -> bytes:
        assert (self.ended, len(self.sent), self.failed) == (1, 2, [])
        assert self.sent[0]["status"] == 200
        return bytes(self.sent[1]["body"])


def starter(app: Application) -> Callable[[Any], Any]:
    async def start(watcher: Watcher) -> None:
        async def receive() -> Any:
            await asyncio.sleep(3600)

        async def send(message: Any) -> None:
            watcher.send(message)

        try:
            await app(watcher.scope, receive, send)
        except Exception as error:
            watcher.err(error)
        else:
            watcher.done()

    return start


async def opened(
    url: str, folder: Path, *, schema: str = SCHEMA, files: dict[str, str] = FILES, **settings: Any
) -> AsyncIterator[tuple[Application, Arrivals]]:
    if schema:
        await run_script(url, schema)
    queries = write_files(folder / "queries", files)
    service = make_service(Settings(database_url=url, queries=queries, log_calls=False, **settings))
    await service.open()
    try:
        app = make_application(service)
        yield app, Arrivals(asyncio.get_running_loop(), contextvars.copy_context(), starter(app), app.direct)
    finally:
        await service.close()


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Application, Arrivals]]:
    async for both in opened(database_url, tmp_path):
        yield both


def wanted(number: int) -> tuple[str, bytes]:
    known = [(b"AC/DC", 1), (b"Accept", 2), (b"Aerosmith", 3), (b"Alanis", 4)]
    if number % 5 == 4:
        return "name=nobody", b"null"
    name, key = known[number % 5]
    return f"name={name.decode()}", b'{"artist_id":%d,"name":"%b"}' % (key, name)


async def until_ended(watchers: list[Watcher]) -> None:
    async with asyncio.timeout(60):
        while not all(watcher.ended or watcher.failed for watcher in watchers):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


async def test_each_is_answered_once(server: tuple[Application, Arrivals]) -> None:
    app, arrivals = server
    watchers = [Watcher(wanted(number)[0]) for number in range(3000)]

    def bring() -> None:
        chance = random.Random(1)
        here = 0
        while here < len(watchers):
            while sum(1 for watcher in watchers[:here] if not watcher.ended) > 400:  # no more than may wait
                time.sleep(0.001)
            for watcher in watchers[here : here + chance.choice([1, 1, 1, 2, 5, 60])]:
                arrivals.take(watcher)
                here += 1
            time.sleep(chance.choice([0, 0, 0.0005, 0.003]))

    await asyncio.to_thread(bring)
    await until_ended(watchers)
    for number, watcher in enumerate(watchers):
        assert watcher.body == wanted(number)[1]
    calls = app.service.metrics._statistics.totals()
    assert calls.calls["artists.find"].durations.count == 3000
    assert calls.requests == 0


async def test_alone_it_is_answered_by_whoever_brings_it(sqlite_url: str, tmp_path: Path) -> None:
    """Once it is known that nobody else comes, and that the read is short."""
    async for app, arrivals in opened(sqlite_url, tmp_path):
        async with app.service.database.lease(Access.WRITE):
            pass  # the first who writes turns the file's journal into a log, which lets readers be
        at_once = 0
        for number in range(40):
            watcher = Watcher(wanted(number)[0])
            await asyncio.to_thread(arrivals.take, watcher)
            at_once += watcher.ended
            await until_ended([watcher])
            assert watcher.body == wanted(number)[1]
        assert at_once > 20


async def test_what_has_little_time_goes_where_somebody_looks_at_it(postgresql_url: str, tmp_path: Path) -> None:
    """Nothing ends the waiting in a line before the time for a connection is up."""
    async for app, _ in opened(postgresql_url, tmp_path / "little", request_timeout_seconds=1.0):
        scope = Watcher("name=Accept").scope
        for _ in range(3):
            await starter(app)(Watcher("name=Accept"))
        assert app.direct.take(scope, lambda *_: None, None, crowd=True) is False
    async for app, _ in opened(postgresql_url, tmp_path / "usual", schema=""):
        told: list[Any] = []
        for _ in range(3):
            await starter(app)(Watcher("name=Accept"))
        assert app.direct.take(scope, lambda *said: told.append(said), None, crowd=True) is True  # noqa: B023 - awaited here
        while not told:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


async def test_an_answer_that_cannot_be_sent_harms_nobody(server: tuple[Application, Arrivals]) -> None:
    _, arrivals = server
    watchers = [Watcher(wanted(number)[0]) for number in range(200)]

    def broken(message: Any) -> None:
        raise OSError("gone")

    for watcher in watchers[::7]:
        watcher.send = broken  # type: ignore[method-assign]
    await asyncio.to_thread(lambda: [arrivals.take(watcher) for watcher in watchers])
    await until_ended(watchers)
    for number, watcher in enumerate(watchers):
        if number % 7:
            assert watcher.body == wanted(number)[1]
        else:
            assert not watcher.sent


async def test_a_call_whose_time_is_up_is_not_run_again(sqlite_url: str, tmp_path: Path) -> None:
    slow = (
        "-- :result :value\n-- @param n int\n"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n) SELECT count(*) AS n FROM c\n"
    )
    async for app, arrivals in opened(
        sqlite_url, tmp_path, statement_timeout_seconds=0.4, short_reads="thread", files={"slow.sql": slow}
    ):
        path = "/queries/slow"
        for _ in range(2):
            await starter(app)(Watcher("n=2", path))
        engine, runs = app.service.database.engine, 0
        run = engine.run

        async def counted(*arguments: Any, **limits: Any) -> Any:
            nonlocal runs
            runs += 1
            return await run(*arguments, **limits)  # noqa: B023 - there is one

        engine.run = counted  # type: ignore[method-assign]
        watcher = Watcher("n=1000000000", path)
        await asyncio.to_thread(arrivals.take, watcher)
        await until_ended([watcher])
        assert (watcher.sent[0]["status"], runs) == (504, 1)


LONE = {
    "counted.sql": "-- :result :value\n-- @param n int\n-- @timeout 0.3s\n"
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n) SELECT count(*) AS n FROM c\n",
    "inverse.sql": "-- :result :value\n-- @param n int\nSELECT 12 / :n AS n\n",
}


async def test_a_lone_call_that_fails_is_not_run_again(postgresql_url: str, tmp_path: Path) -> None:
    """Nor is its time that of waiting for a connection."""
    begun: list[str] = []
    async for app, arrivals in opened(postgresql_url, tmp_path, schema="", files=LONE):
        engine, statistics = app.service.database.engine, app.service.metrics._statistics
        start, run = engine.start_read, engine.run

        def started(session: Any, program: Any, *rest: Any) -> Any:
            begun.append("lone")
            return start(session, program, *rest)  # noqa: B023 - there is one

        async def ran(*arguments: Any, **limits: Any) -> Any:
            begun.append("usual")
            return await run(*arguments, **limits)  # noqa: B023

        for path, wrong, status in (("/queries/counted", "n=900000000", 504), ("/queries/inverse", "n=0", 422)):
            for _ in range(8):  # until it is known to be cheap, and that nobody else comes
                await ended(arrivals, Watcher("n=2", path))
            before = statistics.totals().calls[path.rpartition("/")[2]]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(engine, "start_read", started)
                patch.setattr(engine, "run", ran)
                watcher = Watcher(wrong, path)
                await ended(arrivals, watcher)
            assert watcher.sent[0]["status"] == status
            assert begun == ["lone"]
            begun.clear()
            after = statistics.totals().calls[path.rpartition("/")[2]]
            assert after.waited_seconds - before.waited_seconds < 0.05
            assert after.database_seconds - before.database_seconds >= (0.2 if status == 504 else 0)
        assert statistics.totals().requests == 0


async def test_refusals_leave_nothing_to_collect(database_url: str, tmp_path: Path) -> None:
    files = {"row.sql": "-- :result :one\n-- @param n int\nSELECT 1 AS n WHERE :n > 1\n"}
    async for _, arrivals in opened(database_url, tmp_path, schema="", files=files):

        async def fail() -> None:
            watcher = Watcher("n=1", "/queries/row")
            await ended(arrivals, watcher)  # noqa: B023 - there is one
            assert watcher.sent[0]["status"] == 404
            await asyncio.sleep(0.05)

        for _ in range(8):  # until it is known to be cheap, and that nobody else comes
            await fail()
        with garbage.kept() as kept:
            await fail()
        assert not kept & {"Exchange", "NoRow", "traceback"}


async def test_an_answer_that_nobody_takes_is_counted(postgresql_url: str, tmp_path: Path) -> None:
    async for app, arrivals in opened(postgresql_url, tmp_path, schema="", files=LONE):
        for _ in range(8):
            await ended(arrivals, Watcher("n=2", "/queries/inverse"))

        def broken(*_: Any) -> None:
            raise OSError("gone")

        watcher = Watcher("n=2", "/queries/inverse")
        watcher.send = watcher.err = broken  # type: ignore[method-assign]
        await asyncio.to_thread(arrivals.take, watcher)
        totals = app.service.metrics._statistics.totals
        async with asyncio.timeout(5):
            while totals().requests or totals().calls["inverse"].durations.count < 9:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)


async def ended(arrivals: Arrivals, watcher: Watcher) -> None:
    await asyncio.to_thread(arrivals.take, watcher)
    await until_ended([watcher])


async def test_whatever_fails_on_the_short_way_is_answered_on_the_long_one(
    server: tuple[Application, Arrivals], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, arrivals = server

    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for name in ("together", "take", "_answer", "_plan", "_read", "_join", "read"):
        monkeypatch.setattr(app.direct, name, broken)
        watchers = [Watcher(wanted(number)[0]) for number in range(30)]
        await asyncio.to_thread(lambda those: [arrivals.take(watcher) for watcher in those], watchers)
        await until_ended(watchers)
        for number, watcher in enumerate(watchers):
            assert watcher.body == wanted(number)[1]
        monkeypatch.undo()
