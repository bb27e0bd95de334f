"""A MariaDB or MySQL connection that outlives its callers, and what it gives.

`Session.fetch(sql, args)` answers with a `Fetched`. Its `rows` hold the server's own text, nothing is converted:

- NULL is None;
- `bytes` where the column is binary (charset 63): BLOB, BINARY, VARBINARY, BIT, GEOMETRY;
- `str` everywhere else: text, JSON, ENUM and SET as they are; integers, decimals, floats, dates, times and years in the
  server's notation (`-7`, `12.50`, `1e30`, `2026-01-31 12:00:00.000001`, `-838:59:59`, `2026`).

`Fetched.fields` has one of pymysql's `FieldDescriptorPacket`s a column: `name`, `type_code`, `flags`, `charsetnr`,
`length`, `scale`, `db`, `org_table`, `org_name`. It is empty for a statement that gives no rows.
`args` None sends the text as it is; otherwise its `%s` are filled in order and `%%` is a per cent sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import aiomysql
import pymysql
from aiomysql.connection import MySQLResult
from pymysql.connections import TEXT_TYPES
from pymysql.constants import CLIENT, COMMAND, CR, SERVER_STATUS
from pymysql.converters import escape_string
from pymysql.protocol import EOFPacketWrapper, FieldDescriptorPacket

from sqlwright.engines.mysql.errors import translate
from sqlwright.errors import ProgramLimitExceeded
from sqlwright.query import UNBOUNDED, Access

T = TypeVar("T")
Row = tuple[Any, ...]

COM_RESET_CONNECTION = 0x1F
_BINARY_CHARSET = 63
_ROWS_AT_ONCE = 256
_PACKET_MAX = 16 * 1024 * 1024
"""What a server takes in one packet where it does not say (`max_allowed_packet`)."""


@dataclass(slots=True)
class Fetched:
    """What one statement gave."""

    rows: list[Row]
    fields: Sequence[FieldDescriptorPacket] = ()
    rowcount: int = 0
    """Rows found by an UPDATE, changed by an INSERT or DELETE; the number of `rows` where there are any."""
    lastrowid: int = 0
    """The AUTO_INCREMENT value that was made (of the first row); 0 without one."""
    warnings: int = 0
    size: int = 0
    """Bytes of the rows."""
    is_cut: bool = False
    """More rows were on their way than there was room for."""


class RawResult(MySQLResult):  # type: ignore[misc]
    """Reads what the server sends without converting it, and keeps its word on the transaction."""

    fields: list[FieldDescriptorPacket]
    connection: Any
    rows: Any

    def __init__(self, connection: Session, bytes_max: int = UNBOUNDED) -> None:
        super().__init__(connection)
        self._bytes_max = bytes_max
        self.size = 0
        self.is_cut = False

    async def _read_rowdata_packet(self) -> None:
        """Stops behind the row that has no room any more. The others can still be read, or the statement ended."""
        rows = []
        while True:
            packet = await self.connection._read_packet()
            if self._check_packet_is_eof(packet):
                self.connection = None
                break
            rows.append(self._read_row_from_packet(packet))
            if len(rows) % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)  # what has arrived is read without a pause
            self.size += len(packet.get_all_data())
            if self.size > self._bytes_max:
                self.is_cut = True
                break
        self.affected_rows = len(rows)
        self.rows = tuple(rows)

    async def _get_descriptions(self) -> None:
        self.fields = []
        self.converters = []
        for _ in range(self.field_count):
            field = await self.connection._read_packet(FieldDescriptorPacket)
            self.fields.append(field)
            is_bytes = field.type_code in TEXT_TYPES and field.charsetnr == _BINARY_CHARSET
            self.converters.append((None if is_bytes else "utf-8", None))
        ending = await self.connection._read_packet()
        assert ending.is_eof_packet(), "the server ends its descriptions"

    def _check_packet_is_eof(self, packet: Any) -> bool:
        if not packet.is_eof_packet():
            return False
        ending = EOFPacketWrapper(packet)
        self.warning_count, self.has_next = ending.warning_count, ending.has_next
        self.server_status = ending.server_status
        return True


class Session(aiomysql.Connection):  # type: ignore[misc]
    """A connection whose statements go on when their caller leaves: the pool's task stops them and reads their end.

    aiomysql closes a connection that is cancelled while it reads, and the statement would go on unseen.
    """

    _result: RawResult | None

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self.url = url
        """Of the one host that it leads to."""
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS  # aiomysql sets it, whoever asks
        self.packet_max = _PACKET_MAX
        self.settings = ""
        """The SET statement that makes it a session of ours, again after each reset."""
        self.time_setting = ""
        """The server's setting that limits a statement's time; empty where it has none."""
        self.timeout_seconds: float | None = None
        """The server's own limit for the statements of this session at present; None where it has none."""
        self.used = False
        """A statement ran since the last reset."""
        self.running: asyncio.Task[Any] | None = None
        self.cursor_is_open = False
        """Rows of a stream may still be on their way."""

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            # aiomysql would go on in the clear.
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")

    @property
    def is_busy(self) -> bool:
        return self.cursor_is_open or (self.running is not None and not self.running.done())

    async def attend(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on this connection. Who is cancelled here leaves it running, as `running`."""
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

    async def fetch(self, sql: str, args: Sequence[Any] | None = None, *, bytes_max: int = UNBOUNDED) -> Fetched:
        """Run one statement and read its answer, all of it that has room. Raises the driver's errors."""
        return await self.attend(self._fetch(self.encoded(sql, args), bytes_max))

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

    async def _fetch(self, data: bytes, bytes_max: int) -> Fetched:
        await self._execute_command(COMMAND.COM_QUERY, data)
        return await self.answer(bytes_max)

    async def fetch_many(self, statements: Sequence[bytes]) -> list[Fetched]:
        """Send all statements at once and read their answers: one round trip. Raises the first error, after all ran."""
        answers = []
        for answer in await self.try_many(statements):
            if isinstance(answer, pymysql.err.MySQLError):
                raise answer
            answers.append(answer)
        return answers

    async def try_many(self, statements: Sequence[bytes]) -> list[Fetched | pymysql.err.MySQLError]:
        """The same, with an error in the place of the answer of a statement that failed."""
        return await self.attend(self._try_many(statements))

    async def _try_many(self, statements: Sequence[bytes]) -> list[Fetched | pymysql.err.MySQLError]:
        for data in statements:
            await self._execute_command(COMMAND.COM_QUERY, data)
        answers: list[Fetched | pymysql.err.MySQLError] = []
        for _ in statements:
            self._next_seq_id = 1
            try:
                answers.append(await self.answer())
            except pymysql.err.MySQLError as error:
                if not self.is_open:
                    raise
                answers.append(error)
        return answers

    async def answer(self, bytes_max: int = UNBOUNDED) -> Fetched:
        """Read the whole answer of a statement that was sent: of a CALL the first rows and the last count."""
        fetched: Fetched | None = None
        while True:
            result = RawResult(self, bytes_max)
            await result.read()
            if result.is_cut:
                return self._cut(result)
            self.server_status = result.server_status
            if result.rows is None:
                if fetched is None:
                    fetched = Fetched([], (), result.affected_rows, result.insert_id, result.warning_count)
                elif not fetched.fields:
                    fetched.rowcount = result.affected_rows
            elif fetched is None or not fetched.fields:
                count = len(result.rows)
                fetched = Fetched(list(result.rows), result.fields, count, 0, result.warning_count, result.size)
            if not result.has_next:
                return fetched or Fetched([])

    def _cut(self, result: RawResult) -> Fetched:
        """The rest stays on its way, as that of a stream which is left."""
        result.connection, result.unbuffered_active = self, True
        self._result, self.cursor_is_open = result, True
        rows = list(result.rows)
        return Fetched(rows, result.fields, len(rows), size=result.size, is_cut=True)

    async def open_cursor(self, sql: str, args: Sequence[Any] | None) -> Cursor:
        """Send a statement whose rows are read piece by piece. Close it before anything else is sent."""
        return await self.attend(self._open_cursor(self.encoded(sql, args)))

    async def _open_cursor(self, data: bytes) -> Cursor:
        result = RawResult(self)
        await self._execute_command(COMMAND.COM_QUERY, data)
        self.cursor_is_open = True
        try:
            await result.init_unbuffered_query()
        except BaseException:
            self.cursor_is_open = False
            raise
        self._result = result
        self.cursor_is_open = result.unbuffered_active
        return Cursor(self, result)

    async def drain(self) -> None:
        """Read what is left of a cursor's rows. Raises nothing of what stopped them."""
        result = self._result
        try:
            while result is not None and result.unbuffered_active:
                await result._read_rowdata_packet_unbuffered()
        except pymysql.err.MySQLError:
            if not self.is_open:
                raise
        self.cursor_is_open = False
        self._result = None

    async def _execute_command(self, command: int, sql: Any) -> None:
        if self.cursor_is_open and self.is_open:  # a stream was left before its end, and its transaction goes on
            await self.drain()
        if not self.is_open:  # so that nobody takes it for sent; uvloop would raise a RuntimeError
            raise pymysql.err.InterfaceError(0, "the server has ended the connection")
        await super()._execute_command(command, sql)

    async def query(self, sql: Any, unbuffered: bool = False) -> Any:
        """aiomysql's own way, which SQLAlchemy expressions take: rows are converted."""
        return await self.attend(super().query(sql, unbuffered))

    async def reset(self) -> None:
        """Bring the session back to the server's defaults: it rolls back, drops temporary tables, frees user locks."""
        await self._execute_command(COM_RESET_CONNECTION, b"")
        await self._read_ok_packet()
        self.used = False

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

    def __init__(self, session: Session, result: RawResult) -> None:
        self._session = session
        self._result = result
        self.fields: Sequence[FieldDescriptorPacket] = result.fields if result.unbuffered_active else ()

    async def fetch(self, rows_max: int) -> list[Row]:
        """The next rows; fewer than asked for only at the end."""
        return await self._session.attend(self._fetch(rows_max))

    async def _fetch(self, rows_max: int) -> list[Row]:
        rows: list[Row] = []
        session, result = self._session, self._result
        try:
            while len(rows) < rows_max and result.unbuffered_active:
                row = await result._read_rowdata_packet_unbuffered()
                if row is not None:
                    rows.append(row)
        except BaseException:
            session.cursor_is_open = False  # an error is the last packet
            raise
        if not result.unbuffered_active:
            session.cursor_is_open = False
            session._result = None
            session.server_status = result.server_status
        return rows


def _see(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it any more
