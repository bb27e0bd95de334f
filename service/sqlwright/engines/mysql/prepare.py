"""The server reads a statement and tells its columns: COM_STMT_PREPARE, which runs nothing and which aiomysql lacks.

The statement is closed at once. Values are never sent this way.
"""

from __future__ import annotations

import struct
from typing import Any

from pymysql.constants import COMMAND
from pymysql.protocol import FieldDescriptorPacket

from sqlwright.engines.mysql.session import Session

Field = Any
"""A `FieldDescriptorPacket`."""


async def prepare(session: Session, sql: str) -> list[Field]:
    """The columns of a statement with `?` for its values; none where it gives no rows. Raises the driver's errors.

    INSERT and DELETE do not tell the columns of their RETURNING.
    """
    return await session.attend(_prepare(session, session.encoded(sql)))


async def _prepare(session: Session, data: bytes) -> list[Field]:
    await session._execute_command(COMMAND.COM_STMT_PREPARE, data)
    packet = await session._read_packet()
    packet.read(1)
    statement, columns, parameters = struct.unpack("<IHH", packet.read(8))
    await _fields(session, parameters)
    fields = await _fields(session, columns)
    await session._execute_command(COMMAND.COM_STMT_CLOSE, struct.pack("<I", statement))  # has no answer
    return fields


async def _fields(session: Session, count: int) -> list[Field]:
    fields = [await session._read_packet(FieldDescriptorPacket) for _ in range(count)]
    if count:
        await session._read_packet()  # their end
    return fields
