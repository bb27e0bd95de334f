"""The pool is logic alone, so its connector here is a stand-in whose every step the test decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from sqlwright.engines.pool import Connector, Pool, PoolLimits, PoolStatus
from sqlwright.errors import AcquireTimeout, DatabaseUnavailable, TooManyWaiting


class Link:
    """A connection without a database."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.alive = True
        self.clean = True
        self.terminated = 0
        self.users = 0


class Links(Connector[Link]):
    def __init__(self) -> None:
        self.made: list[Link] = []
        self.closed: list[Link] = []
        self.before_open: Callable[[], Any] | None = None
        self.before_mend: Callable[[], Any] | None = None
        self.before_close: Callable[[], Any] | None = None

    async def open(self) -> Link:
        if self.before_open is not None:
            await self.before_open()
        self.made.append(Link(len(self.made)))
        return self.made[-1]

    def is_alive(self, connection: Link) -> bool:
        return connection.alive

    def is_clean(self, connection: Link) -> bool:
        return connection.clean

    async def mend(self, connection: Link) -> None:
        if self.before_mend is not None:
            await self.before_mend()
        connection.clean = True

    def terminate(self, connection: Link) -> None:
        connection.alive = False
        connection.terminated += 1

    async def close(self, connection: Link) -> None:
        if self.before_close is not None:
            await self.before_close()
        self.closed.append(connection)
        self.terminate(connection)


@pytest.fixture
def links() -> Links:
    return Links()


def make(links: Links, **limits: Any) -> Pool[Link]:
    return Pool(links, PoolLimits(**{"size": 2, "acquire_timeout_seconds": 5.0, **limits}))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def raising(error: BaseException) -> Callable[[], Any]:
    async def fail() -> None:
        raise error

    return fail


def waiting_for(event: asyncio.Event) -> Callable[[], Any]:
    async def wait() -> None:
        await event.wait()

    return wait


async def taken(pool: Pool[Link], count: int) -> list[Link]:
    return [await pool.acquire() for _ in range(count)]


async def waiters(pool: Pool[Link], count: int) -> list[asyncio.Task[Link]]:
    tasks = [asyncio.create_task(pool.acquire()) for _ in range(count)]
    await settle()
    return tasks


async def test_opens_when_needed_and_gives_back_the_warmest(links: Links) -> None:
    pool = make(links)
    assert pool.status == PoolStatus(size=0, idle=0, waiting=0, mending=0)
    first, second = await taken(pool, 2)
    pool.release(second)
    pool.release(first)
    assert await pool.acquire() is first
    assert (pool.opened, pool.in_use, pool.status) == (2, 1, PoolStatus(2, 1, 0, 0))


async def test_waiters_are_served_in_their_order(links: Links) -> None:
    pool = make(links, size=1)
    (link,) = await taken(pool, 1)
    tasks = await waiters(pool, 3)
    for task in tasks:
        pool.release(link)
        assert await task is link
    assert pool.status == PoolStatus(1, 0, 0, 0)


async def test_who_waits_too_long_is_told_and_forgotten(links: Links) -> None:
    pool = make(links, size=1, acquire_timeout_seconds=0.01)
    (link,) = await taken(pool, 1)
    refused = await asyncio.gather(*(pool.acquire() for _ in range(1000)), return_exceptions=True)
    assert {type(error) for error in refused} == {AcquireTimeout}
    pool.release(link)
    assert pool.status == PoolStatus(1, 1, 0, 0)
    assert await pool.acquire() is link


async def test_the_line_has_an_end(links: Links) -> None:
    pool = make(links, size=1, waiting_max=2)
    (link,) = await taken(pool, 1)
    tasks = await waiters(pool, 2)
    with pytest.raises(TooManyWaiting):
        await pool.acquire()
    pool.release(link)
    assert await tasks[0] is link
    tasks[1].cancel()
    await settle()
    assert pool.status == PoolStatus(1, 0, 0, 0)


async def test_a_dead_free_connection_is_replaced(links: Links) -> None:
    pool = make(links)
    first, second = await taken(pool, 2)
    pool.release(first)
    pool.release(second)
    first.alive = second.alive = False
    assert (await pool.acquire()).number == 2
    assert (first.terminated, second.terminated, pool.status.size) == (1, 1, 1)


async def test_a_connection_that_dies_while_lent_makes_room_for_the_waiter(links: Links) -> None:
    pool = make(links, size=1)
    (link,) = await taken(pool, 1)
    (task,) = await waiters(pool, 1)
    link.alive = False
    pool.release(link)
    assert (await task).number == 1
    assert (link.terminated, pool.status) == (1, PoolStatus(1, 0, 0, 0))


async def test_a_connection_that_dies_in_the_hand_over_is_replaced(links: Links) -> None:
    pool = make(links, size=1)
    (link,) = await taken(pool, 1)
    (task,) = await waiters(pool, 1)
    pool.release(link)
    link.alive = False  # before the waiter's turn to run
    assert (await task).number == 1
    assert (link.terminated, pool.status) == (1, PoolStatus(1, 0, 0, 0))


