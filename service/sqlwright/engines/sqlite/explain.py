"""SQLite's plans: EXPLAIN QUERY PLAN as a tree, and a run that counts rows and steps of its virtual machine.

Steps do not depend on how busy the machine is: the same statement over the same data takes the same number again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import count
from typing import Any, NamedTuple

from sqlwright.engines.sqlite.compile import SQLiteProgram
from sqlwright.engines.sqlite.hop import Hop
from sqlwright.engines.sqlite.run import CHUNK_ROWS
from sqlwright.engines.sqlite.transaction import begin, refuse_ended, rollback, rollback_to_savepoint, savepoint
from sqlwright.errors import StatementFailed
from sqlwright.query import Access, Explanation, Values

_MARK = "sqlwright_explained"
_numbers = count()
_COARSE_STEPS = 1000
"""Between two counts while the clock runs, so that counting does not slow it down."""
_EXACT_STEPS_MAX = 1_000_000
"""Up to here the statement runs once more, with every step counted."""


class _Run(NamedTuple):
    rows: int
    seconds: float
    steps: int


def explain(
    raw: sqlite3.Connection,
    hop: Hop,
    program: SQLiteProgram,
    values: Values,
    *,
    analyze: bool,
    joins: bool,
    guarded: bool,
) -> Explanation:
    """`analyze` runs the statement, in a transaction (`joins`: inside the open one) of which nothing is kept.

    `guarded`: the session can write, so a query that reads must be kept from it.

    Raises `StatementFailed` for what has no plan.
    """
    if not program.in_transaction:  # a PRAGMA takes effect even when only its plan is asked for
        raise StatementFailed(f"SQLite has no plan for {program.query.statement.verb.upper()}")
    steps = _plan(raw, hop, program, values)
    lines = list(_lines(steps, 0)) or ["(nothing to plan: no table is read)"]
    if not analyze:
        return Explanation("\n".join(lines), {"steps": steps})
    reads = program.query.access is Access.READ
    with _kept_from_writing(raw, hop) if reads and guarded else nullcontext():
        ran = _analyze(raw, hop, program, values, joins=joins)
    about = "exactly" if ran.steps <= _EXACT_STEPS_MAX else "about"
    lines += ["", f"rows: {ran.rows:,}", f"time: {ran.seconds * 1000:,.3f} ms", f"VM steps: {about} {ran.steps:,}"]
    figures = {"rows": ran.rows, "seconds": ran.seconds, "vm_steps": ran.steps}
    return Explanation("\n".join(lines), {"steps": steps, **figures}, analyzed=True)


def _plan(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values) -> list[dict[str, Any]]:
    # EXPLAIN does not look whether another connection has changed the schema: this does. And a plan that was asked for
    # before the change would be kept with its statement, but for a text of its own.
    hop.patiently(raw.execute, "SELECT 1 FROM sqlite_schema LIMIT 1").close()
    sql = f"EXPLAIN QUERY PLAN -- {next(_numbers)}\n{program.sql}"
    with closing(hop.patiently(raw.execute, sql, values)) as cursor:
        return _tree(cursor.fetchall())


def _tree(rows: list[Any]) -> list[dict[str, Any]]:
    """Rows (id, parent, unused, detail) as what is inside what."""
    roots: list[dict[str, Any]] = []
    inside: dict[int, list[dict[str, Any]]] = {0: roots}
    for number, parent, _, detail in rows:
        step: dict[str, Any] = {"detail": detail, "steps": []}
        inside.get(parent, roots).append(step)
        inside[number] = step["steps"]
    return roots


def _lines(steps: list[dict[str, Any]], depth: int) -> Iterator[str]:
    for step in steps:
        yield "  " * depth + step["detail"]
        yield from _lines(step["steps"], depth + 1)


@contextmanager
def _kept_from_writing(raw: sqlite3.Connection, hop: Hop) -> Iterator[None]:
    raw.execute("PRAGMA query_only=on").close()
    try:
        yield
    finally:
        hop.finish()
        raw.execute("PRAGMA query_only=off").close()


def _analyze(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values, *, joins: bool) -> _Run:
    if joins:
        refuse_ended(raw)
    else:
        begin(raw, hop, read_only=program.query.access is Access.READ)
    try:
        timed = _undone(raw, hop, program, values, every=_COARSE_STEPS)
        if timed.steps > _EXACT_STEPS_MAX:
            return timed
        return timed._replace(steps=_undone(raw, hop, program, values, every=1).steps)
    finally:
        hop.finish()
        if not joins:
            rollback(raw)


def _undone(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values, *, every: int) -> _Run:
    """Run the statement and undo it. SQLite asks every so many steps whether to go on: that is how they are counted."""
    counted = 0

    def tick() -> int:
        nonlocal counted
        counted += every
        return 0

    savepoint(raw, _MARK)
    raw.set_progress_handler(tick, every)
    begun = time.perf_counter()
    try:
        rows = _rows(raw, hop, program, values)
    finally:
        seconds = time.perf_counter() - begun
        raw.set_progress_handler(None, 0)
        if raw.in_transaction:  # some errors end it
            rollback_to_savepoint(raw, _MARK)
    return _Run(rows, seconds, counted)


def _rows(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram, values: Values) -> int:
    """Rows given, or changed where none are given."""
    with closing(hop.patiently(raw.execute, program.sql, values)) as cursor:
        if cursor.description is None:
            return max(cursor.rowcount, 0)
        rows = 0
        while chunk := len(cursor.fetchmany(CHUNK_ROWS)):
            hop.check()
            rows += chunk
        return rows
