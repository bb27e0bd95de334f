"""Rows as the server wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymysql.connections import TEXT_TYPES
from pymysql.protocol import FieldDescriptorPacket

from sqlwright.engines.mysql.answer import Answer, Values, fields_of
from sqlwright.engines.mysql.types import BINARY_CHARSET

Row = tuple[Any, ...]
RawRow = tuple[bytes | None, ...]


@dataclass(slots=True)
class Fetched:
    """What one statement gave."""

    raw: list[RawRow]
    """A row's values as the server wrote them, in its text notation and UTF-8; NULL is None."""
    columns: bytes = b""
    """Descriptions of the columns as they came; empty for a statement that gives no rows."""
    rowcount: int = 0
    """Rows found by an UPDATE, changed by an INSERT or DELETE; the number of rows where there are any."""
    lastrowid: int = 0
    """The AUTO_INCREMENT value that was made (of the first row); 0 without one."""
    warnings: int = 0
    size: int = 0
    """Bytes of the rows."""
    is_cut: bool = False
    """More rows were on their way than there was room for."""

    @property
    def fields(self) -> list[FieldDescriptorPacket]:
        """One of pymysql's a column: `name`, `type_code`, `flags`, `charsetnr`, `length`, `scale`, `db`, …"""
        return fields_of(self.columns)

    @property
    def rows(self) -> list[Row]:
        """Values as `str`; as `bytes` where the column is binary: BLOB, BINARY, VARBINARY, BIT, GEOMETRY."""
        are_bytes = [is_binary(field) for field in self.fields]
        return [
            tuple(v if v is None or keep else v.decode() for v, keep in zip(row, are_bytes, strict=True))
            for row in self.raw
        ]


def is_binary(field: FieldDescriptorPacket) -> bool:
    return field.type_code in TEXT_TYPES and field.charsetnr == BINARY_CHARSET


def rows_of(answer: Answer) -> Fetched:
    rows = tuples(answer.values, answer.width)
    warnings = answer.warnings
    return Fetched(rows, answer.columns, len(rows), 0, warnings, answer.size, is_cut=not answer.is_whole)


def tuples(values: Values, width: int) -> list[RawRow]:
    return list(zip(*[iter(values)] * width, strict=True))
