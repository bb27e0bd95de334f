"""Plans: MariaDB's and MySQL's EXPLAIN and ANALYZE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlwright.engines.mysql import transaction
from sqlwright.engines.mysql.backend import MySQLLease
from sqlwright.engines.mysql.compile import MySQLProgram, expand
from sqlwright.engines.mysql.session import Session
from sqlwright.query import Access, Explanation, Values

_SHOWN_FIRST = ("table_name", "access_type", "key", "rows", "rows_examined_per_scan", "r_rows", "r_loops", "filtered")
_HIDDEN = frozenset({"used_key_parts", "used_columns", "possible_keys", "loops"})


async def explain(
    lease: MySQLLease, program: MySQLProgram, values: Values, *, analyze: bool, timeout_seconds: float
) -> Explanation:
    """`analyze` runs the statement in a transaction, and undoes it."""
    session = lease.session
    await session.limit_time(timeout_seconds)
    sql, arguments = expand(program, values, None)
    if not analyze:
        return _explanation(await _ask(session, f"EXPLAIN FORMAT=JSON {sql}", arguments), analyzed=False)
    only_reads = lease.read_only or program.query.access is Access.READ
    alone = not lease.in_transaction
    if alone:
        await transaction.begin(session, None, read_only=only_reads)
    else:
        transaction.refuse_committing(program.query.statement.verb)
        await transaction.savepoint(session, "sqlwright_explained")
    if session.is_mariadb:
        answer = await _ask(session, f"ANALYZE FORMAT=JSON {sql}", arguments)
    else:
        answer = await _ask(session, f"EXPLAIN ANALYZE {sql}", arguments)
    if alone:
        await transaction.rollback(session)
    else:
        await transaction.rollback_to_savepoint(session, "sqlwright_explained")
    return _explanation(answer, analyzed=True)


async def _ask(session: Session, sql: str, arguments: Any) -> str:
    return "\n".join(str(row[0]) for row in (await session.fetch(sql, arguments)).rows)


def _explanation(answer: str, *, analyzed: bool) -> Explanation:
    try:
        plan = json.loads(answer)
    except ValueError:  # MySQL's EXPLAIN ANALYZE is text
        return Explanation(answer, answer.splitlines(), analyzed)
    return Explanation("\n".join(_lines(plan, 0)), plan, analyzed)


def _lines(node: Any, depth: int, name: str = "") -> Iterator[str]:
    """The plan as an indented list: what a step is, then what is inside it."""
    if isinstance(node, list):
        for item in node:
            yield from _lines(item, depth, name)
        return
    if not isinstance(node, dict):
        if name:
            yield f"{'  ' * depth}{name}: {node}"
        return
    inner = {key: value for key, value in node.items() if isinstance(value, dict | list) and key not in _HIDDEN}
    facts = {key: value for key, value in node.items() if key not in inner and key not in _HIDDEN}
    ordered = [key for key in _SHOWN_FIRST if key in facts] + [key for key in facts if key not in _SHOWN_FIRST]
    said = ", ".join(f"{key.removesuffix('_name')} {_number(facts[key])}" for key in ordered)
    if name or said:
        yield f"{'  ' * depth}{': '.join(filter(None, (name, said)))}"
    for key, value in inner.items():
        yield from _lines(value, depth + 1, key)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
