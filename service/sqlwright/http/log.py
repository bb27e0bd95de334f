"""The log: one line a call and one an event, for people in a terminal, as JSON otherwise, on standard error."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from sqlwright.config import Settings
from sqlwright.errors import DatabaseError, Diagnostic, QueryInvalid
from sqlwright.http.exchange import Exchange

_PROBES = frozenset({"/livez", "/readyz"})
_RESET, _DIM, _GREEN, _YELLOW, _RED = "\033[0m", "\033[2m", "\033[32m", "\033[33m", "\033[31m"
_LINE_LENGTH_MAX = 300
_METHOD_LENGTH_MAX = 20


class Log:
    def __init__(self, settings: Settings, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        terminal = self._stream.isatty()
        self._text = settings.log_format == "text" or (settings.log_format == "auto" and terminal)
        self._colours = self._text and terminal
        self._calls = settings.log_calls

    def call(self, exchange: Exchange, total_seconds: float) -> None:
        """The line of a finished call. Successful probes are left out: they come every few seconds for ever."""
        if not self._calls or (exchange.path in _PROBES and exchange.status == 200):
            return
        fields: dict[str, Any] = {
            "request_id": exchange.request_id,
            "method": exchange.method[:_METHOD_LENGTH_MAX],
            "path": _one_line(exchange.path),
            "query": exchange.query,
            "status": exchange.status,
            "code": exchange.code,
            "rows": exchange.rows,
            "queue_ms": round(exchange.waited_seconds * 1000, 2),
            "db_ms": round(exchange.database_seconds * 1000, 2),
            "total_ms": round(total_seconds * 1000, 2),
        }
        cause = _cause(exchange.error) if exchange.status >= 500 else ""
        if cause:
            fields["cause"] = cause.encode("utf-8", "backslashreplace").decode("utf-8")
        self._write(fields, self._call_text(exchange, total_seconds, cause))

    def event(self, level: str, message: str) -> None:
        self._write({"level": level, "message": message}, f"{level}: {message}")

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        """What is wrong in a query file, with the line and a caret under the place."""
        place = {"file": diagnostic.file, "line": diagnostic.line, "column": diagnostic.column}
        self._write({"level": diagnostic.severity, "message": str(diagnostic), **place}, str(diagnostic))

    def failure(self, message: str, error: BaseException, request_id: str | None = None) -> None:
        """Something that should not have happened, with where it did."""
        trace = "".join(traceback.format_exception(error))
        fields = {"level": "error", "message": message, "request_id": request_id, "traceback": trace}
        self._write(fields, f"error: {message} ({request_id})\n{trace}" if request_id else f"error: {message}\n{trace}")

    def _call_text(self, exchange: Exchange, total_seconds: float, cause: str) -> str:
        status = f"{exchange.status or '---'}"
        if self._colours:
            colour = _GREEN if exchange.status < 400 else _YELLOW if exchange.status < 500 else _RED
            status = f"{colour}{status}{_RESET}"
        parts = [status, f"{exchange.method[:_METHOD_LENGTH_MAX]:<4}", _one_line(exchange.path)]
        if exchange.rows is not None:
            parts.append(f"{exchange.rows} row{'' if exchange.rows == 1 else 's'}")
        if exchange.code:
            parts.append(exchange.code)
        queue, database = exchange.waited_seconds * 1000, exchange.database_seconds * 1000
        timing = f"{total_seconds * 1000:.1f} ms (queue {queue:.1f}, db {database:.1f})  {exchange.request_id}"
        parts.append(f"{_DIM}{timing}{_RESET}" if self._colours else timing)
        line = "  ".join(parts)
        return f"{line}\n    {_several_lines(cause)}" if cause else line

    def _write(self, fields: dict[str, Any], text: str) -> None:
        if self._text:
            line = f"{datetime.now():%H:%M:%S}  {text}\n"  # people read their own clock
        else:
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = orjson.dumps({"time": moment, **fields}).decode("utf-8") + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log any more: the service goes on


def _cause(error: Exception | None) -> str:
    """What the database said: for the log only."""
    if isinstance(error, DatabaseError):
        return " ".join(filter(None, (error.native_code, error.native_message)))
    if isinstance(error, QueryInvalid):
        return str(error.diagnostic or error)
    return ""


def _one_line(text: str) -> str:
    """What a caller sent cannot write colours or lines of its own into a log."""
    text = text[:_LINE_LENGTH_MAX]
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _several_lines(text: str) -> str:
    return "\n    ".join(map(_one_line, text.split("\n")))
