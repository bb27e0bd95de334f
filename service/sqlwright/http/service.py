"""The state of one running application: settings, database, contracts, and what is served, swapped as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlwright.address import parse_address
from sqlwright.config import Settings
from sqlwright.contract import Contracts
from sqlwright.crud import Table, Tables
from sqlwright.database import Database
from sqlwright.diagnostic import Diagnostic
from sqlwright.engines.connector import PoolStatus
from sqlwright.errors import (
    AcquireTimeout,
    DatabaseCorrupt,
    DatabaseUnavailable,
    QueryInvalid,
    SqlwrightError,
    StatementTimeout,
    TooManyWaiting,
    UnknownTable,
)
from sqlwright.execute import execute
from sqlwright.http.callers import Callers
from sqlwright.http.listening import reachable_url
from sqlwright.http.log import Log
from sqlwright.http.metrics import Metrics
from sqlwright.http.snapshot import statistics_folder
from sqlwright.parameters import Call
from sqlwright.plan import make_plan
from sqlwright.query import Access, Cardinality, Query, SourceFile, Statement, Text
from sqlwright.registry import Registry, Reload
from sqlwright.reload import watch
from sqlwright.thread_reader import ThreadReader

QUERIES_PATH = "/queries"
TABLES_PATH = "/tables"
TRANSACTION_PATH = "/transaction"
BACKOFF_SECONDS = (0.2, 5.0)
"""First and longest pause before the database is asked again."""
DESCRIBED_AGAIN_SECONDS = 1.0
"""How often at most a query is described again because its statement failed."""
ANSWER_KEPT_SECONDS = 0.5
"""How long the database's last answer to a readiness probe is believed."""

_AWAY = (DatabaseUnavailable, DatabaseCorrupt, AcquireTimeout, TooManyWaiting, StatementTimeout)
"""What says nothing about the query that was being described."""

_PROBE = Query(
    name="",  # no query has this name
    cardinality=Cardinality.VALUE,
    access=Access.READ,
    statement=Statement((Text("SELECT 1 AS one", 0),), "select"),
    parameters=(),
    source=SourceFile("readiness probe", "SELECT 1 AS one"),
    offset=0,
)


def query_path(name: str) -> str:
    return f"{QUERIES_PATH}/{name.replace('.', '/')}"


@dataclass(frozen=True)
class Served:
    """A registry with its paths. A call takes one of these and keeps it, whatever is swapped in meanwhile."""

    registry: Registry
    by_path: Mapping[str, Query]
    namespaces: Mapping[str, str]
    """Path → dotted prefix; the empty prefix is all."""

    @classmethod
    def of(cls, registry: Registry) -> Served:
        # Scripts are run by people from the command line, never by a request.
        queries = [query for query in registry if query.cardinality is not Cardinality.SCRIPT]
        namespaces = {QUERIES_PATH: ""}
        for query in queries:
            parts = query.name.split(".")[:-1]
            for length in range(1, len(parts) + 1):
                prefix = ".".join(parts[:length])
                namespaces[query_path(prefix)] = prefix
        return cls(registry, {query_path(query.name): query for query in queries}, namespaces)

    @property
    def callable(self) -> Iterable[Query]:
        return self.by_path.values()


