"""PostgreSQL's and asyncpg's errors as ours: one table by SQLSTATE."""

from __future__ import annotations

import asyncpg

from sqlwright.engines import outage
from sqlwright.errors import (
    CheckViolation,
    DatabaseError,
    DatabaseUnavailable,
    ExclusionViolation,
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

_POOLER_SAYS = "unsupported startup parameter"
_POOLER = "a pooler stands before the database that keeps no sessions: it needs SQLWRIGHT_POOLER=transaction"

CAUSES: tuple[tuple[str, type[DatabaseError], str], ...] = (
    # Most specific first: the first entry that the SQLSTATE starts with counts.
    ("23505", UniqueViolation, "another row already has this value where it must be unique"),
    ("23503", ForeignKeyViolation, "a row that is referred to is missing, or is still referred to"),
    ("23001", ForeignKeyViolation, "a row is still referred to"),
    ("23P01", ExclusionViolation, "the row conflicts with another one"),
    ("23502", NotNullViolation, "a value that must be there is null"),
    ("23514", CheckViolation, "a value breaks a rule of the table"),
    ("44", CheckViolation, "the row would not be visible in the view it is written through"),
    ("22", InvalidValue, "the database cannot take one of the values"),
    ("42622", InvalidValue, "the database cannot take one of the values"),  # too long for a name
    ("P0001", RaisedByStatement, ""),
    ("42501", PermissionDenied, "the database user may not do this"),
    ("40001", SerializationFailure, "a concurrent change was in the way"),
    ("40P01", SerializationFailure, "a deadlock was broken by giving this call up"),
    ("55P03", LockTimeout, "a lock did not become free in time"),
    ("57014", StatementTimeout, "the statement took too long and was stopped"),
    ("25P03", StatementTimeout, "the transaction was idle for too long and was stopped"),
    ("25P04", StatementTimeout, "the transaction took too long and was stopped"),
    ("54", ProgramLimitExceeded, "the statement or a value is too large for the database"),
    ("53", DatabaseUnavailable, "the database has no room or no free connection"),
    ("57P", DatabaseUnavailable, "the database is starting or shutting down"),
    ("28", DatabaseUnavailable, "the database refuses the user name or the password"),
    ("3D000", DatabaseUnavailable, "there is no database of this name on the server"),
    ("", StatementFailed, "the database refused the statement"),
)

# After these nobody knows whether a statement that was sent has been committed.
_UNKNOWN_AFTER_SEND = ("40003", "57P02")


def translate(error: BaseException, access: Access) -> SqlwrightError | None:
    """The error of a statement that was sent. `access` READ says that nothing can have been applied."""
    if isinstance(error, SqlwrightError):
        return error
    # A function may raise with the SQLSTATE of a warning, and asyncpg then raises its class for that.
    if isinstance(error, asyncpg.PostgresError | asyncpg.exceptions.PostgresLogMessage):
        return _from_server(error, access)
    if isinstance(error, asyncpg.DataError | asyncpg.exceptions._base.DataError):
        return InvalidValue("the database cannot take one of the values", native_message=str(error))
    if isinstance(error, asyncpg.UnsupportedClientFeatureError | asyncpg.UnsupportedServerFeatureError):
        return StatementFailed("the database's answer could not be read", native_message=str(error))
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg refuses a closed connection before it sends anything.
        return outage.lost(_LOST, native_message=str(error))
    if isinstance(error, asyncpg.InternalClientError):
        if "another operation" in str(error):
            # The server has said that it ends the session, and the end itself is on its way: nothing was sent.
            return outage.lost(_LOST, native_message=str(error))
        return (
            _lost(error, access)
            if access is not Access.READ
            else StatementFailed("the database's answer could not be read", native_message=str(error))
        )
    if isinstance(error, OSError | TimeoutError | EOFError):
        return _lost(error, access)
    return None


def _from_server(error: asyncpg.PostgresError, access: Access) -> SqlwrightError:
    # A server that says why before it closes the connection is heard: asyncpg keeps that as the cause.
    if isinstance(error, asyncpg.PostgresConnectionError) and isinstance(error.__cause__, asyncpg.PostgresError):
        error = error.__cause__
    state = error.sqlstate or ""
    message = str(error.args[0]) if error.args else ""
    if state == "25006":
        if access is Access.READ:
            return ReadQueryWrote("a query that only reads tried to write")
        return outage.read_only(native_code=state, native_message=message)
    if state.startswith("08") or (state.startswith(_UNKNOWN_AFTER_SEND) and access is not Access.READ):
        return _lost(error, access)
    cause, detail = next((cause, detail) for prefix, cause, detail in CAUSES if state.startswith(prefix))
    return cause(
        detail or message,
        native_code=state,
        native_message=message,
        constraint=getattr(error, "constraint_name", None) or "",
        columns=tuple(filter(None, [getattr(error, "column_name", None)])),
    )


def _lost(error: BaseException, access: Access) -> DatabaseError:
    code = str(getattr(error, "sqlstate", None) or "")
    if access is Access.READ:
        return outage.lost(_LOST, native_code=code, native_message=str(error))
    return OutcomeUnknown(
        f"{_LOST} after a write was sent: it may or may not have been applied",
        native_code=code,
        native_message=str(error),
    )


def connection_refused(error: BaseException) -> DatabaseError | None:
    """The error of opening a connection: always `DatabaseUnavailable`, with the reason where the server gives one."""
    if isinstance(error, asyncpg.PostgresError):
        if _POOLER_SAYS in str(error):
            refused = DatabaseUnavailable(_POOLER, native_message=str(error))
            refused.needs_setting = True
            return refused
        translated = _from_server(error, Access.READ)
        if isinstance(translated, DatabaseUnavailable) and not translated.was_lost:
            return translated
        return DatabaseUnavailable(
            "the database refuses the connection", native_code=error.sqlstate or "", native_message=str(error)
        )
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return outage.read_only(native_message=str(error))
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("connecting to the database took too long", native_message=str(error))
    # ValueError: asyncpg cannot make sense of an option of the URL.
    if isinstance(error, OSError | EOFError | ValueError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return DatabaseUnavailable("the database cannot be reached", native_message=str(error))
    return None
