"""Cancellation at every single await of some work, and whether anything is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from types import coroutine
from typing import Any

import asyncpg
import uvloop

import mariadb_server
from workbench import Bench

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SUSPENSIONS_MAX = 60
"""More than any call has: what goes on beyond would never complete."""

Act = Callable[[Bench], Coroutine[Any, Any, Any]]


@coroutine
def cancelled_at(work: Coroutine[Any, Any, Any], number: int, late: bool) -> Generator[Any, Any, int]:
    """Run `work`, cancel this task when it suspends for the `number`th time, and give how often it suspended.

    `late`: in the very moment when what it waits for has come, so that the result is there and is never received.
    """
    task = asyncio.current_task()
    assert task is not None
    count = 0
    send, argument = work.send, None
    while True:
        try:
            waited_for = send(argument)
        except StopIteration:
            return count
        count += 1
        if count == number:
            if late and waited_for is not None:
                waited_for.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        try:
            argument = yield waited_for
            send = work.send
        except BaseException as error:
            send, argument = work.throw, error


async def every_await(
    bench: Bench, act: Act, late: bool, check: Callable[[], Awaitable[None]], *, may_be_one: bool = False
) -> None:
    """Run `act` again and again, cancelled at its first suspension, its second, and so on until it completes."""
    for number in range(1, SUSPENSIONS_MAX):
        task = asyncio.ensure_future(awaited(cancelled_at(act(bench), number, late)))
        with contextlib.suppress(asyncio.CancelledError):
            if await task < number:
                assert number > 1 or may_be_one, "it never suspended: nothing was tried"
                return
        await check()
    raise AssertionError("it never completes")


async def awaited(work: Any) -> Any:
    return await work


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def nothing_is_open(url: str) -> None:
    if url.startswith("sqlite"):
        with contextlib.closing(
            sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
        ) as raw:
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
            assert raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "a snapshot is still held"
        return
    if url.startswith("mysql"):
        sessions = "information_schema.processlist p WHERE p.db = database() AND p.id <> connection_id()"
        ((held, busy),) = mariadb_server.execute(url, f"SELECT count(*), sum(p.command <> 'Sleep') FROM {sessions}")
        transactions = f"SELECT count(*) FROM information_schema.innodb_trx, {sessions} AND p.id = trx_mysql_thread_id"
        assert (int(held) <= 2, int(busy or 0), mariadb_server.execute(url, transactions)) == (True, 0, [(0,)])
        return
    server = await asyncpg.connect(url)
    try:
        held = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'sqlwright'"
        )
        assert await server.fetchval(f"{held} AND state <> 'idle'") == 0
        assert await server.fetchval(held) <= 2
    finally:
        await server.close()
