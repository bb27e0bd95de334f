"""Exceptions as HTTP: the one table of statuses, and the RFC 9457 body of every answer that is not a success."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sqlwright import errors
from sqlwright.diagnostic import Diagnostic, ParameterFault
from sqlwright.errors import SqlwrightError
from sqlwright.http import content_coding
from sqlwright.http.exchange import Exchange, Header
from sqlwright.http.responses import Answer

RETRY_AFTER_SECONDS = 1
PROBLEM_TYPE = "urn:sqlwright:problem:"

STATUSES: Mapping[type[SqlwrightError], tuple[int, str]] = {
    errors.SqlwrightError: (500, "Internal error"),
    errors.SettingsError: (500, "Wrong settings"),
    errors.LoadError: (500, "Wrong query files"),
    errors.CallError: (400, "Bad request"),
    errors.NotFound: (404, "Not found"),
    errors.UnknownQuery: (404, "Unknown query"),
    errors.UnknownTable: (404, "Unknown table"),
    errors.MethodNotAllowed: (405, "Method not allowed"),
    errors.NotAcceptable: (406, "Not acceptable"),
    errors.BodyTooSlow: (408, "The body came too slowly"),
    errors.UnsupportedMediaType: (415, "Unsupported media type"),
    errors.UnsupportedContentCoding: (415, "Unsupported content coding"),
    errors.MalformedRequest: (400, "Malformed request"),
    errors.AmbiguousRequest: (400, "Ambiguous request"),
    errors.BodyTooLarge: (413, "Body too large"),
    errors.UriTooLong: (414, "Query string too long"),
    errors.InvalidPageToken: (400, "Invalid page token"),
    errors.InvalidParameters: (422, "Invalid parameters"),
    errors.HostNotAllowed: (403, "Host not allowed"),
    errors.OriginNotAllowed: (403, "Origin not allowed"),
    errors.TransactionError: (500, "Transaction error"),
    errors.TransactionFailed: (500, "Transaction rolled back"),
    errors.TransactionClosed: (500, "Transaction has ended"),
    errors.ReadOnlyTransaction: (500, "Transaction is read-only"),
    errors.ResultError: (500, "Unexpected result"),
    errors.NoRow: (404, "No row"),
    errors.MoreThanOneRow: (500, "More than one row"),
    errors.ResultTooLarge: (500, "Result too large"),
    errors.RowMismatch: (500, "Row does not fit"),
    errors.QueryInvalid: (503, "The database refuses this query"),
    errors.ReadQueryWrote: (500, "A reading query tried to write"),
    errors.DeadlineExceeded: (504, "Out of time"),
    errors.ClientLeft: (499, "The caller has left"),  # nginx's number: only the log and the metrics see it
    errors.ReaderTooSlow: (499, "The caller reads too slowly"),  # as the one before
    errors.DatabaseError: (500, "Database error"),
    errors.UniqueViolation: (409, "Unique constraint violated"),
    errors.ForeignKeyViolation: (409, "Foreign key constraint violated"),
    errors.ExclusionViolation: (409, "Exclusion constraint violated"),
    errors.InvalidValue: (422, "Invalid value"),
    errors.NotNullViolation: (422, "Value must not be null"),
    errors.CheckViolation: (422, "Check constraint violated"),
    errors.RaisedByStatement: (422, "Refused by the statement"),
    errors.PermissionDenied: (403, "Permission denied"),
    errors.ProgramLimitExceeded: (413, "Too large for the database"),
    errors.StatementFailed: (500, "Statement failed"),
    errors.DatabaseCorrupt: (500, "Database damaged"),
    errors.DatabaseUnavailable: (503, "Database unavailable"),
    errors.AcquireTimeout: (503, "No free connection"),
    errors.TooManyWaiting: (503, "Too many waiting calls"),
    errors.TooManyStreams: (503, "Too many streams"),
    errors.SerializationFailure: (503, "Conflict with another transaction"),
    errors.LockTimeout: (503, "Locked by another transaction"),
    errors.StatementTimeout: (504, "Statement timeout"),
    errors.OutcomeUnknown: (504, "Outcome unknown"),
}

_CLOSING = (errors.BodyTooLarge, errors.BodyTooSlow, errors.AmbiguousRequest)
"""After these the connection is closed."""
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_PROBLEM_JSON: Header = (b"content-type", b"application/problem+json")
_FRAMEWORK: Mapping[int, type[SqlwrightError]] = {
    404: errors.NotFound,
    406: errors.NotAcceptable,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedMediaType,
}


def problem(exchange: Exchange, error: Exception, *, development: bool) -> Answer:
    """The answer for an exception, ours, the framework's or an unexpected one."""
    ours = _translate(error)
    # A program may have subclasses of its own.
    status, title = next(STATUSES[kind] for kind in type(ours).__mro__ if kind in STATUSES)
    code = ours.code
    if isinstance(error, HTTPException) and error.status_code != status:
        # A route that somebody added to the application says something of its own.
        status = error.status_code
        title = _PHRASES.get(status, "Error")
        code = title.lower().replace(" ", "_")
    exchange.code = code
    exchange.error = error
    body: dict[str, Any] = {
        "type": PROBLEM_TYPE + code,
        "title": title,
        "status": status,
        "detail": _detail(ours, development),
        "instance": exchange.instance,
        "code": code,
        "request_id": exchange.request_id,
        "retryable": ours.retryable,
        "outcome": ours.outcome,
        "errors": [_fault(fault) for fault in getattr(ours, "faults", ())],
    }
    if ours.step is not None:
        body["step"] = ours.step
    if ours.index is not None:
        body["index"] = ours.index
    if ours.hint:
        body["hint"] = ours.hint
    if development:
        body.update(_development(ours))
    return Answer(status, _dump(body), [_PROBLEM_JSON, *_headers(ours, status, exchange), *_own_headers(error)])


