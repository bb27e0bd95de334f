"""Every exception sqlwright raises.

    SqlwrightError
    ├── SettingsError              a key, a value or a pair of settings is wrong
    ├── LoadError                  query files are wrong: carries every diagnostic
    ├── CallError                  the call is refused before a connection is taken
    │   ├── UnknownQuery  MethodNotAllowed  NotAcceptable  UnsupportedMediaType  UnsupportedContentCoding
    │   ├── MalformedRequest  AmbiguousRequest  UriTooLong  BodyTooLarge  BodyTooSlow
    │   ├── InvalidPageToken  InvalidParameters
    │   └── HostNotAllowed  OriginNotAllowed  NotFound  UnknownTable
    ├── TransactionError           a transaction is used in a way that it cannot be
    │   └── TransactionFailed  TransactionClosed  ReadOnlyTransaction
    ├── ResultError                the statement ran, its result is not what the query says
    │   └── NoRow  MoreThanOneRow  RowMismatch  ResultTooLarge
    ├── DeadlineExceeded           the whole request took longer than allowed
    ├── ClientLeft                 the caller closed the connection before there was an answer
    ├── ReaderTooSlow              the caller took nothing of its answer for too long
    ├── QueryInvalid               the database refuses the statement itself
    ├── ReadQueryWrote             a query taken for a read tried to write
    └── DatabaseError              the database refused or failed while running a statement
        ├── UniqueViolation  ForeignKeyViolation  ExclusionViolation  InvalidValue  NotNullViolation  CheckViolation
        ├── RaisedByStatement  PermissionDenied  ProgramLimitExceeded  StatementFailed  DatabaseCorrupt
        ├── DatabaseUnavailable  AcquireTimeout  TooManyWaiting  TooManyStreams  SerializationFailure
        └── LockTimeout  StatementTimeout  OutcomeUnknown

Drivers' exceptions become these at one boundary per engine; these become statuses in one table (`http/problems.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from sqlwright.diagnostic import Diagnostic, ParameterFault

Outcome = Literal["none", "applied", "unknown"]

NOTES_MAX = 10  # faults that a traceback shows


class SqlwrightError(Exception):
    """Base of all. `code` is stable and machine-readable; `str(error)` is for people and safe to show to a caller."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    outcome: Outcome = "none"
    hint: str = ""
    step: int | None = None
    """Which step of a `POST /transaction` failed, from 0."""
    index: int | None = None
    """Which item of a call of many failed, from 0, where the database's error is about one."""

    def __init__(self, detail: str = "", *, hint: str = "", outcome: Outcome | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome or self.outcome
        self.hint = hint or self.hint
        if self.hint:
            self.add_note(f"hint: {self.hint}")  # tracebacks show it


class SettingsError(SqlwrightError):
    """Names the key (flag, variable or file entry) and says what it takes."""

    code = "settings"


class LoadError(SqlwrightError):
    """Wrong query files. `diagnostics` holds every error and warning of every file."""

    code = "load"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n\n".join(map(str, self.diagnostics)))


# --- the call is refused before a connection is taken -----------------------------------------------------------


class CallError(SqlwrightError):
    code = "call"


class NotFound(CallError):
    code = "not_found"


class UnknownQuery(CallError):
    """`near` lists names that look like the one asked for."""

    code = "unknown_query"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        self.near = tuple(near)
        hint = f"did you mean {' or '.join(self.near)}?" if self.near else "GET /queries lists the queries"
        super().__init__(f"there is no query {name!r}", hint=hint)


class UnknownTable(CallError):
    """`near` lists tables that look like the one asked for."""

    code = "unknown_table"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        self.near = tuple(near)
        hint = f"did you mean {' or '.join(self.near)}?" if self.near else "GET /tables lists the tables"
        super().__init__(f"there is no table {name!r}", hint=hint)


class MethodNotAllowed(CallError):
    code = "method_not_allowed"

    def __init__(self, detail: str, allow: Sequence[str]) -> None:
        self.allow = tuple(allow)
        super().__init__(detail)


class NotAcceptable(CallError):
    code = "not_acceptable"


class UnsupportedMediaType(CallError):
    code = "unsupported_media_type"


class UnsupportedContentCoding(CallError):
    """The body is compressed in a way that is not taken."""

    code = "unsupported_content_coding"


class MalformedRequest(CallError):
    code = "malformed_request"


class AmbiguousRequest(CallError):
    """Another server on the way may have read the request differently: its connection is not used on."""

    code = "ambiguous_request"


class UriTooLong(CallError):
    code = "uri_too_long"


class BodyTooLarge(CallError):
    code = "body_too_large"


class BodyTooSlow(CallError):
    code = "body_too_slow"
    retryable = True


class InvalidPageToken(CallError):
    code = "invalid_page_token"


class HostNotAllowed(CallError):
    code = "host_not_allowed"


class OriginNotAllowed(CallError):
    code = "origin_not_allowed"


class InvalidParameters(CallError):
    """Every fault of the call at once."""

    code = "invalid_parameters"

    def __init__(self, faults: Sequence[ParameterFault]) -> None:
        self.faults = tuple(faults)
        names = ", ".join(dict.fromkeys(fault.parameter or "the body" for fault in self.faults))
        super().__init__(f"not valid: {names}")
        for fault in self.faults[:NOTES_MAX]:
            item = "" if fault.index is None else f"item {fault.index}, "
            self.add_note(f"{item}{fault.parameter or 'the body'}: {fault.detail}")


class TransactionError(SqlwrightError):
    code = "transaction"


class TransactionFailed(TransactionError):
    """A statement of the transaction failed, so all of it is rolled back: nothing was applied."""

    code = "transaction_failed"


class TransactionClosed(TransactionError):
    """The transaction has ended: its statements must stand inside its `async with`."""

    code = "transaction_closed"


class ReadOnlyTransaction(TransactionError):
    """A query that writes was called in a transaction that was begun with `read_only=True`."""

    code = "read_only_transaction"


class ResultError(SqlwrightError):
    code = "result"


class NoRow(ResultError):
    code = "no_row"


class MoreThanOneRow(ResultError):
    """A write that did this has been rolled back."""

    code = "more_than_one_row"


class RowMismatch(ResultError):
    """A row does not fit the class that Python asked it to become. `outcome` is applied where a write stands."""

    code = "row_mismatch"


class ResultTooLarge(ResultError):
    code = "result_too_large"


class DeadlineExceeded(SqlwrightError):
    """`outcome` is unknown for a write that may have been sent."""

    code = "deadline_exceeded"


class ClientLeft(SqlwrightError):
    """For the log and the metrics. `outcome` is unknown for a write that may have been sent."""

    code = "client_left"


class ReaderTooSlow(SqlwrightError):
    """For the log and the metrics: the rest of the answer is not sent."""

    code = "reader_too_slow"


class QueryInvalid(SqlwrightError):
    """The database refuses the statement (a missing table, a syntax error): the file or the schema must change."""

    code = "query_invalid"
    retryable = True

    def __init__(self, detail: str, diagnostic: Diagnostic | None = None) -> None:
        self.diagnostic = diagnostic
        super().__init__(detail)
        if diagnostic is not None:
            self.add_note(str(diagnostic))


class ReadQueryWrote(SqlwrightError):
    code = "read_query_wrote"
    hint = "write `-- @write` in the query's header if it is meant to write"


# --- the database refused or failed while running a statement ---------------------------------------------------


class DatabaseError(SqlwrightError):
    """`native_code` (SQLSTATE or the engine's number) and `native_message` are shown in development only."""

    code = "database_error"

    def __init__(
        self,
        detail: str = "",
        *,
        native_code: str = "",
        native_message: str = "",
        outcome: Outcome | None = None,
        hint: str = "",
        constraint: str = "",
        columns: Sequence[str] = (),
    ) -> None:
        super().__init__(detail, hint=hint, outcome=outcome)
        self.native_code = native_code
        self.native_message = native_message
        self.constraint, self.columns = constraint, tuple(columns)
        """Names of the constraint that was broken and of the columns concerned, where the database tells them."""
        self.faults: tuple[ParameterFault, ...] = ()
        """Which parameters of the call that is, where the caller may know (the table facade fills it in)."""


class UniqueViolation(DatabaseError):
    code = "unique_violation"


class ForeignKeyViolation(DatabaseError):
    code = "foreign_key_violation"


class ExclusionViolation(DatabaseError):
    code = "exclusion_violation"


class InvalidValue(DatabaseError):
    """A value the statement cannot take: out of range, too long, not of the type, a division by zero."""

    code = "invalid_value"


class NotNullViolation(DatabaseError):
    code = "not_null_violation"


class CheckViolation(DatabaseError):
    code = "check_violation"


class RaisedByStatement(DatabaseError):
    """RAISE EXCEPTION, RAISE(ABORT, …) or SIGNAL: its author wrote the message for callers, so it is shown."""

    code = "raised"


class PermissionDenied(DatabaseError):
    code = "permission_denied"


class ProgramLimitExceeded(DatabaseError):
    code = "program_limit_exceeded"


class StatementFailed(DatabaseError):
    """Anything else the database says about a statement: ours or the file's fault, never the caller's."""

    code = "statement_failed"


class DatabaseCorrupt(DatabaseError):
    """What is stored is damaged. Nothing more is written to it; what can be read is read."""

    code = "database_corrupt"
    hint = "put a backup of the database in its place"


class DatabaseUnavailable(DatabaseError):
    """Cannot be reached, refuses us, is full or shutting down. Nothing was applied."""

    code = "database_unavailable"
    retryable = True
    was_lost = is_read_only = needs_setting = False
    """See `engines/outage.py`. With the last, waiting will not help: the message names the setting."""


class AcquireTimeout(DatabaseError):
    code = "acquire_timeout"
    retryable = True


class TooManyWaiting(DatabaseError):
    code = "too_many_waiting"
    retryable = True


class TooManyStreams(DatabaseError):
    """Answers that hold a connection for as long as their callers read: some are kept for others."""

    code = "too_many_streams"
    retryable = True


class SerializationFailure(DatabaseError):
    """A serialization failure or a deadlock: the same call may succeed."""

    code = "serialization_failure"
    retryable = True


class LockTimeout(DatabaseError):
    code = "lock_timeout"
    retryable = True


class StatementTimeout(DatabaseError):
    code = "statement_timeout"


class OutcomeUnknown(DatabaseError):
    """The connection was lost after a write was sent: it may or may not have been applied."""

    code = "outcome_unknown"
    outcome = "unknown"
