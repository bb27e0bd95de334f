"""The rows of a long result, a piece at a time, while a connection is held: given back whatever becomes of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from sqlwright.client.source import Memory
from sqlwright.errors import SqlwrightError, TransactionClosed
from sqlwright.execute import Where
from sqlwright.plan import Plan
from sqlwright.rows import Mapper, RowReader
from sqlwright.streams import RowStream
from sqlwright.transaction import OpenTransaction

T = TypeVar("T")


class Stream(Generic[T]):
    """An async iterator of rows. `async with db.stream(…) as rows` ends it at a place of its own.

    A class and not a generator: a generator that is dropped is ended later, by a task of the event loop. In a
    transaction its statements wait until the stream has ended, and the task that reads it is refused others.
    """

    def __init__(
        self,
        where: Where,
        plan: Callable[[], Awaitable[Plan]],
        memory: Memory,
        mapper: Mapper | None,
        chunk_rows: int,
    ) -> None:
        self._where = where
        self._plan = plan
        self._memory = memory
        self._mapper = mapper
        self._chunk_rows = chunk_rows
        self._query = ""
        self._rows: Iterator[Any] = iter(())
        self._reader: RowReader | None = None
        self._pieces: RowStream | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            for row in self._rows:
                made: T = row if self._mapper is None else self._mapped(self._mapper, row)
                return made
            if self._ended:
                raise StopAsyncIteration
            await self._fetch()

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back now. No further row comes."""
        self._rows = iter(())
        await self._end(GeneratorExit())

    def __del__(self) -> None:
        if self._pieces is None or not self._pieces.holds or self._loop is None or self._loop.is_closed():
            return
        leaving = _leave(self._pieces)
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            _run_now(leaving)
        else:
            self._loop.call_soon_threadsafe(_run_now, leaving)

    def _mapped(self, mapper: Mapper, row: Any) -> Any:
        return mapper.row(self._query, row)

    async def _fetch(self) -> None:
        """The next piece, or the end."""
        try:
            self._refuse_ended()
            if self._pieces is None:
                self._pieces = await self._start()
            result = await self._pieces.fetch()
        except BaseException as error:
            await self._end(error)
            raise
        if result is None:
            await self._end(None)
        else:
            assert self._reader is not None
            self._rows = iter(self._reader.rows(result.json))

    def _refuse_ended(self) -> None:
        if isinstance(self._where, OpenTransaction) and self._where.left:
            raise TransactionClosed("the transaction of this stream has ended")  # its connection is another's now

    async def _start(self) -> RowStream:
        plan = await self._plan()
        query = plan.contract.query
        if self._mapper is not None and plan.contract.columns:
            self._mapper.check(query.name, [column.name for column in plan.contract.columns])
        if query.isolation is not None:
            self._require(query.name, query.isolation)
        self._query = query.name
        self._reader = self._memory.reader_of(plan.contract)
        self._loop = asyncio.get_running_loop()
        return RowStream(self._where, plan, chunk_rows=self._chunk_rows)

    def _require(self, name: str, isolation: Any) -> None:
        if not isinstance(self._where, OpenTransaction):
            raise TypeError(
                f"{name} has @isolation {isolation}: stream it in a transaction that is begun with it (db.transaction)"
            )
        self._where.require(isolation)

    async def _end(self, error: BaseException | None) -> None:
        self._ended = True
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            await pieces.end(error)


async def _leave(pieces: RowStream) -> None:
    with suppress(SqlwrightError):  # nobody is there to be told
        await pieces.end(GeneratorExit())


def _run_now(leaving: Coroutine[Any, Any, None]) -> None:
    """Giving a connection back never awaits, so it is done at once and the next statement finds it done."""
    try:
        leaving.send(None)
    except StopIteration:
        return
    leaving.close()
    raise AssertionError("giving a connection back never awaits")
