"""What has run on a database, and how that compares with the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import LoadError
from sqlwright.migrations.files import Migration


class State(StrEnum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"
    """Applied, and the file says something else now."""
    UNFINISHED = "unfinished"
    """Begun outside of a transaction, and not brought to its end."""
    MISSING = "missing"
    """Applied, and the folder has no such file."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the history."""

    number: int
    name: str
    checksum: str
    steps_done: int
    started_at: str
    applied_at: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A migration as the folder and the database know it; at least one of the two does."""

    number: int
    name: str
    state: State
    migration: Migration | None = None
    record: Record | None = None


def compare(migrations: Sequence[Migration], records: Mapping[int, Record]) -> list[Entry]:
    """Every migration of the folder and of the history, by number."""
    files = {migration.number: migration for migration in migrations}
    entries = []
    for number in sorted({*files, *records}):
        migration, record = files.get(number), records.get(number)
        name = migration.name if migration is not None else records[number].name
        entries.append(Entry(number, name, _state(migration, record), migration, record))
    return entries


def _state(migration: Migration | None, record: Record | None) -> State:
    if record is None:
        return State.PENDING
    if record.applied_at is None:
        return State.UNFINISHED
    if migration is None:
        return State.MISSING
    return State.APPLIED if record.checksum == migration.checksum else State.CHANGED


def refuse_what_is_wrong(entries: Sequence[Entry]) -> None:
    """Raises `LoadError` naming every file that keeps the others from running."""
    wrong = [_changed(e) for e in entries if e.state is State.CHANGED]
    wrong += [_unfinished(e) for e in entries if e.state is State.UNFINISHED]
    if wrong:
        raise LoadError(wrong)


def _changed(entry: Entry) -> Diagnostic:
    assert entry.migration is not None
    record = entry.record
    assert record is not None
    if record.name == entry.name:
        message = f"this migration was applied at {record.applied_at}, and has been changed since"
        hint = "bring back the file as it was, and write the change as a new migration"
    else:
        message = f"number {entry.number} was applied at {record.applied_at} as {record.name}, which was another file"
        hint = "give this file a number of its own; or is it the folder, or the database, of another project?"
    return entry.migration.source.diagnostic("changed", 0, message, hint)


def _unfinished(entry: Entry) -> Diagnostic:
    assert entry.record is not None
    record = entry.record
    hint = (
        "unless another `sqlwright migrate` is at it right now: look what is there; finish it by hand and say "
        f"`sqlwright migrate --mark-applied {entry.number}`, or undo it and say `--forget {entry.number}`"
    )
    began = f"begun at {record.started_at} and not finished: {record.steps_done} of its statements are done"
    if entry.migration is None:
        message = f"the migration {entry.name}, which is not in the folder, was {began}"
        return Diagnostic("error", entry.name, 1, 1, "unfinished", message, hint)
    steps = entry.migration.script.inside
    source = entry.migration.source
    if entry.record.checksum == entry.migration.checksum and record.steps_done < len(steps):
        step = steps[record.steps_done]
        message = f"this migration was {began}, this one is not"
        return source.diagnostic("unfinished", step.start, message, hint, length=len(step.verb))
    return source.diagnostic("unfinished", 0, f"this migration was {began}", hint)