class Service:
    def __init__(self, settings: Settings, registry: Registry, snapshot: Path | None = None) -> None:
        self.settings = settings
        self.served = Served.of(registry)
        self.database = Database(settings)
        self.contracts = Contracts(self.database, settings)
        self.tables = Tables(self.database, settings)
        self.log = Log(settings)
        self.callers = Callers()
        self.metrics = Metrics(self._pools, None if snapshot is None else statistics_folder(snapshot))
        self.snapshot = snapshot
        self.thread_reader: ThreadReader | None = None
        self.streams = 0
        """Answers that hold a reading connection while they are sent, `streams_max` at most."""
        self.streams_max = settings.streams_max or max(1, self.database.connections[1] // 2)
        self.leaving = False
        """This process takes no more connections: every answer closes its own."""
        self.draining = False
        """The service ends."""
        self.reload_errors: tuple[Diagnostic, ...] = ()
        self.known_tables: tuple[Table, ...] | None = None if settings.tables else ()
        """Those that are served, as last seen; None before the database has been asked."""
        self.missing_tables: tuple[str, ...] = ()
        self._described: dict[str, Query] = {}
        self._doubted: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._answered: tuple[float, SqlwrightError | None] = (float("-inf"), None)
        self._asking = asyncio.Lock()

    @property
    def registry(self) -> Registry:
        return self.served.registry

    async def open(self) -> None:
        """Never fails because of the database: what is missing is asked for again in the background."""
        await self.database.open()
        self.thread_reader = self.database.thread_reader()
        self.database.on_return(self._ask_again)
        self._tasks.append(asyncio.create_task(self._describe_forever()))
        if self.snapshot is not None:
            self._tasks.append(asyncio.create_task(self.metrics.follow_pools()))
        if self.settings.reload:
            self._tasks.append(asyncio.create_task(self._watch()))

    async def close(self) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.database.close()
        self.metrics.close()
        self.log.close()

    def _pools(self) -> Mapping[str, list[PoolStatus]]:
        return self.database.status()  # looked up each time: tests put another database in its place

    # --- reload -----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        dialect = parse_address(self.settings.database_url).dialect
        try:
            await watch(
                self.settings.queries,
                dialect,
                lambda: self.served.registry,
                self.swap,
                self._stop,
                base_url=reachable_url(self.settings.host, self.settings.port),
                refusal=self._refusal,
            )
        except Exception as error:
            self.log.failure("the folder of queries is no longer watched", error)

    async def _refusal(self, query: Query) -> Diagnostic | None:
        """What the database has against a query that is not yet served."""
        try:
            await Contracts(self.database, self.settings).get(query)
        except QueryInvalid as error:
            return error.diagnostic or query.source.diagnostic(error.code, query.offset, str(error))
        except SqlwrightError:
            return None  # away or busy: that says nothing about the query
        return None

    def swap(self, fresh: Reload) -> None:
        """Serve another registry from now on. Calls that have begun finish with the old one."""
        self.served = Served.of(fresh.registry)
        self.contracts.keep_only(fresh.registry)
        for kept in (self._described, self._doubted):
            for name in [name for name in kept if name not in fresh.registry]:
                del kept[name]
        self.reload_errors = tuple(diagnostic for diagnostic in fresh.diagnostics if diagnostic.severity == "error")
        self._wake.set()

    # --- what the database says -------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Queries that have not been described since they were loaded.

        One that is only described again, because a call of it failed, does not make the service unready.
        """
        return sum(1 for query in self.served.callable if self._described.get(query.name) is not query)

    async def look_at_tables(self) -> None:
        """See which tables there are now. Raises what a lease raises when the database has to be asked and is away."""
        known = []
        for name in await self.tables.names():
            with contextlib.suppress(UnknownTable):  # gone since
                known.append(await self.tables.table(name))
        self.missing_tables = tuple(await self.tables.missing())
        self.known_tables = tuple(known)

    def doubt(self, query: Query) -> None:
        """The database refused a statement it had described: perhaps the schema is another one now."""
        now = time.monotonic()
        if now - self._doubted.get(query.name, float("-inf")) >= DESCRIBED_AGAIN_SECONDS:
            self._doubted[query.name] = now
            self.contracts.forget(query)
            self._wake.set()

    def _ask_again(self) -> None:
        """The database is back after an outage, and may be another one: a restored copy, a new primary."""
        self.contracts.forget_all()
        self.tables.doubt()
        self._wake.set()

    async def _describe_forever(self) -> None:
        """Describe everything; again with growing pauses while the database is away or refuses something."""
        pause, longest = BACKOFF_SECONDS
        while True:
            self._wake.clear()
            complete = await self._describe_all()
            if complete:
                pause = BACKOFF_SECONDS[0]
                await self._wake.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - spreads workers, no secret
                    await self._wake.wait()
            pause = min(pause * 2, longest)

    async def _describe_all(self) -> bool:
        try:
            described = [await self._describe(query) for query in list(self.served.callable)]
            return await self._see_tables() and all(described)
        except _AWAY:
            return False  # the others would say the same

    async def _describe(self, query: Query) -> bool:
        try:
            await self.contracts.get(query)
            self._described[query.name] = query
        except _AWAY:
            raise
        except QueryInvalid:
            self._described[query.name] = query
            return False
        except Exception as error:
            self.log.failure(f"{query.name} could not be described", error)
            return False
        return True

    async def _see_tables(self) -> bool:
        try:
            await self.look_at_tables()
        except _AWAY:
            raise
        except Exception as error:
            self.log.failure("the tables could not be described", error)
            return False
        return True

    async def ask_database(self) -> SqlwrightError | None:
        """None when the database answers. Asked at most every half second, whatever the number of probes."""
        async with self._asking:
            asked, answer = self._answered
            if time.monotonic() - asked >= ANSWER_KEPT_SECONDS:
                answer = await self._ask()
                self._answered = (time.monotonic(), answer)
            return answer

    async def ask_writes(self) -> SqlwrightError | None:
        """Why writes are refused at present, as far as that is known from those that were."""
        async with self._asking:
            return await self.database.ask_writes()

    async def _ask(self) -> SqlwrightError | None:
        try:
            contract = await self.contracts.get(_PROBE)
            await execute(self.database, make_plan(contract, Call((), None, None), paged=False))
        except (AcquireTimeout, TooManyWaiting):
            return self._answered[1]  # busy is not away: believe what was true before
        except SqlwrightError as error:
            return error
        return None
