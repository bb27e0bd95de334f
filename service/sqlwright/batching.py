"""Natural batching: calls of one reading query that would wait for each other run as one statement.

A query that is not running is run at once, by the call itself: an idle service delays nobody. While it runs, further
calls of it line up, and a runner takes what has lined up by then, as many as the measured cost allows, so that no
batch takes long. Each caller gets its own result. An error, or a batch that takes long, tells nothing about any one
call of it: each runs again on its own then. Who leaves takes nobody with him, and the statement of a batch is stopped
when the last one has left.

Only for programs with `many`, which are proven to give the same together as alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

from sqlwright.batch_member import Abandoned, Awaited, Batch, Member, Tell, Told
from sqlwright.engines.base import Program
from sqlwright.errors import AcquireTimeout, SqlwrightError, TooManyWaiting
from sqlwright.lone import Lone
from sqlwright.query import Access, Result, Values, Window
from sqlwright.time_limit import TimeLimits

if TYPE_CHECKING:
    from sqlwright.database import Database

RUNNERS_MAX = 2
"""Statements of one query at the same time."""
STUCK_SECONDS = 0.02
"""When nothing of a line has begun or ended for so long, its statements are slower than they used to be, and those who
wait get one more at the same time."""
PATIENCE_SECONDS = 0.5
"""A batch that takes longer has a call in it that is not like the others."""


class Spent(Protocol):
    """Whoever wants to know what a call took so far, also when it fails or is cancelled. Times are in seconds."""

    waited_seconds: float
    database_seconds: float


def tell_spent(spent: Spent | None, asked: float, begun: float | None, ended: float | None = None) -> None:
    """Add the times of a call that has a connection since `begun`, if it ever had one, and has ended, or ends now."""
    if spent is not None:
        now = ended or time.perf_counter()
        spent.waited_seconds += (begun or now) - asked
        spent.database_seconds += now - (begun or now)


class _Line:
    """The calls of one statement that wait, and how many statements of it run."""

    __slots__ = (
        "key", "program", "progress", "running", "seen", "starting", "timeout_seconds", "waiting", "watched", "window",
    )  # fmt: skip

    def __init__(self, key: Hashable, program: Program, window: Window | None, timeout_seconds: float) -> None:
        self.key = key
        self.program = program
        self.window = window
        self.timeout_seconds = timeout_seconds
        self.waiting: deque[Member] = deque()
        self.running = 0
        self.starting = False
        self.progress = 0
        """Statements that have begun or ended."""
        self.seen = 0
        """The same at the last look."""
        self.watched = False


class Batching:
    """The lines of one database."""

    def __init__(self, database: Database, *, waiting_max: int) -> None:
        self._database = database
        self._waiting_max = waiting_max
        self._lines: dict[Hashable, _Line] = {}
        self._runners: set[asyncio.Task[None]] = set()
        self._time_limits = TimeLimits()
        self.waiting = 0
        """Calls in all lines."""
        self._seeking = 0
        """Runners that wait for a connection."""

    @property
    def is_idle(self) -> bool:
        """Nothing runs or waits here."""
        return not self._lines

    @property
    def waiting_beside(self) -> int:
        """Calls that wait here, less those that wait for them in the line of a pool."""
        return max(0, self.waiting - self._seeking)

    @property
    def is_full(self) -> bool:
        return self.waiting >= self._waiting_max

    async def run(
        self, program: Program, values: Values, window: Window | None, timeout_seconds: float, spent: Spent | None
    ) -> Result:
        """One call, alone when the query is idle. Raises what `Engine.run` and a lease raise."""
        asked = time.perf_counter()
        shared = self._database.engine.batch_key(program, values, window)
        if shared is None:
            return await self._alone(_Line(None, program, window, timeout_seconds), values, asked, spent)
        key = (id(program), window, shared)
        line = self._lines.get(key)
        if line is None:
            line = self._open(_Line(key, program, window, timeout_seconds))
            return await self._alone(line, values, asked, spent)
        if not program.measured.is_cheap:
            return await self._alone(line, values, asked, spent)
        if self.is_full:
            raise TooManyWaiting(f"{self.waiting} calls already wait for a connection")
        member = Awaited(values, asked, self._time_limits.loop.create_future())
        self._line_up(line, member)
        result = await self._outcome_of(member, spent)
        if result is None:
            return await self._alone(line, values, time.perf_counter(), spent)
        return result

    def join(
        self,
        program: Program,
        values: Values,
        window: Window | None,
        timeout_seconds: float,
        tell: Tell,
        *,
        opens: bool,
    ) -> bool:
        """One call where others of it run, or will (`opens`), or by itself at once: whether it is seen to.

        `tell` is called once, but not from in here, with the result, an error, or None, which says: run it alone. Who
        is told so cannot leave.
        """
        if self.is_full or not program.measured.is_cheap:
            return False
        shared = self._database.engine.batch_key(program, values, window)
        if shared is None:
            return False
        key = (id(program), window, shared)
        line = self._lines.get(key)
        if line is None:
            line = _Line(key, program, window, timeout_seconds)
            if not opens:
                return self._run_now(line, values, tell)
            self._open(line)
        self._line_up(line, Told(values, time.perf_counter(), tell))
        return True

    def _open(self, line: _Line) -> _Line:
        self._lines[line.key] = line
        line.program.measured.lines += 1
        return line

    def _line_up(self, line: _Line, member: Member) -> None:
        line.waiting.append(member)
        self.waiting += 1
        self._time_limits.add(member, self._database.limits.acquire_seconds)
        if not line.starting and line.running < RUNNERS_MAX:
            line.starting = True
            # Not at once: calls that come in the same turn of the loop shall be in the same batch.
            self._time_limits.loop.call_soon(self._start, line)
        if not line.watched:
            line.watched, line.seen = True, line.progress
            self._time_limits.loop.call_later(STUCK_SECONDS, self._look, line)

    async def _outcome_of(self, member: Awaited, spent: Spent | None) -> Result | None:
        try:
            return await member.outcome
        except asyncio.CancelledError:
            self._time_limits.discard(member)
            if member.batch is not None and member.outcome.cancelled():
                member.batch.leave()
            raise
        finally:
            tell_spent(spent, member.asked, member.begun)

    async def _alone(self, line: _Line, values: Values, asked: float, spent: Spent | None) -> Result:
        database = self._database
        begun = ended = None
        line.running += 1
        line.progress += 1
        try:
            async with database.lease(Access.READ, line.program) as lease:
                begun = time.perf_counter()
                result = await database.engine.run(
                    lease, line.program, values, window=line.window, timeout_seconds=line.timeout_seconds
                )
            ended = time.perf_counter()
        finally:
            tell_spent(spent, asked, begun, ended)
            if begun and ended:
                line.program.measured.learn((ended - begun) / line.running)
            line.running -= 1
            line.progress += 1
            self._go_on(line)
        result.waited_seconds = begun - asked
        result.database_seconds = ended - begun
        return result

    def _run_now(self, line: _Line, values: Values, tell: Tell) -> bool:
        """The first call of a line, without a task. Whether there is a connection for it."""
        engine, program = self._database.engine, line.program
        lent = self._database.free_reader(program)
        if lent is None:
            return False
        pool, session = lent
        self._open(line)
        line.running += 1
        line.progress += 1
        begun = time.perf_counter()

        def end(outcome: Result | BaseException) -> None:
            pool.release(session)
            seconds = time.perf_counter() - begun
            if isinstance(outcome, Result):
                outcome.database_seconds = seconds
            if isinstance(outcome, Result | asyncio.CancelledError):  # one that took too long is dear
                program.measured.learn(seconds / line.running)
            line.running -= 1
            line.progress += 1
            self._go_on(line)
            tell(outcome if isinstance(outcome, Result | SqlwrightError) else engine.translate(outcome, Access.READ))

        work = engine.start_read(session, program, values, line.window, line.timeout_seconds)
        # One that takes longer is not like the others: its caller may leave, and has to be watched.
        Lone(self._time_limits, work, end).start(PATIENCE_SECONDS)
        return True

    # --- runners ----------------------------------------------------------------------------------------------

    def _start(self, line: _Line, most: int = RUNNERS_MAX) -> None:
        line.starting = False
        if line.waiting and line.running < most:
            line.running += 1
            line.progress += 1
            task = self._time_limits.loop.create_task(self._serve(line))
            self._runners.add(task)
            task.add_done_callback(self._runners.discard)
        elif not line.waiting:
            self._go_on(line)  # who waited has left meanwhile

    def _look(self, line: _Line) -> None:
        line.watched = bool(line.waiting)
        if line.watched:
            if line.seen == line.progress:
                self._start(line, self._database.connections[1])
            line.seen = line.progress
            self._time_limits.loop.call_later(STUCK_SECONDS, self._look, line)

    def _go_on(self, line: _Line) -> None:
        if line.waiting:
            if not line.starting:
                line.starting = True
                self._time_limits.loop.call_soon(self._start, line)
        elif not line.running and not line.starting and self._lines.pop(line.key, None) is not None:
            line.program.measured.lines -= 1

    async def _serve(self, line: _Line) -> None:
        """Run batches until nobody waits; let others have the connection in between."""
        try:
            while line.waiting:
                acquired = False
                self._seeking += 1
                try:
                    async with self._database.lease(Access.READ, line.program) as lease:
                        acquired = True
                        self._seeking -= 1
                        while line.waiting:
                            await self._run_next(lease, line)
                            if self._database.is_waited_for(Access.READ):
                                break
                except AcquireTimeout:
                    pass  # each in the line has a time of his own
                except Exception as error:
                    if not acquired:  # else it has been told to whom it concerns
                        for member in self._take(line, len(line.waiting)):
                            member.fail(error)
                except Abandoned:
                    pass
                finally:
                    self._seeking -= not acquired
        finally:
            line.running -= 1
            self._go_on(line)

    def _take(self, line: _Line, size: int) -> list[Member]:
        """Those who wait longest. Who has left or run out of time is passed over."""
        members: list[Member] = []
        waiting = line.waiting
        while waiting and len(members) < size:
            member = waiting.popleft()
            self.waiting -= 1
            if not member.is_through():
                self._time_limits.discard(member)
                members.append(member)
        return members

    async def _run_next(self, lease: Any, line: _Line) -> None:
        """One statement, and everybody told; raises why it failed, so that the lease hears of it."""
        measured = line.program.measured
        members = self._take(line, measured.batch_size())
        if not members:
            return
        task = asyncio.current_task(self._time_limits.loop)
        assert task is not None
        batch = Batch(len(members), task)
        begun = time.perf_counter()
        line.progress += 1
        for member in members:
            member.batch, member.begun = batch, begun
        try:
            results = await self._results(lease, line, members)
        except asyncio.CancelledError:
            if batch.abandoned and not task.uncancel():
                raise Abandoned from None
            _send_off(members)
            raise
        except Exception as error:
            if len(members) == 1:
                members[0].fail(error)
            else:
                measured.batch_failed()
                _send_off(members)
            raise
        seconds = time.perf_counter() - begun
        measured.learn(seconds / (len(members) * line.running))
        if len(members) > 1:
            measured.batch_went_well()
        for member, result in zip(members, results, strict=True):
            if not member.is_through():
                result.waited_seconds = begun - member.asked
                result.database_seconds = seconds
                result.together = len(members)
                member.hear(result)

    async def _results(self, lease: Any, line: _Line, members: list[Member]) -> list[Result]:
        engine, program = self._database.engine, line.program
        window, timeout_seconds = line.window, line.timeout_seconds
        if len(members) == 1:
            return [await engine.run(lease, program, members[0].values, window=window, timeout_seconds=timeout_seconds)]
        with self._time_limits.limit(min(PATIENCE_SECONDS, timeout_seconds / 2)):
            return await engine.run_many(
                lease,
                program,
                [member.values for member in members],
                window=window,
                timeout_seconds=timeout_seconds,
            )


def _send_off(members: list[Member]) -> None:
    """Each runs again on its own: only so an error is told to whom it belongs."""
    for member in members:
        if not member.is_through():
            member.hear(None)
