"""Runs an UPDATE … RETURNING as the statements of `returning.py`, in the transaction that is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlwright.engines.mysql.answer import without_last
from sqlwright.engines.mysql.compile import MySQLProgram, ReadBack, expand
from sqlwright.engines.mysql.fetched import Fetched, RawRow
from sqlwright.engines.mysql.session import Session
from sqlwright.errors import MoreThanOneRow, SerializationFailure, StatementFailed
from sqlwright.query import Values

KEYS_AT_ONCE = 500
"""Keys of one statement. Many more, and the server reads the table instead of its index."""


async def update_and_read(session: Session, program: MySQLProgram, values: Values, *, one: bool) -> Fetched:
    """Raises `MoreThanOneRow` before anything is changed, and `SerializationFailure` when a concurrent change was in
    the way; the caller undoes what was done."""
    steps = program.read_back
    assert steps is not None, "only an UPDATE with RETURNING is read back"
    keys = await lock(session, steps, values)
    if one and len(keys) > 1:
        raise MoreThanOneRow("the statement gave more than one row")
    if not keys:
        return Fetched([])
    *changes, last = changing(session, steps, values, keys)
    changed = 0
    for statement in changes:
        # One by one: after a deadlock, which ends the transaction, the next would commit itself.
        changed += (await session.fetch_many([statement]))[0].rowcount
    answer, *answers = await session.fetch_many([last, *reading(session, steps, values, keys)])
    if changed + answer.rowcount != len(keys):
        raise SerializationFailure("a concurrent change was in the way")
    return _in_order(steps, keys, answers)


async def lock(session: Session, steps: ReadBack, values: Values) -> list[RawRow]:
    """The keys of the rows that the statement will change."""
    return (await session.fetch(*expand(steps.lock, values, None))).raw


def changing(session: Session, steps: ReadBack, values: Values, keys: Sequence[RawRow]) -> list[bytes]:
    size = len(keys) if steps.at_once else KEYS_AT_ONCE
    return list(_statements(session, steps, [expand(p, values, None) for p in steps.change], keys, size))


def reading(session: Session, steps: ReadBack, values: Values, keys: Sequence[RawRow]) -> list[bytes]:
    return list(_statements(session, steps, [expand(p, values, None) for p in steps.read], keys, KEYS_AT_ONCE))


def _statements(
    session: Session, steps: ReadBack, around: Sequence[tuple[str, list[Any]]], keys: Sequence[RawRow], size: int
) -> Iterator[bytes]:
    (before, first), (after, last) = around
    row = ", ".join(["%s"] * len(steps.key))
    row = f"({row})" if len(steps.key) > 1 else row
    for start in range(0, len(keys), size):
        chunk = keys[start : start + size]
        listed = ", ".join([row] * len(chunk))
        found = [column.value(raw) for key in chunk for column, raw in zip(steps.key, key, strict=True)]
        yield session.encoded(f"{before}{steps.condition} IN ({listed}){after}", [*first, *found, *last])


def _in_order(steps: ReadBack, keys: Sequence[RawRow], answers: Sequence[Fetched]) -> Fetched:
    """The rows in the order in which they were found, without the key that was read with them."""
    end = -len(steps.key)
    rows = {row[end:]: row[:end] for answer in answers for row in answer.raw}
    try:
        found = [rows[key] for key in keys]
    except KeyError:
        # The key is not in SET.
        raise StatementFailed("a trigger changed the key of a row, which cannot be read back then") from None
    return Fetched(found, without_last(answers[0].columns, len(steps.key)), len(found))
