"""A table as the facade knows it: what a reflected one says, as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from sqlwright.query import SqlType

Kind = Literal["get", "list", "create", "update", "replace", "delete"]
ONE_ROW: frozenset[str] = frozenset({"get", "update", "replace", "delete"})
"""Operations that need a key."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """`default` is SQL text. `values` are those of an enumeration, in their order."""

    name: str
    type: SqlType
    nullable: bool = True
    default: str | None = None
    is_filled: bool = False
    """The database finds a value where none is given: a default, an identity, a row's number."""
    required: bool = False
    """A new row must have a value for it."""
    read_only: bool = False
    """The database alone gives its value: it is generated."""
    values: tuple[str, ...] = ()
    length_max: int | None = None
    """Characters (of bytes: bytes) that the database takes, where it counts them."""
    comparable: bool = True
    """A filter can compare its values with one that is given."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A unique constraint or index, or a rule (`text` is what it checks, where that is known)."""

    name: str
    columns: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    referred_table: str
    referred_columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    name: str
    is_view: bool
    columns: tuple[TableColumn, ...]
    primary_key: tuple[str, ...] = ()
    """Names of its columns in the key's order; empty where there is none."""
    uniques: tuple[Constraint, ...] = ()
    """The primary key among them."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[Constraint, ...] = ()
    reads_back: bool = False
    """RETURNING may not give a row as triggers leave it: what is stored is read."""
    last_row: str = ""
    """SQL: the condition that the row fulfils which the connection has inserted last; empty where there is none."""
    operations: frozenset[str] = field(default=frozenset(), compare=False)

    def __post_init__(self) -> None:
        operations = {"list"}
        if not self.is_view:
            operations |= {"create"} | (ONE_ROW if self.primary_key else frozenset())
        object.__setattr__(self, "operations", frozenset(operations))

    @cached_property
    def by_name(self) -> Mapping[str, TableColumn]:
        return {column.name: column for column in self.columns}

    @property
    def key_columns(self) -> Sequence[TableColumn]:
        return [self.by_name[name] for name in self.primary_key]