async def test_broken_is_never_given_again(links: Links) -> None:
    pool = make(links, size=1)
    (link,) = await taken(pool, 1)
    pool.release(link, broken=True)
    assert (link.terminated, pool.status.size) == (1, 0)
    assert (await pool.acquire()).number == 1


async def test_a_second_release_does_nothing(links: Links) -> None:
    pool = make(links)
    (link,) = await taken(pool, 1)
    pool.release(link)
    pool.release(link)
    assert pool.status == PoolStatus(1, 1, 0, 0)
    assert len({await pool.acquire(), await pool.acquire()}) == 2
    pool.release(link, broken=True)
    pool.release(link, broken=True)
    assert (link.terminated, pool.status.size) == (1, 1)


async def test_an_opening_that_fails_gives_its_place_to_the_next(links: Links) -> None:
    pool = make(links, size=1)
    opened = asyncio.Event()
    links.before_open = waiting_for(opened)
    (first,) = await waiters(pool, 1)
    (second,) = await waiters(pool, 1)
    links.before_open = None
    first.cancel()
    assert (await second).number == 0
    links.before_open = raising(DatabaseUnavailable("down"))
    pool.release(links.made[0], broken=True)
    outcomes = await asyncio.gather(*(pool.acquire() for _ in range(3)), return_exceptions=True)
    assert {type(error) for error in outcomes} == {DatabaseUnavailable}
    assert pool.status == PoolStatus(0, 0, 0, 0)


async def test_an_opening_that_takes_too_long_is_given_up(links: Links) -> None:
    pool = make(links, acquire_timeout_seconds=0.01)
    links.before_open = waiting_for(asyncio.Event())
    with pytest.raises(DatabaseUnavailable, match="too long"):
        await pool.acquire()
    assert pool.status.size == 0


async def test_a_newcomer_cannot_take_the_place_that_a_waiter_was_woken_for(links: Links) -> None:
    pool = make(links, size=1)
    (link,) = await taken(pool, 1)
    (waiter,) = await waiters(pool, 1)
    pool.release(link, broken=True)  # the waiter has its turn, but has not run yet
    newcomer = asyncio.create_task(pool.acquire())
    await settle()
    assert waiter.done()
    assert not newcomer.done()
    pool.release(await waiter)
    assert await newcomer is await waiter


@pytest.mark.parametrize("broken", [False, True])
async def test_cancelled_in_the_moment_of_the_hand_over(links: Links, broken: bool) -> None:
    pool = make(links, size=1)
    (link,) = await taken(pool, 1)
    first, second = await waiters(pool, 2)
    pool.release(link, broken=broken)
    first.cancel()
    got = await second
    assert got.number == (1 if broken else 0)
    assert first.cancelled()
    pool.release(got)
    assert pool.status == PoolStatus(1, 1, 0, 0)


async def test_cancelled_in_the_moment_of_the_hand_over_with_nobody_behind(links: Links) -> None:
    pool = make(links, size=1)
    for broken, left in ((False, 1), (True, 0)):
        link = await pool.acquire()
        (only,) = await waiters(pool, 1)
        pool.release(link, broken=broken)
        only.cancel()
        await settle()
        assert pool.status == PoolStatus(left, left, 0, 0)


async def test_cancelled_in_the_moment_of_its_timeout(links: Links) -> None:
    pool = make(links, size=1, acquire_timeout_seconds=0.001)
    (link,) = await taken(pool, 1)
    task = asyncio.create_task(pool.acquire())
    await settle()
    (turn,) = pool._waiters
    pool._expire(turn)
    task.cancel()
    await settle()
    assert task.cancelled()
    pool.release(link)
    assert pool.status == PoolStatus(1, 1, 0, 0)


async def test_a_session_left_dirty_is_mended_before_it_is_lent_again(links: Links) -> None:
    pool = make(links, size=1)
    mended = asyncio.Event()
    links.before_mend = waiting_for(mended)
    (link,) = await taken(pool, 1)
    link.clean = False
    pool.release(link)
    (task,) = await waiters(pool, 1)
    assert pool.status == PoolStatus(1, 0, 1, 1)
    mended.set()
    assert await task is link
    assert link.clean
    assert pool.status.mending == 0


async def test_what_cannot_be_mended_is_replaced(links: Links) -> None:
    pool = make(links, size=1, mend_timeout_seconds=0.01)
    for trouble in (raising(OSError("lost")), waiting_for(asyncio.Event())):
        links.before_mend = trouble
        link = await pool.acquire()
        link.clean = False
        pool.release(link)
        replaced = await pool.acquire()
        assert replaced is not link
        assert link.terminated == 1
        pool.release(replaced)
    await settle()
    assert pool.status == PoolStatus(1, 1, 0, 0)


async def test_a_mending_that_is_cancelled_from_outside_loses_nothing(links: Links) -> None:
    pool = make(links, size=1)
    for steps in (0, 5):
        links.before_mend = waiting_for(asyncio.Event())
        link = await pool.acquire()
        link.clean = False
        pool.release(link)
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in list(pool._mending):
            task.cancel()
        await settle()
        assert (link.terminated, pool.status) == (1, PoolStatus(0, 0, 0, 0))


