"""PostgreSQL's types: what they are called, which go to asyncpg as they are, and the text form of the others.

asyncpg reads and writes most types through Python objects that cannot hold all of their values (infinity, BC, year
10000, 24:00, the time zone of a timetz …). So only types whose Python form is exact go natively; every other one
travels as text, in PostgreSQL's own notation, and is cast by the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from sqlwright.engines.binder import Binder, as_it_is
from sqlwright.query import Kind, SqlType
from sqlwright.sql.dialect import POSTGRESQL

NATIVE_KINDS = frozenset(
    {Kind.INT2, Kind.INT4, Kind.INT8, Kind.FLOAT4, Kind.FLOAT8, Kind.BOOL, Kind.TEXT, Kind.BYTES, Kind.UUID}
)
_EXTENSION_TEXT = "citext"
_UNSORTABLE = frozenset(
    {"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "xid", "cid", "aclitem", "jsonpath",
     "refcursor", "txid_snapshot", "pg_snapshot", "record", "void", "unknown"}
)  # fmt: skip
_DELIMITERS = {"box": ";"}
"""What separates the items of an array's text, where it is not a comma."""

_ITEM_TYPES = {
    Kind.INT2: "int2", Kind.INT4: "int4", Kind.INT8: "int8", Kind.FLOAT4: "float4", Kind.FLOAT8: "float8",
    Kind.BOOL: "bool", Kind.BYTES: "bytea", Kind.UUID: "uuid",
}  # fmt: skip
_TEXT_TYPES = {"character": "bpchar", "character varying": "varchar", "name": "name"}
"""Without a length: `character[]` would be arrays of single characters."""
_NUL = "must not hold the character U+0000, which the database cannot store"
_type = type
_WRITTEN_PLAINLY = frozenset({str, int, Decimal})

_CATALOGUE = """
WITH RECURSIVE step(root, depth, oid, is_array) AS (
  SELECT o, 0, o, false FROM unnest($1::text::oid[]) o
  UNION ALL
  SELECT s.root, s.depth + 1, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
    s.is_array OR t.typtype <> 'd'
  FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.oid
  WHERE t.typtype = 'd' OR (NOT s.is_array AND t.typlen = -1 AND t.typelem <> 0 AND t.typcategory = 'A')
)
SELECT s.root, s.is_array, t.typname::text AS short_name, format_type(t.oid, -1) AS name,
  t.typtype = 'c' AS is_composite
FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.oid
ORDER BY s.root, s.depth
"""


@dataclass(frozen=True, slots=True)
class CatalogueType:
    """A type of a parameter or a column. `sortable` says that ORDER BY may take it, as far as one knows; `is_composite`
    that it is made of named fields, or a list of such."""

    type: SqlType
    sortable: bool
    is_composite: bool


async def look_up(connection: asyncpg.Connection, oids: Iterable[int]) -> dict[int, CatalogueType]:
    """What the types with these OIDs are. A domain keeps its name and gets the kind of its base type."""
    rows = await connection.fetch(_CATALOGUE, array_literal(sorted(set(oids))))
    steps: dict[int, list[Any]] = {}
    for row in rows:
        steps.setdefault(row["root"], []).append(row)
    return {oid: _catalogue_type(found) for oid, found in steps.items()}


def _catalogue_type(steps: list[Any]) -> CatalogueType:
    # From the type itself down to what it is made of: array, its item, its domain's base.
    is_array = any(step["is_array"] for step in steps)
    named = next((step for step in steps if step["is_array"] == is_array), steps[0])
    base = steps[-1]
    kind = kind_of(base["name"], base["short_name"])
    type = SqlType(named["name"], kind, is_array)
    return CatalogueType(type, base["short_name"] not in _UNSORTABLE, base["is_composite"])


def kind_of(name: str, short_name: str = "") -> Kind:
    return Kind.TEXT if short_name == _EXTENSION_TEXT else POSTGRESQL.kind(name)


def is_native(type: SqlType) -> bool:
    """True when values of this type go to asyncpg as they are. A domain or citext has a native kind but is not."""
    return type.kind in NATIVE_KINDS and type.name != _EXTENSION_TEXT and POSTGRESQL.kind(type.name) is type.kind


def placeholder(value: str, type: SqlType | None, *, cast: bool) -> str:
    """How a value (`$1`, a column) goes in. In parentheses, because `$1::int[1]` would read as a type."""
    if type is None or (is_native(type) and not cast):
        return value
    if is_native(type):
        return f"({value}::{type})"
    return f"({value}::text::{type})"


def item_type(type: SqlType) -> str:
    """The type of the items of an array of values, which are then cast as `placeholder` says."""
    if not is_native(type):
        return "text"
    return _ITEM_TYPES.get(type.kind) or _TEXT_TYPES.get(type.name, "text")


def binder(type: SqlType) -> Binder:
    """How a value goes to the placeholder that `placeholder` makes of the type."""
    if is_native(type) and not type.array and type.kind not in (Kind.TEXT, Kind.UUID):
        return Binder(as_it_is, as_it_is)
    if is_native(type) or type.kind is Kind.ANY:
        return Binder(_checked, None if type.array else _checked_texts)
    delimiter = _DELIMITERS.get(type.name, ",")

    def as_literal(value: Any) -> str:
        return array_literal(value, delimiter) if isinstance(value, list | tuple) else as_text(value)

    return Binder(as_literal, None if type.array else _texts)


def bind(type: SqlType, value: Any) -> Any:
    """A validated value, or None, as asyncpg takes it."""
    return None if value is None else binder(type).one(value)


def _texts(values: Sequence[Any]) -> Sequence[Any]:
    """Scalars as PostgreSQL's input functions read them."""
    types = set(map(_type, values))
    return _checked_texts([str(value) for value in values] if types <= _WRITTEN_PLAINLY else list(map(as_text, values)))


def _checked_texts(values: Sequence[Any]) -> Sequence[Any]:
    if set(map(_type, values)) != {str}:
        return list(map(_checked, values))
    if "\0" in "".join(values):
        raise ValueError(_NUL)
    return values


def _checked(value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(_NUL)
    elif isinstance(value, list):
        for item in value:
            _checked(item)
    elif isinstance(value, Decimal):
        return str(value)
    return value


def as_text(value: Any) -> str:
    """A scalar as PostgreSQL's input functions read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    text = str(value)
    _checked(text)
    return text


def array_literal(items: Iterable[Any], delimiter: str = ",") -> str:
    parts = []
    for item in items:
        if item is None:
            parts.append("NULL")
        elif isinstance(item, list | tuple):
            parts.append(array_literal(item, delimiter))
        else:
            parts.append('"' + as_text(item).replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + delimiter.join(parts) + "}"
