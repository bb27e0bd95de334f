"""SQLite's errors as ours: one table by result code, and messages where a code says too little."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlwright.errors import (
    CheckViolation,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseUnavailable,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NotNullViolation,
    PermissionDenied,
    ProgramLimitExceeded,
    RaisedByStatement,
    ReadQueryWrote,
    SerializationFailure,
    SqlwrightError,
    StatementFailed,
    StatementTimeout,
    UniqueViolation,
)
from sqlwright.query import Access

_UNIQUE = "another row already has this value where it must be unique"
_REFERRED = "a row that is referred to is missing, or is still referred to"
_LOCKED = "a lock did not become free in time"
_DISK = "the database file cannot be read or written"
_DAMAGED = "the database file is damaged"
_NOT_A_DATABASE = "the database file is not a SQLite database"
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

CAUSES: dict[int, tuple[type[DatabaseError], str]] = {
    # An extended code counts before its lower eight bits.
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: (UniqueViolation, _UNIQUE),
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: (UniqueViolation, _UNIQUE),
    sqlite3.SQLITE_CONSTRAINT_ROWID: (UniqueViolation, _UNIQUE),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: (ForeignKeyViolation, _REFERRED),
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: (NotNullViolation, "a value that must be there is null"),
    sqlite3.SQLITE_CONSTRAINT_CHECK: (CheckViolation, "a value breaks a rule of the table"),
    3091: (InvalidValue, "a value is not of its column's type"),  # SQLITE_CONSTRAINT_DATATYPE has no name in sqlite3
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: (RaisedByStatement, ""),
    sqlite3.SQLITE_CONSTRAINT: (CheckViolation, "a value breaks a rule of the table"),
    sqlite3.SQLITE_MISMATCH: (InvalidValue, "a value is not of the type that must stand there"),
    sqlite3.SQLITE_TOOBIG: (ProgramLimitExceeded, "a value is too large for the database"),
    sqlite3.SQLITE_RANGE: (StatementFailed, "the statement and its values do not fit together"),
    sqlite3.SQLITE_AUTH: (PermissionDenied, "the statement is not allowed"),
    sqlite3.SQLITE_PERM: (PermissionDenied, "the database file may not be used this way"),
    sqlite3.SQLITE_BUSY_SNAPSHOT: (SerializationFailure, "a concurrent change was in the way"),
    sqlite3.SQLITE_BUSY: (LockTimeout, _LOCKED),
    sqlite3.SQLITE_LOCKED: (LockTimeout, _LOCKED),
    sqlite3.SQLITE_INTERRUPT: (StatementTimeout, "the statement took too long and was stopped"),
    sqlite3.SQLITE_READONLY: (DatabaseUnavailable, "the database is read-only at present"),
    sqlite3.SQLITE_NOMEM: (DatabaseUnavailable, "the database has no memory left"),
    sqlite3.SQLITE_FULL: (DatabaseUnavailable, "the disk of the database is full"),
    sqlite3.SQLITE_IOERR: (DatabaseUnavailable, _DISK),
    sqlite3.SQLITE_CANTOPEN: (DatabaseUnavailable, _DISK),
    sqlite3.SQLITE_PROTOCOL: (DatabaseUnavailable, _LOCKED),
    # A full-text index says this of itself, also when it was only used wrongly.
    sqlite3.SQLITE_CORRUPT_VTAB: (StatementFailed, "a virtual table is damaged"),
    sqlite3.SQLITE_CORRUPT: (DatabaseCorrupt, _DAMAGED),
    sqlite3.SQLITE_NOTADB: (DatabaseCorrupt, _NOT_A_DATABASE),
}  # fmt: skip

_LOST = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOMEM}
)

_BY_MESSAGE: tuple[tuple[str, type[DatabaseError], str], ...] = (
    # SQLite gives its general error code for these faults of a value.
    ("malformed JSON", InvalidValue, "a value that must be JSON is not"),
    ("JSON path", InvalidValue, "a JSON path is not valid"),
    ("integer overflow", InvalidValue, "a result is out of the range of integers"),
    ("pattern too complex", InvalidValue, "a pattern is too long"),
    ("ESCAPE expression must be a single character", InvalidValue, "the ESCAPE of a pattern must be one character"),
    ("string or blob too big", ProgramLimitExceeded, "a value is too large for the database"),
    ("too many SQL variables", ProgramLimitExceeded, "the statement has too many parameters"),
    # An ON DELETE RESTRICT works by a trigger inside SQLite, and has a trigger's code.
    ("FOREIGN KEY constraint failed", ForeignKeyViolation, _REFERRED),
    ("Could not decode to UTF-8", StatementFailed, "a text in the result is not valid UTF-8"),
)


def translate(error: BaseException, access: Access) -> SqlwrightError | None:
    """The error of a statement. SQLite has rolled back, or we have: nothing of the statement was applied."""
    if isinstance(error, SqlwrightError):
        return error
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return InvalidValue("the database cannot take one of the values", native_message=str(error))
    if not isinstance(error, sqlite3.Error):
        return None
    code = code_of(error)
    message = str(error)
    if code & 0xFF == sqlite3.SQLITE_READONLY and access is Access.READ:
        return ReadQueryWrote("a query that only reads tried to write")
    native_code = str(code) if code else ""
    for part, cause, detail in _BY_MESSAGE:
        if part in message:
            return cause(detail, native_code=native_code, native_message=message)
    default = (StatementFailed, "the database refused the statement")
    cause, detail = CAUSES.get(code) or CAUSES.get(code & 0xFF) or default
    constraint, columns = _concerned(message)
    return cause(
        detail or message, native_code=native_code, native_message=message, constraint=constraint, columns=columns
    )


def _concerned(message: str) -> tuple[str, tuple[str, ...]]:
    """The constraint or the columns that a message names: `UNIQUE constraint failed: t.a, t.b`."""
    what, _, named = message.partition(" constraint failed: ")
    if what == "CHECK" or (what == "UNIQUE" and named.startswith("index '")):
        return named.removeprefix("index ").strip("'") if what == "UNIQUE" else named, ()
    if what not in ("UNIQUE", "NOT NULL"):
        # A table that is STRICT: `cannot store TEXT value in INTEGER column t.c`.
        named = message.partition(" column ")[2] if message.startswith("cannot store ") else ""
    # A table's name may hold dots and commas, and so may a column's: every way to read it is one that may be meant.
    readings = [(named[:i], named[i + 1 :]) for i, character in enumerate(named) if character == "."]
    return "", tuple(dict.fromkeys(name for table, rest in readings for name in rest.split(f", {table}.")))


def code_of(error: BaseException) -> int:
    """SQLite's extended result code; 0 for an error of Python's module itself."""
    return getattr(error, "sqlite_errorcode", None) or 0


def is_locked(error: BaseException) -> bool:
    """Somebody else holds a lock that may become free: the statement may be tried again."""
    code = code_of(error)
    return code & 0xFF == sqlite3.SQLITE_BUSY and code != sqlite3.SQLITE_BUSY_SNAPSHOT


def breaks_connection(error: BaseException, access: Access) -> bool:
    """True when the connection should not be used again, since a new one may find the file in order: one that was
    opened while the disk could only be read cannot write for ever."""
    code = code_of(error) & 0xFF
    return code in _LOST or (code == sqlite3.SQLITE_READONLY and access is not Access.READ)


def cannot_open(error: sqlite3.Error | OSError, path: Path | None) -> DatabaseError:
    """Why a file could not be opened. The path itself is for the operator, never for a caller."""
    code = code_of(error)
    cause = DatabaseCorrupt if code & 0xFF in _DAMAGE else DatabaseUnavailable
    return cause(_why_not(code, path), native_code=str(code) if code else "", native_message=f"{path}: {error}")


def _why_not(code: int, path: Path | None) -> str:
    if code & 0xFF == sqlite3.SQLITE_NOTADB:
        return _NOT_A_DATABASE
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "the database file is locked by another program"
    if code & 0xFF == sqlite3.SQLITE_CORRUPT:
        return _DAMAGED
    if path is not None:
        try:
            if not path.parent.is_dir():
                return "the folder of the database file does not exist"
            if path.is_dir():
                return "the path of the database is a folder, not a file"
            if path.exists():
                return "the database file cannot be opened: check its permissions and those of its folder"
        except OSError:
            pass  # not even allowed to look: the general message
    return "the database file cannot be opened or created: check the permissions of its folder"
