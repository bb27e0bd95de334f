"""Plans: MariaDB's and MySQL's EXPLAIN and ANALYZE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlwright.engines.mysql import transaction
from sqlwright.engines.mysql.backend import MySQLLease
from sqlwright.engines.mysql.compile import MySQLProgram, ReadBack, expand
from sqlwright.engines.mysql.readback import changing, lock, reading
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
    if not analyze:
        return await _explained(session, program, values, "EXPLAIN FORMAT=JSON ", analyzed=False)
    only_reads = lease.read_only or program.query.access is Access.READ
    alone = not lease.in_transaction
    if alone:
        await transaction.begin(session, None, read_only=only_reads)
    else:
        transaction.refuse_committing(program.query.statement.verb)
        await transaction.savepoint(session, "sqlwright_explained")
    asks = "ANALYZE FORMAT=JSON " if session.is_mariadb else "EXPLAIN ANALYZE "
    explanation = await _explained(session, program, values, asks, analyzed=True)
    if alone:
        await transaction.rollback(session)
    else:
        await transaction.rollback_to_savepoint(session, "sqlwright_explained")
    return explanation


async def _explained(
    session: Session, program: MySQLProgram, values: Values, asks: str, *, analyzed: bool
) -> Explanation:
    if program.read_back is not None:
        return await _steps(session, program.read_back, values, asks, analyzed=analyzed)
    sql, arguments = expand(program, values, None)
    return _explanation(await _ask(session, session.encoded(asks + sql, arguments)), analyzed=analyzed)


async def _steps(session: Session, steps: ReadBack, values: Values, asks: str, *, analyzed: bool) -> Explanation:
    """An UPDATE with RETURNING is several statements. What follows the first one depends on the rows that it finds;
    of many rows, the first ones tell how it goes."""
    keys = await lock(session, steps, values) if analyzed else []
    sent = [session.encoded(*expand(steps.lock, values, None))]
    if keys:
        sent += [changing(session, steps, values, keys)[0], reading(session, steps, values, keys)[0]]
    found = [_explanation(await _ask(session, asks.encode() + data), analyzed=analyzed) for data in sent]
    texts = [f"{sql}\n{told.text}" for sql, told in zip(steps.shown, found, strict=False)]
    texts += [f"{sql}\n(by the keys that the first statement finds)" for sql in steps.shown[len(found) :]]
    plans = [{"sql": sql, "plan": told.plan} for sql, told in zip(steps.shown, found, strict=False)]
    return Explanation("\n\n".join(texts), plans, analyzed)


async def _ask(session: Session, data: bytes) -> str:
    (answer,) = await session.fetch_many([data])
    return "\n".join(str(row[0]) for row in answer.rows)


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
