"""What every engine gives the floors above. One file beside this one does it for one database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from sqlwright.address import Address
from sqlwright.engines.binder import Binder
from sqlwright.engines.connector import PoolLimits
from sqlwright.engines.measured import Measured
from sqlwright.engines.pool import Pool
from sqlwright.errors import SqlwrightError
from sqlwright.query import (
    UNBOUNDED,
    Access,
    Description,
    Explanation,
    Isolation,
    Parameter,
    Query,
    Result,
    SqlType,
    Values,
    Window,
)
from sqlwright.sql.dialect import Dialect

IDLE_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session is opened with."""

    read_only: bool
    limits: PoolLimits
    statement_timeout_seconds: float
    lock_timeout_seconds: float
    connect_timeout_seconds: float
    big_numbers_as_text: bool = False
    idle_in_transaction_timeout_seconds: float = 5.0
    pooled: bool = False
    """A pooler gives each transaction another session of the server, so nothing of a session's own holds."""

    @property
    def server_idle_seconds(self) -> float:
        """When a server ends a transaction that does nothing: after we had the time to end it ourselves."""
        return self.idle_in_transaction_timeout_seconds + IDLE_GRACE_SECONDS


Raw = TypeVar("Raw")


class Lease(Generic[Raw]):
    """One connection of a pool, acquired and to be released by whoever holds it; passed on, never looked up.

    Every engine's lease is at the same time a `databases` ConnectionBackend: `raw_connection` is the driver's, and
    SQLAlchemy Core expressions run through `fetch_all` and friends.
    """

    read_only: bool
    broken: bool
    """Throw the connection away at release."""
    in_transaction: bool = False
    """A transaction of ours is open on it (`Engine.begin`), so statements join it instead of making their own."""


