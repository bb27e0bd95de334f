"""By what a table's rows can be found again: its primary key, or a unique key without NULL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlwright.engines.mysql.fetched import Row
from sqlwright.engines.mysql.session import Session

_KEYS = """
SELECT s.index_name, c.column_name, c.data_type, c.is_nullable, c.extra
FROM information_schema.statistics s
LEFT JOIN information_schema.columns c
  ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name
WHERE s.table_schema = COALESCE(%s, DATABASE()) AND s.table_name = %s AND s.non_unique = 0
ORDER BY s.index_name <> 'PRIMARY', s.index_name, s.seq_in_index
"""
_TABLE = """
SELECT t.table_type, e.transactions
FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine
WHERE t.table_schema = COALESCE(%s, DATABASE()) AND t.table_name = %s
"""
_NOT_FOUND_AGAIN = frozenset({"float"})
"""What is shown of a single-precision number is not equal to it."""
_CHANGES_ITSELF = ("virtual generated", "stored generated", "persistent", "on update")
_READERS: Mapping[str, Callable[[bytes], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year"), int),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), bytes),
    "decimal": lambda raw: Decimal(raw.decode()),
    "double": float,
    "bit": int.from_bytes,
}


@dataclass(frozen=True, slots=True)
class KeyColumn:
    name: str
    data_type: str
    """As `information_schema.columns` has it."""

    def value(self, raw: bytes | None) -> Any:
        """What to compare the column with, from what the server gave for it."""
        return None if raw is None else _READERS.get(self.data_type, bytes.decode)(raw)


@dataclass(frozen=True, slots=True)
class TableKeys:
    keys: Sequence[tuple[KeyColumn, ...]]
    """The primary key first."""
    is_view: bool = False
    is_transactional: bool = True


async def load_keys(session: Session, schema: str, table: str) -> TableKeys:
    """Keys that stay what they are unless a statement names their columns. Raises the driver's errors."""
    arguments = [schema or None, table]
    kinds = (await session.fetch(_TABLE, arguments)).rows
    rows = (await session.fetch(_KEYS, arguments)).rows
    return TableKeys(
        list(_keys(rows)),
        is_view=any("view" in kind.lower() for kind, _ in kinds),
        is_transactional=all(transactions in ("YES", None) for _, transactions in kinds),
    )


def _keys(rows: Sequence[Row]) -> Iterator[tuple[KeyColumn, ...]]:
    for _, group in groupby(rows, key=lambda row: row[0]):
        columns = list(group)
        # An expression is no column, and so has no name.
        if all(_stays(*column) for _, *column in columns):
            yield tuple(KeyColumn(name, data_type.lower()) for _, name, data_type, *_ in columns)


def _stays(name: str | None, data_type: str, nullable: str, extra: str) -> bool:
    if name is None or nullable != "NO" or data_type.lower() in _NOT_FOUND_AGAIN:
        return False
    return not any(word in extra.lower() for word in _CHANGES_ITSELF)
