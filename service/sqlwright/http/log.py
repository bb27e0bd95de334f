"""The log: one line a call and one an event, for people in a terminal, as JSON otherwise, on standard error."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from sqlwright.config import Settings
from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import AcquireTimeout, DatabaseError, QueryInvalid, TooManyWaiting
from sqlwright.http.exchange import Exchange
from sqlwright.http.gathered import Gathered
from sqlwright.http.metrics import METRICS_PATH
from sqlwright.plan import Plan

_PROBES = frozenset({"/livez", "/readyz", METRICS_PATH})
_REFUSED = {
    TooManyWaiting.code: "calls refused at once, as too many wait for a connection",
    AcquireTimeout.code: "calls refused that waited too long for a connection",
}
_SLOW_LINES_MAX = 10
"""In a second."""
_RESET, _DIM, _GREEN, _YELLOW, _RED = "\033[0m", "\033[2m", "\033[32m", "\033[33m", "\033[31m"
_LINE_LENGTH_MAX = 300
_METHOD_LENGTH_MAX = 20
_PARAMETERS_SHOWN_MAX = 20
_VALUE_LENGTH_MAX = 100


class Log:
    def __init__(self, settings: Settings, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        terminal = self._stream.isatty()
        self._text = settings.log_format == "text" or (settings.log_format == "auto" and terminal)
        self._colours = self._text and terminal
        self._calls = settings.log_calls is not False
        self._good_calls = terminal if settings.log_calls is None else settings.log_calls
        self._slow_seconds = settings.slow_ms / 1000 or float("inf")
        self._values = settings.development
        self._gathered = Gathered(self._more)

    def close(self) -> None:
        self._gathered.tell()

    def is_quiet(self, exchange: Exchange, total_seconds: float) -> bool:
        """Whether `call` would write nothing. For any thread."""
        is_good = 200 <= exchange.status < 400
        return is_good and not self._good_calls and total_seconds <= self._slow_seconds

    def call(self, exchange: Exchange, total_seconds: float) -> None:
        """The line of a finished call. Successful probes are left out: they come every few seconds for ever."""
        if exchange.code in _REFUSED:
            # Under too much load their lines would be what takes the time.
            if not self._gathered.is_written(_REFUSED[exchange.code], 1 if self._calls else 0):
                return
        elif (
            total_seconds > self._slow_seconds
            and exchange.query is not None
            and self._gathered.is_written("slow calls", _SLOW_LINES_MAX)
        ):
            self._slow(exchange, exchange.query, total_seconds)
        if 200 <= exchange.status < 400 and (not self._good_calls or exchange.path in _PROBES):
            return
        if not self._calls:
            return
        fields: dict[str, Any] = {
            "request_id": exchange.request_id,
            "method": exchange.method[:_METHOD_LENGTH_MAX],
            "path": _one_line(exchange.path),
            "query": exchange.query,
            **_outcome(exchange, total_seconds),
        }
        cause = _cause(exchange.error) if exchange.status >= 500 or exchange.status == 200 else ""
        if cause:
            fields["cause"] = cause.encode("utf-8", "backslashreplace").decode("utf-8")
        self._write(fields, self._call_text(exchange, total_seconds, cause))

    def _slow(self, exchange: Exchange, query: str, total_seconds: float) -> None:
        """The line of a call that took too long, however it ended: what it was called with, never its SQL."""
        plan = exchange.plan
        types = {} if plan is None else _types(plan)
        values = _shown_values(plan) if plan is not None and self._values else {}
        fields: dict[str, Any] = {
            "level": "warning",
            "message": "slow call",
            "request_id": exchange.request_id,
            "query": query,
            "parameters": types,
            **_outcome(exchange, total_seconds),
        }
        if values:
            fields["values"] = values
        said = [f"{name} {type}" + (f" = {values[name]}" if name in values else "") for name, type in types.items()]
        text = f"slow: {query}({', '.join(said)})"
        if self._colours:
            text = f"{_YELLOW}{text}{_RESET}"
        self._write(fields, "  ".join([text, *self._outcome_text(exchange, total_seconds)]))

    def _more(self, kind: str, count: int) -> None:
        text = f"{kind}: {count} without a line of their own within a second"
        self._write({"level": "warning", "message": text, "calls": count}, f"warning: {text}")

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
        line = "  ".join([*parts, *self._outcome_text(exchange, total_seconds)])
        return f"{line}\n    {_several_lines(cause)}" if cause else line

    def _outcome_text(self, exchange: Exchange, total_seconds: float) -> list[str]:
        parts = []
        if exchange.rows is not None:
            parts.append(f"{exchange.rows} row{'' if exchange.rows == 1 else 's'}")
        if exchange.code:
            parts.append(exchange.code)
        queue, database = exchange.waited_seconds * 1000, exchange.database_seconds * 1000
        timing = f"{total_seconds * 1000:.1f} ms (queue {queue:.1f}, db {database:.1f})  {exchange.request_id}"
        return [*parts, f"{_DIM}{timing}{_RESET}" if self._colours else timing]

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


def _outcome(exchange: Exchange, total_seconds: float) -> dict[str, Any]:
    return {
        "status": exchange.status,
        "code": exchange.code,
        "rows": exchange.rows,
        "queue_ms": round(exchange.waited_seconds * 1000, 2),
        "db_ms": round(exchange.database_seconds * 1000, 2),
        "total_ms": round(total_seconds * 1000, 2),
    }


def _types(plan: Plan) -> dict[str, str]:
    """The parameters' types as the contract has them."""
    shown = plan.contract.parameters[:_PARAMETERS_SHOWN_MAX]
    return {p.name: ("any" if p.type is None else str(p.type) or "any") for p in shown}


def _shown_values(plan: Plan) -> dict[str, str]:
    """For development only. Of a bulk call, those of its first item."""
    values = plan.values if plan.items is None else next(iter(plan.items), ())
    shown = zip(plan.contract.parameters[:_PARAMETERS_SHOWN_MAX], values, strict=False)
    return {parameter.name: _one_line(_clipped(value)) for parameter, value in shown}


def _clipped(value: object) -> str:
    # Cut before it is written out: a value may have megabytes.
    if isinstance(value, list | tuple):
        more = f", … {len(value)} items" if len(value) > 1 else ""
        return f"[{''.join(map(_clipped, value[:1]))}{more}]"
    if isinstance(value, str | bytes) and len(value) > _VALUE_LENGTH_MAX:
        return f"{value[:_VALUE_LENGTH_MAX]!r}…"
    return repr(value)[:_VALUE_LENGTH_MAX]


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
