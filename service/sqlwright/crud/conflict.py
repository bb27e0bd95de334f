"""What is done about a new row whose key another row has already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlwright.crud.table import Table
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters.refusal import clipped, quoted

Resolution = Literal["merge", "ignore"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """`columns` are those of the key that counts. Another unique key that is taken is an error all the same."""

    resolution: Resolution
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.resolution} on {','.join(self.columns)}"


def conflict_of(table: Table, resolution: Resolution | None, on: Sequence[str] = ()) -> Conflict | None:
    """By the primary key, or by the unique key of the columns `on`. Raises `InvalidParameters`."""
    if resolution is None:
        if on:
            detail = "it needs a preference: merge-duplicates or ignore-duplicates"
            raise InvalidParameters([_fault(detail, "unknown")])
        return None
    if not on:
        if not table.primary_key:
            raise InvalidParameters([_fault(f"{table.name} has no primary key: name the columns of a unique one")])
        return Conflict(resolution, table.primary_key)
    for name in on:
        if name not in table.by_name:
            raise InvalidParameters([_fault(f"{table.name} has no column {quoted(name)}", "unknown")])
    for unique in table.uniques:
        if set(unique.columns) == set(on):
            return Conflict(resolution, unique.columns)
    raise InvalidParameters([not_a_key(table, on)])


def not_a_key(table: Table, on: Sequence[str]) -> ParameterFault:
    known = " or ".join(dict.fromkeys(",".join(unique.columns) for unique in table.uniques)) or "none"
    return _fault(f"{clipped(','.join(on))} is no unique key of {table.name}; there is {known}")


def _fault(detail: str, code: str = "key") -> ParameterFault:
    return ParameterFault("query", "on_conflict", code, detail)