@dataclass(frozen=True, slots=True)
class Program:
    """A query compiled for one engine: the exact statement, and in which order it takes the values.

    `sql` is what `sqlwright show` prints. `order` lists parameter names by placeholder position, from 1.
    Engines subclass it with what else they prepare (the wrapped statement, encoders).
    """

    query: Query
    sql: str
    order: tuple[str, ...]
    keeps_session: bool = field(default=False, kw_only=True)
    """Proven: running it leaves nothing behind in the session, so that the session need not be reset."""
    many: str = field(default="", kw_only=True)
    """What runs it for several items at once; empty where it is not proven that each gets what it gets alone."""
    measured: Measured = field(default_factory=Measured, kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """Connections per pool where the settings say nothing; `writer_max` caps what they say."""

    reader: int
    writer: int
    writer_max: int = 1000


@dataclass(frozen=True, slots=True)
class ConnectionsMax:
    """How many connections a user may have at one time, and which of the database's limits says so."""

    count: int
    reason: str


class Engine(ABC):
    """All that a database does differently. Stateless but for settings; leases carry the connections."""

    dialect: ClassVar[Dialect]
    backend: ClassVar[str]
    """Its `databases` backend, "module:Class": `Class(url, *, options: SessionOptions)`, later with a `pool`."""
    pool_sizes: ClassVar[PoolSizes]
    limits_connections: ClassVar[bool] = False
    """There is a server that gives a user so many connections and no more (`connections_max`)."""

    readers_keep_writers_out: ClassVar[bool] = False
    """Until there has been one who writes, nobody can begin to while somebody reads."""

    def has_one_pool(self, address: Address) -> bool:  # noqa: ARG002 - for engines where it depends
        """True where reading and writing must share one connection (a database in memory)."""
        return False

    @abstractmethod
    def compile(self, query: Query, description: Description | None = None) -> Program:
        """Pure. Without a description (`show`, `list`) the plain statement; with one, what `run` needs."""

    @abstractmethod
    async def describe(self, lease: Any, query: Query) -> Description:
        """Ask the database, without running the statement, for parameter types and columns.

        Raises `QueryInvalid` with a diagnostic in the query's file when the database refuses the statement.
        """

    @abstractmethod
    async def run(
        self, lease: Any, program: Program, values: Values, *, window: Window | None, timeout_seconds: float
    ) -> Result:
        """Run one call. `window` None gives every row. Raises only `SqlwrightError`s and CancelledError."""

    reads_at_once = False
    """Short reads can run on the thread that asks for them (`read_at_once`)."""

    def is_short(self, program: Program) -> bool:  # noqa: ARG002 - for engines that read at once
        """Whether it is worth trying to read at once, by what calls took so far."""
        return False

    def read_at_once(self, session: Any, program: Program, values: Values, window: Window | None) -> Result | None:
        """A read without a lease, on a reading session that is free and stays so; never awaits. None where it has to
        run in the usual way, because it took too long, or failed."""
        raise NotImplementedError

    async def look_at(self, session: Any) -> None:
        """Before one is kept for such reads: see whether it is fit for them. May raise anything."""
        raise NotImplementedError

    def begin_reads(self, session: Any) -> bool:
        """Have several of them see one state of the database. False where that cannot be just now."""
        raise NotImplementedError

    def end_reads(self, session: Any) -> None:
        """Where they began."""
        raise NotImplementedError

    starts_reads = False
    """Reads can be driven by who has no task (`start_read`); the backend has a `chooser` of sessions for it."""

    def start_read(
        self, session: Any, program: Program, values: Values, window: Window | None, timeout_seconds: float
    ) -> Coroutine[Any, None, Result]:
        """`run` without a lease, on a reading session that is lent. It knows no time but the server's own, raises the
        driver's errors, and does not ask which task it is in."""
        raise NotImplementedError

    def batch_key(
        self,
        program: Program,  # noqa: ARG002 - for engines that have one
        values: Values,  # noqa: ARG002
        window: Window | None,  # noqa: ARG002
    ) -> Hashable:
        """What must be equal for calls of `program.many` to run together; None for a call that cannot with any."""
        return ()

    async def run_many(
        self, lease: Any, program: Program, items: Sequence[Values], *, window: Window | None, timeout_seconds: float
    ) -> list[Result]:
        """Run a program once for each item: in one statement where it has `many` (and the items the same `batch_key`),
        else one after the other, `timeout_seconds` each. As many results, in order, each what `run` gives. Raises what
        `run` raises; then nothing is known of any item."""
        return [await self.run(lease, program, item, window=window, timeout_seconds=timeout_seconds) for item in items]

    @abstractmethod
    async def run_bulk(
        self, lease: Any, program: Program, items: Sequence[Values], *, timeout_seconds: float
    ) -> Result:
        """Run one statement once per item, all or nothing; `affected` is the sum. An error that is about one item has
        its `index`."""

    @abstractmethod
    async def run_script(self, lease: Any, program: Program, *, timeout_seconds: float | None) -> Result:
        """Run several statements, in one transaction where the engine can; in the open one of `lease`, if there is one.

        Raises `QueryInvalid` with a diagnostic for a statement that the database does not understand.
        """

    # --- transactions: what `transaction/` is made of ----------------------------------------------------------
    #
    # All raise only `SqlwrightError`s and CancelledError. A caller that is cancelled, or gets an error, inside one of
    # these just releases the lease: the pool's own task rolls back and mends the connection, or throws it away.

    async def begin(self, lease: Any, *, isolation: Isolation | None, read_only: bool, timeout_seconds: float) -> None:
        """Open a transaction and set `lease.in_transaction`. `isolation` None is the database's own default; a named
        one is given or a stronger one, never a weaker. `run`, `run_bulk`, `stream` join it; `run` of a query that reads
        is kept from writing in it all the same."""
        raise NotImplementedError

    async def commit(self, lease: Any, *, timeout_seconds: float) -> None:
        """Raises `TransactionFailed` when the database answered with a rollback, the constraint's error when it
        refused (rolled back then), `SerializationFailure`, or `OutcomeUnknown` when the connection was lost."""
        raise NotImplementedError

    async def rollback(self, lease: Any, *, timeout_seconds: float) -> None:
        """Also of a transaction that the database has already ended."""
        raise NotImplementedError

    async def allow_writes(self, lease: Any, *, timeout_seconds: float) -> None:  # noqa: B027 - nothing to do for most
        """Before a write in a transaction, also one by the driver or by SQLAlchemy Core: for engines where `run` of a
        query that reads leaves something behind that keeps the transaction from writing."""

    async def stop(self, lease: Any, *, timeout_seconds: float) -> None:  # noqa: B027 - nothing to do for most
        """End the statement that a cancelled caller has left, for who goes on with the lease all the same; for
        engines where the next statement does not see to that by itself."""

    async def stay_idle(self, lease: Any, *, timeout_seconds: float) -> None:  # noqa: B027 - nothing to do for most
        """Let the open transaction be idle for as long as it likes (a test in a debugger), where the session's own
        settings would end it."""

    async def try_write(self, lease: Any, *, timeout_seconds: float) -> None:
        """Whether writes are taken again: raises what refuses them. Nothing that anybody could see is changed."""
        await self.begin(lease, isolation=None, read_only=False, timeout_seconds=timeout_seconds)
        await self.rollback(lease, timeout_seconds=timeout_seconds)

    async def savepoint(self, lease: Any, name: str, *, timeout_seconds: float) -> None:
        """`name` is one of ours (letters and digits)."""
        raise NotImplementedError

    async def release_savepoint(self, lease: Any, name: str, *, timeout_seconds: float) -> None:
        raise NotImplementedError

    async def rollback_to_savepoint(self, lease: Any, name: str, *, timeout_seconds: float) -> None:
        """Undo what came after the savepoint; the savepoint itself is gone too afterwards."""
        raise NotImplementedError

    # --- beyond single calls ------------------------------------------------------------------------------------

    def stream(
        self,
        lease: Any,
        program: Program,
        values: Values,
        *,
        chunk_rows: int,
        timeout_seconds: float | None,
        chunk_bytes: int = UNBOUNDED,
        separator: str = ",",
    ) -> AsyncGenerator[Result, None]:
        """The rows of a many-row read from a server-side cursor, up to `chunk_rows` a Result, and less where they would
        have much more than `chunk_bytes`; joined by `separator`, a comma or a line break. Who leaves early just
        releases the lease, closed generator or not. `timeout_seconds` bounds each fetch, not the whole."""
        raise NotImplementedError

    async def explain(
        self, lease: Any, program: Program, values: Values, *, analyze: bool, timeout_seconds: float
    ) -> Explanation:
        """The plan of a call. `analyze` runs it, in a transaction that is always rolled back."""
        raise NotImplementedError

    async def reflect(self, lease: Any, names: Collection[str] | None) -> Any:
        """The tables and views of the database's default schema as a `sqlalchemy.MetaData`, `names` None for all."""
        raise NotImplementedError

    async def connections_max(self, lease: Any) -> ConnectionsMax | None:  # noqa: ARG002 - for servers
        """The smallest limit that holds for this user. None where there is none, or where it cannot be known."""
        return None

    @abstractmethod
    def binder(self, type: SqlType) -> Binder:
        """How validated values of a type (see `parameters/values.py` for their Python form) become what the driver
        takes."""

    def bind(self, parameter: Parameter, type: SqlType, value: Any) -> Any:  # noqa: ARG002 - as it reads best
        """One value, or None. Raises ValueError with a message for the caller when this engine cannot hold it."""
        return None if value is None else self.binder(type).one(value)

    @abstractmethod
    def translate(self, error: BaseException, access: Access) -> SqlwrightError | None:
        """The driver's exception as ours; None when it is not the driver's."""


__all__ = ["Access", "ConnectionsMax", "Engine", "Lease", "Pool", "PoolSizes", "Program", "SessionOptions"]