def _dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # A name that the caller sent has half a character (a lone surrogate): JSON can only escape it.
        return json.dumps(body).encode("ascii")


def _translate(error: Exception) -> SqlwrightError:
    if isinstance(error, SqlwrightError):
        return error
    if isinstance(error, RequestValidationError):
        return errors.InvalidParameters(
            [
                ParameterFault("query", str(item["loc"][-1]), str(item["type"]), str(item["msg"]))
                for item in error.errors()
            ]
        )
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allow = (error.headers or {}).get("Allow", "GET")
            return errors.MethodNotAllowed(f"this path takes {allow}", [part.strip() for part in allow.split(",")])
        if error.status_code == HTTPStatus.NOT_FOUND:
            if error.detail != _PHRASES[HTTPStatus.NOT_FOUND]:
                return errors.NotFound(str(error.detail))
            return errors.NotFound("there is nothing at this path", hint="GET / lists what is here")
        return _FRAMEWORK.get(error.status_code, errors.CallError)(str(error.detail))
    return SqlwrightError("something went wrong; the log of the service has it under this request id")


def _detail(error: SqlwrightError, development: bool) -> str:
    if isinstance(error, errors.QueryInvalid) and not development:
        # The database's message may quote the statement.
        return "the database refuses the statement of this query; the log and /readyz of the service tell more"
    return str(error)


def _fault(fault: ParameterFault) -> dict[str, Any]:
    place = {"in": fault.place, "parameter": fault.parameter, "code": fault.code, "detail": fault.detail}
    return place if fault.index is None else {**place, "index": fault.index}


def _development(error: SqlwrightError) -> dict[str, Any]:
    if isinstance(error, errors.DatabaseError) and (error.native_code or error.native_message):
        return {"database": {"code": error.native_code, "message": error.native_message}}
    if isinstance(error, errors.QueryInvalid) and error.diagnostic is not None:
        return {"diagnostic": describe_diagnostic(error.diagnostic)}
    return {}


def describe_diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    """For development only: it quotes the file."""
    return {
        "severity": diagnostic.severity,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }


def _headers(error: SqlwrightError, status: int, exchange: Exchange) -> list[Header]:
    headers: list[Header] = []
    if isinstance(error, _CLOSING) and exchange.scope.get("http_version") != "2":
        # The rest of the body may still come: servers close, and a caller that is not told loses its next call.
        headers.append((b"connection", b"close"))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    if isinstance(error, errors.UnsupportedContentCoding):
        headers.append((b"accept-encoding", content_coding.ACCEPTED.encode("ascii")))
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode("ascii")))
    return headers


def _own_headers(error: Exception) -> list[Header]:
    """Those of the framework's exception, such as WWW-Authenticate; Allow is ours already."""
    if not isinstance(error, HTTPException) or isinstance(_translate(error), errors.MethodNotAllowed):
        return []
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (error.headers or {}).items()]
