"""The question of the proof to the catalogues: what the names of an SQL text can run or read, and what runs unnamed.

A row says `what` it is, its `name`, and what matters of it:
- `function`: of a name that is there, or a part of such an aggregate; `source` is the extension that it belongs to,
  or `built in`; `body` what LANGUAGE sql runs and the defaults of arguments;
- `relation`: `kind` is pg_class.relkind, `doubtful` says row security or a part of it on another server;
- `operator`: one whose function nothing is known of;
- `text`: the checks of domains, which any conversion may run;
- `unnamed`: some cast, type or operator class of the database runs a function that nothing is known of.
"""

from __future__ import annotations

_FIRST_OF_USERS = 16384
"""The first OID that is no part of PostgreSQL itself."""
_C_AND_INTERNAL = "(12, 13)"
_TRIGGERS = "('trigger'::regtype, 'event_trigger'::regtype)"

_SQL_BODY = "coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)"
_SQL_BODY_BEFORE_14 = "p.prosrc"

_EXTENSION = """(SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::regclass LIMIT 1)"""


def _unknown(function: str, *, volatile: bool = False) -> str:
    """Whether a function is neither immutable and built in nor C of some extension; 0 is none."""
    steady = "" if volatile else " AND p.provolatile <> 'v'"
    built_in = "" if volatile else " AND p.provolatile = 'i'"
    return f"""EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.oid = {function}
      AND NOT (p.oid < {_FIRST_OF_USERS}{built_in})
      AND NOT (p.prolang IN {_C_AND_INTERNAL} AND {_EXTENSION} IS NOT NULL{steady}))"""


def catalogue(server_version: int) -> str:
    """$1 are all names, $2 those that may be called."""
    sql_body = _SQL_BODY if server_version >= 14 else _SQL_BODY_BEFORE_14
    return f"""
WITH RECURSIVE spaces AS (
  SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1::name[]) OR nspname = ANY (current_schemas(true))
), named AS (
  SELECT p.oid FROM pg_catalog.pg_proc p
  WHERE p.proname = ANY ($1::name[]) AND p.oid >= {_FIRST_OF_USERS} AND p.pronamespace IN (SELECT oid FROM spaces)
    AND p.prorettype NOT IN {_TRIGGERS}
), parts AS (
  SELECT unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
    a.aggminvtransfn, a.aggmfinalfn]::oid[]) AS oid
  FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid::oid IN (SELECT oid FROM named)
), remote AS (
  SELECT i.inhparent AS oid FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_inherits i ON i.inhrelid = f.ftrelid
  UNION SELECT i.inhparent FROM remote r JOIN pg_catalog.pg_inherits i ON i.inhrelid = r.oid
), strange AS (
  SELECT o.oid, o.oprname FROM pg_catalog.pg_operator o
  WHERE o.oid >= {_FIRST_OF_USERS} AND {_unknown("o.oprcode")}
)
SELECT DISTINCT 'function' AS what, p.proname::text AS name, p.prokind::text AS kind, l.lanname::text AS language,
  p.provolatile::text AS volatility, 'built in' AS source, false AS doubtful, NULL AS body
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid < {_FIRST_OF_USERS} AND p.oid IN (
  SELECT oid FROM pg_catalog.pg_proc WHERE proname = ANY ($2::name[]) UNION ALL SELECT oid FROM parts
)
UNION ALL
SELECT 'function', p.proname, p.prokind::text, l.lanname, p.provolatile::text, {_EXTENSION}::text,
  p.proconfig IS NOT NULL,
  concat_ws(E';\\n', CASE WHEN l.lanname = 'sql' THEN {sql_body} END,
    CASE WHEN p.pronargdefaults > 0 THEN 'SELECT ' || pg_catalog.pg_get_expr(p.proargdefaults, 0) END)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= {_FIRST_OF_USERS} AND p.oid IN (SELECT oid FROM named UNION ALL SELECT oid FROM parts)
UNION ALL
SELECT 'relation', c.relname, c.relkind::text, NULL, NULL, CASE WHEN c.oid < {_FIRST_OF_USERS} THEN 'built in' END,
  c.relrowsecurity OR c.oid IN (SELECT oid FROM remote),
  CASE WHEN c.relkind = 'v' AND c.oid >= {_FIRST_OF_USERS} THEN pg_catalog.pg_get_viewdef(c.oid) END
FROM pg_catalog.pg_class c
WHERE c.relname = ANY ($1::name[]) AND c.relnamespace IN (SELECT oid FROM spaces)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL
SELECT DISTINCT 'operator', oprname, NULL, NULL, NULL, NULL, true, NULL FROM strange
UNION ALL
SELECT 'text', NULL, NULL, NULL, NULL, NULL, false, string_agg(pg_catalog.pg_get_constraintdef(c.oid), E';\\n')
FROM pg_catalog.pg_constraint c WHERE c.contypid >= {_FIRST_OF_USERS} AND c.contype = 'c'
UNION ALL
SELECT 'unnamed', NULL, NULL, NULL, NULL, NULL, true, NULL WHERE EXISTS (
  SELECT FROM pg_catalog.pg_cast c WHERE c.oid >= {_FIRST_OF_USERS} AND {_unknown("c.castfunc")}
) OR EXISTS (
  SELECT FROM pg_catalog.pg_amproc a WHERE a.oid >= {_FIRST_OF_USERS} AND {_unknown("a.amproc::oid")}
) OR EXISTS (
  SELECT FROM pg_catalog.pg_amop a WHERE a.oid >= {_FIRST_OF_USERS} AND a.amopopr IN (SELECT oid FROM strange)
) OR EXISTS (
  SELECT FROM pg_catalog.pg_range r WHERE r.rngtypid >= {_FIRST_OF_USERS} AND {_unknown("r.rngcanonical::oid")}
) OR EXISTS (
  SELECT FROM pg_catalog.pg_type t, unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend]::oid[]) AS f(oid)
  WHERE t.oid >= {_FIRST_OF_USERS} AND t.typtype = 'b' AND {_unknown("f.oid", volatile=True)}
)
"""  # noqa: S608 - nothing of a caller's
