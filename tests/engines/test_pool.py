"""The pool is logic alone, so its connector here is a stand-in whose every step the test decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from sqlwright.engines.connector import Connector, PoolLimits, PoolStatus
from sqlwright.engines.pool import OPENINGS_MAX, Pool
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
        return connection.alive and connection.clean

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
    assert (pool.opened, pool.status) == (2, PoolStatus(2, 1, 0, 0))


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


async def test_who_leaves_while_a_connection_is_opened_leaves_it_to_the_next(links: Links) -> None:
    pool = make(links, size=1)
    opened = asyncio.Event()
    links.before_open = waiting_for(opened)
    first, second = await waiters(pool, 2)
    first.cancel()
    opened.set()
    assert (await second).number == 0
    assert (len(links.made), pool.status) == (1, PoolStatus(1, 0, 0, 0))


async def test_an_opening_that_hangs_is_not_waited_for(links: Links) -> None:
    pool = make(links, acquire_timeout_seconds=0.01)
    links.before_open = waiting_for(asyncio.Event())
    with pytest.raises(DatabaseUnavailable, match="too long"):
        await pool.acquire()
    assert pool.status == PoolStatus(0, 0, 0, 0)
    await pool.close()


async def test_few_connections_are_opened_at_the_same_time(links: Links) -> None:
    pool = make(links, size=8)
    now = most = 0

    async def slowly() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    links.before_open = slowly
    assert len(set(await asyncio.gather(*(pool.acquire() for _ in range(8))))) == 8
    assert most == OPENINGS_MAX


async def test_a_server_that_ends_what_it_accepts_is_not_run_over(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(links)
    monkeypatch.setattr(links, "is_alive", lambda _: False)
    with pytest.raises(DatabaseUnavailable):
        await pool.acquire()
    assert (len(links.made), pool.status.size) == (2, 0)


class Outage:
    """Openings fail until `ends`, and are counted."""

    def __init__(self, links: Links, error: Exception | None = None) -> None:
        self._error = error or DatabaseUnavailable("away", native_code="57P03", hint="wait")
        self._links = links
        self.attempts = 0
        links.before_open = self._fail

    async def _fail(self) -> None:
        self.attempts += 1
        raise self._error

    def ends(self) -> None:
        self._links.before_open = None


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlwright.engines.pool.PAUSE_SECONDS", (0.01, 0.02))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to pass")


async def test_one_prober_tries_again_while_everybody_is_refused(links: Links, hurried: None) -> None:
    pool = make(links, size=4)
    outage = Outage(links)
    calls = 0
    end = asyncio.get_running_loop().time() + 0.3
    while asyncio.get_running_loop().time() < end:
        told = await asyncio.gather(*(pool.acquire() for _ in range(10)), return_exceptions=True)
        assert {(type(e), str(e), getattr(e, "native_code", ""), getattr(e, "hint", "")) for e in told} == {
            (DatabaseUnavailable, "away", "57P03", "wait")
        }
        assert len({id(error) for error in told}) == 10, "one that is raised in many places keeps all of them"
        calls += 10
        assert pool.status == PoolStatus(0, 0, 0, 0)
        await asyncio.sleep(0.001)
    assert calls > 500
    assert outage.attempts <= OPENINGS_MAX + 0.3 / (0.02 * 0.8) + 2
    outage.ends()
    await until(lambda: pool.status.idle == 1)
    await until(lambda: not pool._opening)  # the prober has gone
    assert (await pool.acquire()).number == 0
    assert (await pool.acquire()).number == 1


async def test_the_pauses_of_the_prober_grow_and_differ(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlwright.engines.pool.PAUSE_SECONDS", (0.005, 0.04))
    pool = make(links)
    outage = Outage(links)
    times: list[float] = []
    fail = links.before_open

    async def noted() -> None:
        times.append(asyncio.get_running_loop().time())
        assert fail is not None
        await fail()

    links.before_open = noted
    with pytest.raises(DatabaseUnavailable):
        await pool.acquire()
    await until(lambda: outage.attempts == 10)
    pauses = [later - before for before, later in pairwise(times)]
    assert min(pauses[3:]) > 0.04 * 0.8 * 0.99 > pauses[0]
    assert len({round(pause, 5) for pause in pauses[3:]}) > 1
    await pool.close()


async def test_nothing_is_left_of_a_prober_when_the_pool_is_closed(links: Links) -> None:
    pool = make(links)
    before = asyncio.all_tasks()
    for hangs in (False, True):
        outage = Outage(links)
        with pytest.raises(DatabaseUnavailable):
            await pool.acquire()
        if hangs:
            links.before_open = waiting_for(asyncio.Event())
            await asyncio.sleep(0.1)
        await pool.close()
        assert asyncio.all_tasks() == before
        with pytest.raises(DatabaseUnavailable, match="closed"):
            await pool.acquire()
        assert outage.attempts == 1 or hangs
        pool = make(links)
    assert asyncio.all_tasks() == before, "nobody called: nothing runs"


async def test_a_server_that_is_full_is_waited_for_while_a_connection_lives(links: Links, hurried: None) -> None:
    pool = make(links, size=3, acquire_timeout_seconds=0.1)
    (link,) = await taken(pool, 1)
    outage = Outage(links, DatabaseUnavailable("full", native_code="53300"))
    first, second = await waiters(pool, 2)
    await asyncio.sleep(0.02)
    assert not first.done(), "the pool is not down"
    pool.release(link)
    assert await first is link
    with pytest.raises(AcquireTimeout):
        await second
    assert outage.attempts < 12
    await until(lambda: not pool._opening)
    pool.release(link)
    assert pool.status == PoolStatus(1, 1, 0, 0)


async def test_the_last_connection_that_is_lost_while_the_prober_tries_takes_the_pool_down(
    links: Links, hurried: None
) -> None:
    pool = make(links)
    (link,) = await taken(pool, 1)
    outage = Outage(links)
    (waiter,) = await waiters(pool, 1)
    await until(lambda: outage.attempts > 1)
    pool.release(link, broken=True)
    with pytest.raises(DatabaseUnavailable, match="away"):
        await waiter
    with pytest.raises(DatabaseUnavailable, match="away"):
        await pool.acquire()
    outage.ends()
    await until(lambda: pool.status.idle == 1)


async def test_an_error_that_waiting_does_not_mend_is_told_and_asked_again(links: Links) -> None:
    pool = make(links)
    outage = Outage(links, ZeroDivisionError("ours"))
    for attempts in (1, 2):
        with pytest.raises(ZeroDivisionError):
            await pool.acquire()
        await settle()
        assert outage.attempts == attempts
        assert not pool._opening


async def test_dead_free_connections_cost_nobody_an_error(links: Links) -> None:
    pool = make(links, size=6)
    for link in await taken(pool, 6):
        pool.release(link)
    for link in links.made:
        link.alive = False
    assert {link.alive for link in await asyncio.gather(*(pool.acquire() for _ in range(6)))} == {True}
    assert pool.status == PoolStatus(6, 0, 0, 0)


async def test_all_connections_of_a_server_that_is_of_no_use_are_replaced(links: Links) -> None:
    pool = make(links, size=3)
    lent, dirty, free = await taken(pool, 3)
    mended = asyncio.Event()
    links.before_mend = waiting_for(mended)
    dirty.clean = False
    pool.release(dirty)
    pool.release(free)
    pool.distrust()
    assert (free.terminated, dirty.terminated, lent.terminated) == (1, 0, 0)
    assert (await pool.acquire()).number == 3, "not what is left of the old ones"
    mended.set()
    pool.release(lent)
    await settle()
    assert (free.terminated, dirty.terminated, lent.terminated) == (1, 1, 1)
    assert pool.status == PoolStatus(1, 0, 0, 0)


async def test_a_return_is_told_once_all_were_lost(links: Links, hurried: None) -> None:
    pool = make(links)
    returns: list[int] = []
    pool.on_return = lambda: returns.append(pool.opened)
    first, second = await taken(pool, 2)
    pool.release(first, broken=True)
    first = await pool.acquire()
    assert returns == []
    pool.release(first)
    pool.distrust()
    assert first.terminated
    Outage(links)
    pool.release(second, broken=True)
    with pytest.raises(DatabaseUnavailable):
        await pool.acquire()
    links.before_open = None
    await until(lambda: pool.status.idle == 1)
    assert returns == [4]


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
    for broken in (False, True):
        link = await pool.acquire()
        (only,) = await waiters(pool, 1)
        pool.release(link, broken=broken)
        only.cancel()
        await settle()
        assert pool.status == PoolStatus(1, 1, 0, 0), "what was opened for it is kept"


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
        with pytest.raises(DatabaseUnavailable):
            await pool.acquire()
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


async def test_close_tells_waiters_and_gives_up_what_opens(links: Links) -> None:
    pool = make(links)
    (lent,) = await taken(pool, 1)
    links.before_open = waiting_for(asyncio.Event())
    waiting = await waiters(pool, 2)
    closing = asyncio.create_task(pool.close(drain_seconds=5))
    await settle()
    pool.release(lent)
    outcomes = await asyncio.gather(*waiting, closing, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable, DatabaseUnavailable, type(None)]
    assert [link.terminated for link in links.made] == [1]
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
async def test_anything_in_any_order_leaves_the_pool_whole(links: Links, hurried: None, seed: int) -> None:
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
    await until(lambda: not pool._opening)  # as long as there is a prober
    for link in await taken(pool, 3):
        pool.release(link)
    await pool.close()
    assert [link.terminated for link in links.made] == [1] * len(links.made)
