"""Limits of many tasks: whoever is not through in time is cancelled and told, and nothing is kept of it."""

from __future__ import annotations

import asyncio

import pytest

import garbage
from sqlwright.time_limit import TimeLimits


async def endless(limits: TimeLimits) -> None:
    with limits.limit(0.01):
        await asyncio.Event().wait()


async def test_a_task_that_ends_by_its_limit_leaves_nothing_to_collect() -> None:
    limits = TimeLimits()
    with garbage.kept() as kept:
        task = asyncio.create_task(endless(limits))
        await asyncio.wait([task], timeout=5)
        assert isinstance(task.exception(), TimeoutError)
        del task
    assert not kept & {"Task", "TimeLimit", "TimeoutError"}


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    limits = TimeLimits()
    task = asyncio.create_task(endless(limits))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_from_elsewhere_at_the_same_time_stays_one() -> None:
    limits = TimeLimits()

    async def both() -> None:
        task = asyncio.current_task()
        assert task is not None
        with limits.limit(100) as limit:
            task.cancel()
            limit.expire()
            await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(both())


async def test_no_limit() -> None:
    with TimeLimits().limit(None) as limit:
        await asyncio.sleep(0.05)
    assert not limit.expired