async def test_a_connector_that_raises_where_it_must_not_costs_one_connection(
    links: Links, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(connection: Link) -> bool:
        raise OSError("no")

    pool = make(links, size=1)
    link = await pool.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(links, "is_clean", fail)
        pool.release(link)
        await settle()
        patch.setattr(links, "is_alive", fail)
        patch.setattr(links, "terminate", fail)
        pool.release((await waiters(pool, 1))[0].result())
    assert pool.status.size == 0
    assert "could not be" in caplog.text
    assert (await pool.acquire()).alive


async def test_close_ends_what_is_free_and_refuses_newcomers(links: Links) -> None:
    pool = make(links)
    first, second = await taken(pool, 2)
    pool.release(first)
    closing = asyncio.create_task(pool.close(drain_seconds=5))
    await settle()
    with pytest.raises(DatabaseUnavailable):
        await pool.acquire()
    assert not closing.done()
    pool.release(second)
    await closing
    assert links.closed == [first]
    assert [link.terminated for link in links.made] == [1, 1]
    assert pool.status == PoolStatus(0, 0, 0, 0)
    await pool.close()


async def test_close_does_not_lend_what_it_is_about_to_close(links: Links) -> None:
    pool = make(links)
    for link in await taken(pool, 2):
        pool.release(link)
    links.before_close = waiting_for(asyncio.Event())
    closing = asyncio.create_task(pool.close(drain_seconds=0.02))
    await settle()
    with pytest.raises(DatabaseUnavailable):
        await pool.acquire()
    await closing
    assert [link.terminated for link in links.made] == [1, 1]


async def test_close_while_in_use_cuts_off_who_does_not_finish(links: Links) -> None:
    pool = make(links, size=3)
    lent, dirty, failing = await taken(pool, 3)
    links.before_mend = waiting_for(asyncio.Event())
    dirty.clean = False
    pool.release(dirty)
    pool.release(failing, broken=True)
    await pool.close(drain_seconds=0.01)
    assert [link.terminated for link in (lent, dirty, failing)] == [1, 1, 1]
    assert pool.status == PoolStatus(0, 0, 0, 0)
    pool.release(lent)
    assert (lent.terminated, pool.status.size) == (1, 0)


async def test_close_tells_waiters_and_undoes_what_opens_meanwhile(links: Links) -> None:
    pool = make(links)
    (lent,) = await taken(pool, 1)
    opened = asyncio.Event()
    links.before_open = waiting_for(opened)
    opening, waiting = await waiters(pool, 2)
    closing = asyncio.create_task(pool.close(drain_seconds=5))
    await settle()
    opened.set()
    pool.release(lent)
    outcomes = await asyncio.gather(opening, waiting, closing, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable, DatabaseUnavailable, type(None)]
    assert [link.terminated for link in links.made] == [1, 1]
    assert pool.status == PoolStatus(0, 0, 0, 0)


async def test_a_close_that_is_cancelled_still_ends_everything(links: Links) -> None:
    pool = make(links)
    lent, free = await taken(pool, 2)
    pool.release(free)
    closing = asyncio.create_task(pool.close(drain_seconds=60))
    await settle()
    closing.cancel()
    await settle()
    assert (lent.terminated, free.terminated, pool.status.size) == (1, 1, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_anything_in_any_order_leaves_the_pool_whole(links: Links, seed: int) -> None:
    """Cancellations at every await, hand-over races, dead and dirty connections, openings and mendings that fail."""
    chance = random.Random(seed)
    pool = make(links, size=3, waiting_max=8, acquire_timeout_seconds=0.05)

    async def pause() -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)

    async def trouble() -> None:
        await pause()
        if chance.random() < 0.2:
            raise DatabaseUnavailable("down")

    async def call() -> None:
        link = await pool.acquire()
        link.users += 1
        try:
            assert link.users == 1
            await pause()
            link.clean = chance.random() > 0.3
            link.alive = link.alive and chance.random() > 0.1
        finally:
            link.users -= 1
            pool.release(link, broken=chance.random() < 0.1)
        assert pool.status.size <= 3

    links.before_open = links.before_mend = trouble
    tasks = []
    for _ in range(300):
        tasks.append(asyncio.create_task(call()))
        if chance.random() < 0.5:
            chance.choice(tasks).cancel()
        await pause()
    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    allowed = asyncio.CancelledError | DatabaseUnavailable | AcquireTimeout | TooManyWaiting | None
    assert [outcome for outcome in outcomes if not isinstance(outcome, allowed)] == []
    await asyncio.gather(*pool._mending, return_exceptions=True)
    await settle()
    assert pool.status == PoolStatus(pool.status.size, pool.status.size, 0, 0)
    links.before_open = links.before_mend = None
    for link in await taken(pool, 3):
        pool.release(link)
    await pool.close()
    assert [link.terminated for link in links.made] == [1] * len(links.made)
