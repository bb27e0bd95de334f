"""The tables of a PostgreSQL database's default schema: SQLAlchemy for the constraints, the catalogue for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import sqlalchemy

from sqlwright.engines.postgres.session import PostgresLease, Session
from sqlwright.engines.postgres.types import CatalogueType, array_literal, look_up
from sqlwright.engines.reflection import (
    Borrowed,
    ColumnFacts,
    SchemaReader,
    TableFacts,
    is_wanted,
    set_facts,
)

# Views of extensions belong to the system; of a partitioned table the whole is served, a part only by its name.
_RELATIONS = """
SELECT c.relname::text AS name, c.relkind IN ('v', 'm') AS is_view,
  c.relispartition OR EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  ) AS is_aside,
  EXISTS (
    SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 7 = 7
  ) AS may_fill
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND c.relnamespace = quote_ident(current_schema())::regnamespace
"""
_COLUMNS = """
WITH RECURSIVE base(root, oid, not_null, type_default, length) AS (
  SELECT oid, oid, typnotnull, typdefault, typtypmod FROM pg_catalog.pg_type WHERE typtype = 'd'
  UNION ALL
  SELECT b.root, t.oid, b.not_null OR t.typnotnull, coalesce(b.type_default, t.typdefault),
    CASE WHEN b.length >= 0 THEN b.length ELSE t.typtypmod END
  FROM base b JOIN pg_catalog.pg_type d ON d.oid = b.oid AND d.typtype = 'd'
  JOIN pg_catalog.pg_type t ON t.oid = d.typbasetype
), domain AS (
  SELECT b.* FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
)
SELECT c.relname::text AS table_name, a.attname::text AS name, a.atttypid AS oid, coalesce(m.oid, a.atttypid) AS base,
  a.attnotnull OR coalesce(m.not_null, false) AS not_null,
  CASE WHEN a.attgenerated = '' THEN coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), m.type_default) END AS value,
  a.attidentity::text AS identity, a.attgenerated::text <> '' AS generated,
  CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE coalesce(m.length, -1) END AS modifier,
  (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
   WHERE e.enumtypid IN (t.oid, t.typelem)) AS labels,
  (SELECT array_agg(k.conname::text) FROM base b JOIN pg_catalog.pg_constraint k ON k.contypid = b.oid OR
   k.contypid = b.root WHERE b.root = a.atttypid AND k.contype = 'c') AS rules
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN domain m ON m.root = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = coalesce(m.oid, a.atttypid)
WHERE c.relname = ANY ($1::text::text[]) AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND c.relnamespace = quote_ident(current_schema())::regnamespace
"""
_CHECKS = """
SELECT c.relname::text AS table_name, k.conname::text AS name,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) AS n JOIN pg_catalog.pg_attribute a
        ON a.attrelid = c.oid AND a.attnum = n) AS columns
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'c' AND c.relname = ANY ($1::text::text[])
  AND c.relnamespace = quote_ident(current_schema())::regnamespace
"""
_LENGTHS = frozenset({1042, 1043})
"""OIDs of char(n) and varchar(n), whose modifier is n + 4."""


async def reflect(lease: PostgresLease, reader: SchemaReader, names: Collection[str] | None) -> sqlalchemy.MetaData:
    try:
        return await _reflect(lease.raw_connection, reader, names)
    except BaseException:
        lease.broken = True  # SQLAlchemy's codecs are still set
        raise


async def _reflect(session: Session, reader: SchemaReader, names: Collection[str] | None) -> sqlalchemy.MetaData:
    relations = {row["name"]: row for row in await session.fetch(_RELATIONS)}
    if names is None:
        names = [name for name, row in relations.items() if not row["is_aside"] and is_wanted(name, None)]
    metadata = await reader.read(Borrowed(session, ignored=("close",)), names)
    for name in ("json", "jsonb"):  # SQLAlchemy reads catalogues with its own
        await session.reset_type_codec(name, schema="pg_catalog")
    found = array_literal(metadata.tables)
    columns = await session.fetch(_COLUMNS, found)
    types = await look_up(session, {row["oid"] for row in columns})
    checks: dict[str, list[tuple[str, str | None, tuple[str, ...]]]] = defaultdict(list)
    for row in await session.fetch(_CHECKS, found):
        checks[row["table_name"]].append((row["name"], None, tuple(row["columns"])))
    for row in columns:
        for rule in row["rules"] or ():
            checks[row["table_name"]].append((rule, None, (row["name"],)))
        table = metadata.tables[row["table_name"]]
        if row["name"] in table.columns:
            set_facts(table.columns[row["name"]], _column_facts(row, types[row["oid"]]))
    for name, table in metadata.tables.items():
        relation = relations[name]
        set_facts(table, TableFacts(relation["is_view"], relation["may_fill"], tuple(checks[name])))
    return metadata


def _column_facts(row: Any, found: CatalogueType) -> ColumnFacts:
    return ColumnFacts(
        type=found.type,
        nullable=not row["not_null"],
        default=row["value"],
        is_filled=row["value"] is not None or bool(row["identity"]),
        read_only=row["generated"] or row["identity"] == "a",
        values=tuple(row["labels"] or ()),
        length_max=row["modifier"] - 4 if row["base"] in _LENGTHS and row["modifier"] >= 4 else None,
        comparable=not found.is_composite,
    )
