"""Rows → objects of a class that the caller has: `into=`.

- a dataclass, a NamedTuple, an attrs class, a mapped class of SQLAlchemy: made with the columns as keyword arguments;
- a Pydantic or SQLModel class: validated by it;
- a Tortoise class: made as from its own database, so that it can be saved again;
- a TypedDict: the row itself, once it has been seen that the keys are those;
- anything else that can be called: called with the row.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from sqlwright.errors import RowMismatch
from sqlwright.rows.reader import Row

T = TypeVar("T")

Into = type[T] | Callable[[Row], T]
"""What rows are made into: a class, or a function of the row."""

_KEYWORD_CLASSES = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__mapper__")
_CLASSES_MAX = 512


@dataclass(frozen=True, slots=True)
class Mapper:
    """`make` takes a row. `required` and `known` are its columns; `known` None is any."""

    name: str
    make: Callable[[Row], Any]
    required: frozenset[str] = frozenset()
    known: frozenset[str] | None = None

    def check(self, query: str, columns: Collection[str]) -> None:
        """Raises `RowMismatch` when rows of these columns cannot become this class."""
        missing = sorted(self.required.difference(columns))
        unknown = [name for name in columns if name not in self.known] if self.known is not None else []
        if missing or unknown:
            parts = []
            if missing:
                parts.append(f"the rows have no {', '.join(missing)}")
            if unknown:
                parts.append(f"it has no {', '.join(unknown)}")
            raise RowMismatch(f"rows of {query} do not fit {self.name}: {'; '.join(parts)}")

    def row(self, query: str, row: Row) -> Any:
        """Raises `RowMismatch` when the class refuses the row."""
        try:
            return self.make(row)
        except Exception as error:
            if isinstance(row, dict):
                self.check(query, row)
            raise RowMismatch(f"a row of {query} does not fit {self.name}: {error}") from error


def mapper_of(into: Any) -> Mapper:
    """Raises TypeError for what is neither a class nor a function."""
    if isinstance(into, type) or typing.is_typeddict(into):
        return _class_mapper(into)
    if not callable(into):
        raise TypeError(f"into= takes a class or a function of a row, not {into!r}")
    return Mapper(getattr(into, "__qualname__", repr(into)), into)


@lru_cache(_CLASSES_MAX)
def _class_mapper(into: Any) -> Mapper:
    name = into.__name__
    if typing.is_typeddict(into):
        return Mapper(name, _itself, into.__required_keys__, into.__required_keys__ | into.__optional_keys__)
    if hasattr(into, "model_validate"):
        return Mapper(name, into.model_validate)
    if hasattr(into, "_init_from_db") and hasattr(into, "_meta"):
        return _tortoise(name, into)
    if hasattr(into, "_fields") and issubclass(into, tuple):
        return _keywords(name, into)
    if any(hasattr(into, mark) for mark in _KEYWORD_CLASSES):
        return _keywords(name, into)
    return Mapper(name, into)


def _itself(row: Row) -> Row:
    return row


def _tortoise(name: str, into: Any) -> Mapper:
    """Its columns have the names of its database, and may be some of them."""
    meta = into._meta
    fields = dict(meta.fields_db_projection_reverse)

    def make(row: Row) -> Any:
        if meta.db_native_fields or meta.db_default_fields or meta.db_complex_fields:
            return into._init_from_db(**row)
        made = into(**{fields[column]: value for column, value in row.items()})  # before Tortoise.init
        made._saved_in_db = True
        return made

    return Mapper(name, make, known=frozenset(fields))


def _keywords(name: str, into: Any) -> Mapper:
    required, known = set(), set()
    takes_any = False
    for parameter in inspect.signature(into).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            known.add(parameter.name)
            if parameter.default is parameter.empty:
                required.add(parameter.name)
    known_names = None if takes_any else frozenset(known)
    return Mapper(name, lambda row: into(**row), frozenset(required), known_names)
