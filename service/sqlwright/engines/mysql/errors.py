"""MariaDB's, MySQL's and aiomysql's errors as ours: one table by error number, and what their messages name."""

from __future__ import annotations

import re
from typing import Any

import pymysql

from sqlwright.engines import outage
from sqlwright.errors import (
    CheckViolation,
    DatabaseError,
    DatabaseUnavailable,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NotNullViolation,
    OutcomeUnknown,
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

_LOST = "the connection to the database was lost"
_UNIQUE = "another row already has this value where it must be unique"
_REFERRED = "a row that is referred to is missing, or is still referred to"
_NULL = "a value that must be there is null"
_RULE = "a value breaks a rule of the table"
_VALUE = "the database cannot take one of the values"
_CONCURRENT = "a concurrent change was in the way"
_STOPPED = "the statement took too long and was stopped"
_DENIED = "the database user may not do this"
_REFUSED = "the database refuses the user name or the password"
_FULL = "the database has no room or no free connection"
_ENDING = "the database is shutting down, or ended this connection"

CAUSES: dict[int, tuple[type[DatabaseError], str]] = {
    1062: (UniqueViolation, _UNIQUE), 1169: (UniqueViolation, _UNIQUE), 1586: (UniqueViolation, _UNIQUE),
    1761: (UniqueViolation, _UNIQUE), 1762: (UniqueViolation, _UNIQUE),
    1216: (ForeignKeyViolation, _REFERRED), 1217: (ForeignKeyViolation, _REFERRED),
    1451: (ForeignKeyViolation, _REFERRED), 1452: (ForeignKeyViolation, _REFERRED),
    1048: (NotNullViolation, _NULL), 1263: (NotNullViolation, _NULL), 1364: (NotNullViolation, _NULL),
    3819: (CheckViolation, _RULE), 4025: (CheckViolation, _RULE), 1369: (CheckViolation, _RULE),
    1264: (InvalidValue, _VALUE), 1265: (InvalidValue, _VALUE), 1292: (InvalidValue, _VALUE),
    1366: (InvalidValue, _VALUE), 1367: (InvalidValue, _VALUE), 1406: (InvalidValue, _VALUE),
    1411: (InvalidValue, _VALUE), 1365: (InvalidValue, "a division by zero"), 1690: (InvalidValue, _VALUE),
    1300: (InvalidValue, _VALUE), 1139: (InvalidValue, "a regular expression is not valid"),
    1416: (InvalidValue, _VALUE), 3140: (InvalidValue, "a value that must be JSON is not"),
    3141: (InvalidValue, "a value that must be JSON is not"), 3143: (InvalidValue, "a JSON path is not valid"),
    1526: (InvalidValue, "no partition takes one of the values"),
    1644: (RaisedByStatement, ""),
    1044: (PermissionDenied, _DENIED), 1142: (PermissionDenied, _DENIED), 1143: (PermissionDenied, _DENIED),
    1227: (PermissionDenied, _DENIED), 1370: (PermissionDenied, _DENIED), 1410: (PermissionDenied, _DENIED),
    1213: (SerializationFailure, "a deadlock was broken by giving this call up"),
    1020: (SerializationFailure, _CONCURRENT), 1614: (SerializationFailure, _CONCURRENT),
    3101: (SerializationFailure, _CONCURRENT),
    1047: (DatabaseUnavailable, "the node of the cluster is not ready"),
    1205: (LockTimeout, "a lock did not become free in time"),
    3572: (LockTimeout, "a lock did not become free in time"),
    1969: (StatementTimeout, _STOPPED), 3024: (StatementTimeout, _STOPPED), 1317: (StatementTimeout, _STOPPED),
    1153: (ProgramLimitExceeded, "the statement or a value is too large for the database"),
    1118: (ProgramLimitExceeded, "the statement or a value is too large for the database"),
    1436: (ProgramLimitExceeded, "the statement is too deep for the database"),
    1040: (DatabaseUnavailable, _FULL), 1203: (DatabaseUnavailable, _FULL), 1226: (DatabaseUnavailable, _FULL),
    1021: (DatabaseUnavailable, _FULL), 1037: (DatabaseUnavailable, _FULL), 1038: (DatabaseUnavailable, _FULL),
    1041: (DatabaseUnavailable, _FULL), 1114: (DatabaseUnavailable, _FULL), 1135: (DatabaseUnavailable, _FULL),
    1045: (DatabaseUnavailable, _REFUSED), 1698: (DatabaseUnavailable, _REFUSED),
    1129: (DatabaseUnavailable, _REFUSED), 1130: (DatabaseUnavailable, _REFUSED),
    1049: (DatabaseUnavailable, "there is no database of this name on the server"),
    1053: (DatabaseUnavailable, _ENDING), 1077: (DatabaseUnavailable, _ENDING), 1927: (DatabaseUnavailable, _ENDING),
    1152: (DatabaseUnavailable, _ENDING), 1184: (DatabaseUnavailable, _ENDING), 4031: (DatabaseUnavailable, _ENDING),
    2002: (DatabaseUnavailable, "the database cannot be reached"),
    2003: (DatabaseUnavailable, "the database cannot be reached"),
}  # fmt: skip

READ_ONLY = frozenset({1290, 1792, 1836, 3546})
"""A write in a read-only transaction, or on a server that is read-only."""
_TRANSACTION_READS = 1792
_OPTION = 1290
"""An option of the server forbids it: --read-only, or another one."""
LOST = frozenset({2006, 2013, 2055})
ENDED = frozenset({1053, 1077, 1927, 4031})
"""The server says that it ends the connection: what was not committed never will be."""

_RAISED_BY_AUTHOR = re.compile(r"45\d{3}")
_KEY = re.compile(r"for key '(?:[^']*\.)?([^']+)'$")
_COLUMN = re.compile(r"(?:[Cc]olumn|[Ff]ield) (?:'([^']+)'|`[^`]*`\.`[^`]*`\.`([^`]+)`)")
_FOREIGN = re.compile(r"CONSTRAINT `([^`]+)` FOREIGN KEY \(([^)]*)\)")
_CHECK = re.compile(r"(?:CONSTRAINT `([^`]+)` failed|[Cc]heck constraint '([^']+)' is violated)")


def translate(error: BaseException, access: Access) -> SqlwrightError | None:
    """The error of a statement that was sent. `access` READ says that nothing can have been applied."""
    if isinstance(error, SqlwrightError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return InvalidValue(_VALUE, native_message=str(error))
    if isinstance(error, UnicodeDecodeError):
        return StatementFailed("a text in the result is not valid UTF-8", native_message=str(error))
    if isinstance(error, pymysql.err.InterfaceError):
        # aiomysql refuses a closed connection before it sends anything.
        return outage.lost(_LOST, native_message=str(error))
    if isinstance(error, pymysql.err.MySQLError):
        return _from_server(error, access)
    if isinstance(error, OSError | TimeoutError | EOFError):
        return lost(error, access)
    return None


def code_of(error: BaseException) -> int:
    """The server's error number (2000 to 2999 are the driver's); 0 where there is none."""
    code = error.args[0] if isinstance(error, pymysql.err.MySQLError) and error.args else 0
    if not isinstance(code, int):
        return 0
    return code % 0x10000  # pymysql reads it with a sign


def message_of(error: BaseException) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)


def _from_server(error: pymysql.err.MySQLError, access: Access) -> SqlwrightError:
    code, message = code_of(error), message_of(error)
    native: dict[str, Any] = {"native_code": str(code) if code else "", "native_message": message}
    if code in READ_ONLY and (code != _OPTION or "read" in message):
        if access is Access.READ:
            return ReadQueryWrote("a query that only reads tried to write")
        unavailable = outage.read_only(**native)
        unavailable.is_read_only = code != _TRANSACTION_READS
        return unavailable
    if code in LOST:
        return lost(error, access)
    if code not in CAUSES and _RAISED_BY_AUTHOR.fullmatch(getattr(error, "sqlstate", None) or ""):
        return RaisedByStatement(message, **native)
    cause, detail = CAUSES.get(code, (StatementFailed, "the database refused the statement"))
    constraint, columns = _named(cause, message)
    return cause(detail or message, constraint=constraint, columns=columns, **native)


def _named(cause: type[DatabaseError], message: str) -> tuple[str, tuple[str, ...]]:
    """The constraint and the columns that a message names. Users' texts stand in some: only fixed places are read."""
    if cause is UniqueViolation:
        found = _KEY.search(message)
        return (found[1], ()) if found else ("", ())
    if cause is ForeignKeyViolation:
        found = _FOREIGN.search(message)
        return (found[1], tuple(c.strip(" `") for c in found[2].split(","))) if found else ("", ())
    if cause is CheckViolation:
        found = _CHECK.search(message)
        _, dot, column = (found[1] or found[2] or "").rpartition(".") if found else ("", "", "")
        return column, (column,) * bool(dot)  # `table.column` is a rule that stands with its column
    if cause in (NotNullViolation, InvalidValue):
        # The last one: a value, which may hold any text, is quoted before it.
        columns = [first or second for first, second in _COLUMN.findall(message)]
        return "", tuple(columns[-1:])
    return "", ()


def lost(error: BaseException, access: Access) -> DatabaseError:
    """A connection that broke after the statement was sent."""
    code = code_of(error)
    native: dict[str, Any] = {"native_code": str(code) if code else "", "native_message": str(error)}
    if access is Access.READ:
        return outage.lost(_LOST, **native)
    return OutcomeUnknown(f"{_LOST} after a write was sent: it may or may not have been applied", **native)


def connection_refused(error: BaseException) -> DatabaseError | None:
    """The error of opening a connection: always `DatabaseUnavailable`, with the reason where the server gives one."""
    translated = translate(error, Access.READ)
    if isinstance(translated, DatabaseUnavailable) and not translated.was_lost:
        return translated
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("connecting to the database took too long", native_message=str(error))
    if isinstance(error, pymysql.err.MySQLError) and code_of(error) not in LOST:
        return DatabaseUnavailable(
            "the database refuses the connection", native_code=str(code_of(error)), native_message=message_of(error)
        )
    # ValueError, RuntimeError: the driver cannot make sense of the server's greeting or of the password it asks for.
    if isinstance(error, pymysql.err.MySQLError | OSError | EOFError | ValueError | RuntimeError | LookupError):
        return DatabaseUnavailable("the database cannot be reached", native_message=str(error))
    return None
