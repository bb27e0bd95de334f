"""A MariaDB or MySQL connection that outlives its callers, and what it gives.

`Session.fetch(sql, args)` sends a statement and reads its answer, in one write and mostly one read. Who is cancelled
meanwhile just leaves: what is still to come stays `expected`, and a task of the pool stops the statement and reads on.
`args` None sends the text as it is; otherwise its `%s` are filled in order and `%%` is a per cent sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

import aiomysql
import pymysql
from pymysql.constants import CLIENT, COMMAND, CR, SERVER_STATUS
from pymysql.converters import escape_string

from sqlwright.engines.mysql.answer import Answer, OutOfOrder, packet
from sqlwright.engines.mysql.errors import translate
from sqlwright.engines.mysql.fetched import Fetched, RawRow, rows_of, tuples
from sqlwright.errors import ProgramLimitExceeded
from sqlwright.query import UNBOUNDED, Access

T = TypeVar("T")
Outcome: TypeAlias = "Fetched | pymysql.err.MySQLError"

COM_RESET_CONNECTION = 0x1F
SESSION_TRACK = 1 << 23
STATE_CHANGED = 1 << 14
"""With SESSION_TRACK a server says where a statement, or a function in it, has changed the session."""
_ROWS_READ_AWAY = 1000
_READ_BYTES = 256 * 1024
"""Read at once at most; the stream holds no more than half of that before it waits."""
_PACKET_MAX = 16 * 1024 * 1024
"""What a server takes in one packet where it does not say (`max_allowed_packet`)."""


class Session(aiomysql.Connection):  # type: ignore[misc]
    """A connection whose statements go on when their caller leaves: the pool's task stops them and reads their end."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self.url = url
        """Of the one host that it leads to."""
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS  # aiomysql sets it, whoever asks
        self.packet_max = _PACKET_MAX
        self.user_connections = 0
        """How many its user may have, asked when it is opened: a reset forgets it. 0 is none."""
        self.settings = b""
        """The SET statement that makes it a session of ours, again after each reset."""
        self.time_setting = ""
        """The server's setting that limits a statement's time; empty where it has none."""
        self.timeout_seconds: float | None = None
        """The server's own limit for the statements of this session at present; None where it has none."""
        self.used = False
        """Something ran since the last reset that may have left something behind."""
        self.renewed_at = 0.0
        self.expected = 0
        """Answers that are still to come."""
        self.cursor_is_open = False
        """Rows of a stream may still be on their way: no statement runs, but for those."""
        self.running: asyncio.Task[Any] | None = None
        """Of the driver's own ways, see `attend`."""
        self._answer: Answer | None = None
        """What has come in part."""
        self._data = b""
        self._at = 0
        """What has come and is not read yet is `_data` from here on."""

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            # aiomysql would go on in the clear.
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")

    @property
    def is_busy(self) -> bool:
        return self.expected > 0 or (self.running is not None and not self.running.done())

    # --- statements ---------------------------------------------------------------------------------------------

    async def fetch(
        self,
        sql: str,
        args: Sequence[Any] | None = None,
        *,
        bytes_max: int = UNBOUNDED,
        leaves_nothing: bool = False,
    ) -> Fetched:
        """Run one statement and read its answer, all of it that has room. Raises the driver's errors.

        `leaves_nothing`: the session need not be reset because of it.
        """
        await self._send(packet(COMMAND.COM_QUERY, self.encoded(sql, args)))
        self.used = self.used or not leaves_nothing
        return await self._fetched(bytes_max)

    async def fetch_many(self, statements: Sequence[bytes], *, bytes_max: int = UNBOUNDED) -> list[Fetched]:
        """Send all statements at once and read their answers: one round trip. Raises the first error, after all ran."""
        return _good(await self.try_many(statements, bytes_max=bytes_max))

    async def try_many(self, statements: Sequence[bytes], *, bytes_max: int = UNBOUNDED) -> list[Outcome]:
        """The same, with an error in the place of the answer of a statement that failed."""
        await self._send(*(packet(COMMAND.COM_QUERY, data) for data in statements))
        self.used = True
        return await self._outcomes(bytes_max)

    async def renew(self) -> None:
        """Back to how we set it up: the server rolls back, drops temporary tables, frees user locks."""
        await self._send(packet(COM_RESET_CONNECTION, b""), packet(COMMAND.COM_QUERY, self.settings))
        _good(await self._outcomes())
        self.used = False

    async def open_cursor(self, sql: str, args: Sequence[Any] | None) -> Cursor:
        """Send a statement whose rows are read piece by piece. Close it before anything else is sent."""
        await self._send(packet(COMMAND.COM_QUERY, self.encoded(sql, args)))
        self.used = True
        self._answer = answer = Answer(rows_max=0)
        if await self._read(answer):
            self._pass(answer)
        else:
            self.cursor_is_open = True
        return Cursor(self, answer)

    def encoded(self, sql: str, args: Sequence[Any] | None = None) -> bytes:
        """The bytes of a statement with its values in place. Raises UnicodeEncodeError, `ProgramLimitExceeded`."""
        text = sql if args is None else sql % tuple(map(self.escape, args))
        return self.within_packet(text.encode("utf-8"))

    def within_packet(self, data: bytes) -> bytes:
        """A statement that the server takes. Raises `ProgramLimitExceeded`."""
        if len(data) >= self.packet_max:
            # The server would close the connection.
            raise ProgramLimitExceeded("the statement with its values is too large for the database")
        return data

    async def _send(self, *packets: bytes) -> None:
        await self._make_ready()
        assert self._writer is not None, "it is open"
        self.expected = len(packets)
        self._writer.write(packets[0] if len(packets) == 1 else b"".join(packets))

    async def _make_ready(self) -> None:
        if self.cursor_is_open and self.is_open:  # a stream was left before its end, and its transaction goes on
            await self.settle()
        if not self.is_open:  # so that nobody takes it for sent; uvloop would raise a RuntimeError
            raise pymysql.err.InterfaceError(0, "the server has ended the connection")
        if self.expected:
            raise RuntimeError("a statement still runs on this connection")

    async def _outcomes(self, bytes_max: int = UNBOUNDED) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self.expected:
            try:
                fetched = await self._fetched(bytes_max)
                outcomes.append(fetched)
                if fetched.is_cut:
                    await self.settle(self.expected - 1)
            except pymysql.err.MySQLError as error:
                if not self.is_open:
                    raise
                outcomes.append(error.with_traceback(None))  # which leads to these outcomes: a cycle
        return outcomes

    async def _fetched(self, bytes_max: int = UNBOUNDED) -> Fetched:
        """Read the whole answer of a statement that was sent: of a CALL the first rows and the last count."""
        fetched: Fetched | None = None
        self._answer = answer = Answer(bytes_max)
        while True:
            if not await self._read(answer):
                # The rest stays on its way, as that of a stream which is left.
                self.cursor_is_open = True
                return rows_of(answer)
            following = self._pass(answer)
            if not answer.width:
                if fetched is None:
                    fetched = Fetched([], b"", answer.affected, answer.insert_id, answer.warnings)
                elif not fetched.columns:
                    fetched.rowcount = answer.affected
            elif fetched is None or not fetched.columns:
                fetched = rows_of(answer)
            if following is None:
                return fetched
            answer = following

    # --- what comes ---------------------------------------------------------------------------------------------

    async def _read(self, answer: Answer) -> bool:
        """Until it is whole (True) or full. Who is cancelled here may go on later."""
        try:
            self._at = answer.take(self._data, self._at)
            while not (answer.is_whole or answer.is_full):
                await self._receive(answer.missing)
                self._at = answer.take(self._data, self._at)
        except OutOfOrder as error:  # MySQL gives the number 0 to what it says when it shuts down
            raise self._lost() from error
        return answer.is_whole

    async def _receive(self, missing: int) -> None:
        reader = self._reader
        if reader is None:
            raise self._lost()
        try:
            data = await (reader.readexactly(missing) if missing > _READ_BYTES else reader.read(_READ_BYTES))
        except (OSError, EOFError) as error:
            raise self._lost() from error
        if not data:
            raise self._lost()
        self._data = self._data[self._at :] + data
        self._at = 0

    def _lost(self) -> pymysql.err.OperationalError:
        self.close()
        self.expected, self.cursor_is_open, self._answer = 0, False, None
        return pymysql.err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")

    def _pass(self, answer: Answer) -> Answer | None:
        """From an answer that is whole to what a procedure answers next. Raises its error."""
        if not answer.error:
            self.server_status = answer.status
            if answer.status & STATE_CHANGED:
                self.used = True
            if answer.has_next:
                self._answer = answer.next()
                return self._answer
        self._answer = None
        self.expected -= 1
        self.cursor_is_open = False
        if answer.error:
            pymysql.err.raise_mysql_exception(answer.error)
        return None

    async def settle(self, left: int = 0) -> None:
        """Read away what is still to come, but for so many answers. Raises nothing of what stopped it."""
        while self.expected > left:
            self._answer = answer = self._answer or Answer()
            answer.more(_ROWS_READ_AWAY)
            if await self._read(answer):
                with suppress(pymysql.err.MySQLError):
                    self._pass(answer)

    async def _read_bytes(self, num_bytes: int) -> bytes:
        """Of the driver's own ways: first what has come already."""
        kept = self._data[self._at : self._at + num_bytes]
        self._at += len(kept)
        rest: bytes = await super()._read_bytes(num_bytes - len(kept)) if len(kept) < num_bytes else b""
        return kept + rest

    # --- the driver's own ways ----------------------------------------------------------------------------------

    async def attend(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on this connection. Who is cancelled here leaves it running, as `running`: aiomysql closes a
        connection that is cancelled while it reads, and the statement would go on unseen."""
        if self.running is not None and not self.running.done():
            work.close()
            raise RuntimeError("a statement still runs on this connection")
        self.used = True
        task = asyncio.get_running_loop().create_task(work)
        self.running = task
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if task.cancelled() and not (me and me.cancelling()):
                raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the connection was ended") from None
            task.add_done_callback(_see)
            raise
        finally:
            if task.done():
                self.running = None
            del task  # its error leads here, and would keep itself

    async def _execute_command(self, command: int, sql: Any) -> None:
        await self._make_ready()
        await super()._execute_command(command, sql)

    async def query(self, sql: Any, unbuffered: bool = False) -> Any:
        """aiomysql's own way, which SQLAlchemy expressions take: rows are converted."""
        return await self.attend(super().query(sql, unbuffered))

    # --- its state ----------------------------------------------------------------------------------------------

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.server_version.lower()

    def time_limit(self, seconds: float | None) -> str:
        """What to SET so that the server stops a statement after that time; None for no limit."""
        if self.time_setting.endswith("_execution_time"):
            return f"{self.time_setting} = {0 if seconds is None else max(1, round(seconds * 1000))}"
        return f"{self.time_setting} = {0 if seconds is None else max(0.000001, seconds):.6f}"

    async def limit_time(self, seconds: float | None) -> None:
        """Set the server's own limit for this use of the session; the reset brings back the session's.

        What fails here has changed nothing, whatever statement comes after.
        """
        if self.time_setting and seconds != self.timeout_seconds:
            try:
                await self.fetch(f"SET {self.time_limit(seconds)}")
            except Exception as error:
                raise translate(error, Access.READ) or error from error
            self.timeout_seconds = seconds

    @property
    def is_open(self) -> bool:
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or writer.is_closing():
            return False
        return not reader.eof_received and reader.exception() is None

    @property
    def in_transaction(self) -> bool:
        return bool(self.get_transaction_status())

    def escape(self, obj: Any) -> str:
        """A value as SQL text. Texts are safe because the session speaks UTF-8, where no byte hides a quote."""
        if obj is None:
            return "NULL"
        if isinstance(obj, bool):
            return "1" if obj else "0"
        if isinstance(obj, str):
            if self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
                return "'" + obj.replace("'", "''") + "'"
            return f"'{escape_string(obj)}'"
        if isinstance(obj, int):
            return str(obj)
        if isinstance(obj, Decimal):
            return format(obj, "f")  # with an exponent it would be a double
        if isinstance(obj, bytes | bytearray | memoryview):
            return "_binary X'" + bytes(obj).hex() + "'"
        return str(super().escape(obj))


class Cursor:
    """The rows of one statement, as they come."""

    def __init__(self, session: Session, answer: Answer) -> None:
        self._session = session
        self._answer = answer
        self.columns = answer.columns
        """Empty for a statement that gives no rows."""

    @property
    def has_more(self) -> bool:
        """Perhaps: that the last row was the last is said behind it."""
        return not self._answer.is_whole

    async def fetch(self, rows_max: int, bytes_max: int = UNBOUNDED) -> list[RawRow]:
        """The next rows: fewer than asked for at the end, or where they have reached `bytes_max`."""
        answer, session = self._answer, self._session
        if answer.is_whole:
            return []
        if not session.is_open:
            raise pymysql.err.InterfaceError(0, "the server has ended the connection")
        answer.more(rows_max, bytes_max)
        if await session._read(answer):
            session._pass(answer)
        return tuples(answer.more(0), answer.width)


def _good(outcomes: Sequence[Outcome]) -> list[Fetched]:
    answers = []
    for outcome in outcomes:
        if isinstance(outcome, pymysql.err.MySQLError):
            try:
                raise outcome
            finally:
                del outcome, outcomes  # its traceback leads back here: a cycle would keep all of the call
        answers.append(outcome)
    return answers


def _see(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it any more
