"""The rows of a long result, a piece at a time, while a connection is held: given back whatever becomes of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from sqlwright.client.source import Memory
from sqlwright.errors import SqlwrightError, TransactionClosed
from sqlwright.execute import Where
from sqlwright.plan import Plan
from sqlwright.query import Access, Result
from sqlwright.rows import Mapper, RowReader
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
        self._chunks: AsyncIterator[Result] | None = None
        self._holding: Any = None
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
        if self._holding is None or self._loop is None or self._loop.is_closed():
            return
        leaving, self._holding = _leave(self._holding), None
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
            if self._chunks is None:
                self._chunks = await self._start()
            result = await anext(self._chunks, None)
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

    async def _start(self) -> AsyncIterator[Result]:
        plan = await self._plan()
        query = plan.contract.query
        if self._mapper is not None and plan.contract.columns:
            self._mapper.check(query.name, [column.name for column in plan.contract.columns])
        if query.isolation is not None:
            self._require(query.name, query.isolation)
        self._query = query.name
        self._reader = self._memory.reader_of(plan.contract)
        holding = self._where.lease(Access.READ)
        self._loop = asyncio.get_running_loop()
        lease = await holding.__aenter__()
        self._holding = holding
        chunks = self._where.engine.stream(
            lease,
            plan.contract.program,
            plan.values,
            chunk_rows=self._chunk_rows,
            timeout_seconds=plan.timeout_seconds,
        )
        if isinstance(self._where, OpenTransaction) or (lease.read_only and not lease.in_transaction):
            return chunks
        # A database of one connection (in memory, or pinned by a test): what is called inside of the loop needs it.
        read = [chunk async for chunk in chunks]
        self._holding = None
        await holding.__aexit__(None, None, None)
        return _again(read)

    def _require(self, name: str, isolation: Any) -> None:
        if not isinstance(self._where, OpenTransaction):
            raise TypeError(
                f"{name} has @isolation {isolation}: stream it in a transaction that is begun with it (db.transaction)"
            )
        self._where.require(isolation)

    async def _end(self, error: BaseException | None) -> None:
        self._ended = True
        holding, self._holding = self._holding, None
        self._chunks = None
        if holding is not None:
            await holding.__aexit__(type(error) if error is not None else None, error, None)


async def _again(chunks: list[Result]) -> AsyncIterator[Result]:
    for chunk in chunks:
        yield chunk


async def _leave(holding: Any) -> None:
    with suppress(SqlwrightError):  # nobody is there to be told
        await holding.__aexit__(GeneratorExit, GeneratorExit(), None)


def _run_now(leaving: Coroutine[Any, Any, None]) -> None:
    """Giving a connection back never awaits, so it is done at once and the next statement finds it done."""
    try:
        leaving.send(None)
    except StopIteration:
        return
    leaving.close()
    raise AssertionError("giving a connection back never awaits")
