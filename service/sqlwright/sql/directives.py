"""The comment lines between a header and its SQL: directives, `:result`, and the rest, which is the query's doc."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlwright.query import ISOLATIONS, PLAN_MODES, Cardinality, Isolation, Parameter, PlanMode
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.header import Header, is_near_header, parse_result_line
from sqlwright.sql.lexer import BLOCK_COMMENT, Token
from sqlwright.sql.parameter_line import parse_parameter
from sqlwright.sql.report import Report, near

KNOWN = ("param", "timeout", "limit", "write", "isolation", "batch", "plan-mode")
NOT_YET_SUPPORTED = (
    "if", "end", "flag", "sort", "page", "get", "post", "put", "patch", "delete", "internal",
)  # fmt: skip
_ALL = frozenset([*KNOWN, *NOT_YET_SUPPORTED])
TIMEOUT_SECONDS_MAX = 86_400.0
PAGE_ROWS_MAX = 1_000_000

_DIRECTIVE = re.compile(r"--[ \t]*+@([ \t]*+)([^\W\d][\w-]*+)")
_RECORD_CLASS = re.compile(r"--[ \t]*+record_class[ \t]*+:")
_TIMEOUT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)[ \t]*+(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_LIMIT = re.compile(r"(\d{1,9})(?:[ \t]++max[ \t]++(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Directive:
    """`word` is what follows the @; `arguments` the rest, which begins at `arguments_at` of the line."""

    word: str
    arguments: str
    arguments_at: int
    line: str
    offset: int
    """Where the comment stands in the file."""


@dataclass(slots=True)
class Directives:
    """What a header block says."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    doc: str = ""
    cardinality: Cardinality | None = None
    cardinality_offset: int = 0
    timeout_seconds: float | None = None
    page_rows: int | None = None
    page_rows_max: int | None = None
    limit_offset: int = 0
    isolation: Isolation | None = None
    isolation_offset: int = 0
    batch: bool = True
    batch_offset: int | None = None
    plan_mode: PlanMode | None = None
    plan_mode_offset: int = 0
    writes: bool = False
    flags: dict[str, Directive] = field(default_factory=dict)
    sorts: list[Directive] = field(default_factory=list)
    spans: list[Directive] = field(default_factory=list)
    """`@if` and `@end`, wherever they stand on lines of their own."""


def as_directive(comment: str, offset: int) -> Directive | None:
    """What a `--` comment that looks like a directive says, known or not."""
    match = _DIRECTIVE.match(comment)
    if match is None or (match.group(1) and match.group(2) not in _ALL):
        return None
    return Directive(match.group(2), comment[match.end() :].strip(), match.end(), comment, offset)


def read_block(
    comments: Sequence[Token], text: str, header: Header | None, dialect: Dialect, report: Report
) -> Directives:
    """The header block's comments, in order. `header` is None in a file without one."""
    reader = _BlockReader(header, dialect, report)
    for token in comments:
        comment = text[token.start : token.end]
        if token.kind is BLOCK_COMMENT:
            reader.lines += [
                line.strip().removeprefix("*").strip() for line in comment[2:].removesuffix("*/").splitlines()
            ]
        else:
            reader.read(comment, token.start)
    reader.found.doc = "\n".join(reader.lines).strip()
    return reader.found


class _BlockReader:
    def __init__(self, header: Header | None, dialect: Dialect, report: Report) -> None:
        self.dialect = dialect
        self.report = report
        self.lines: list[str] = []
        self.found = Directives()
        self.seen: dict[str, int] = {}
        """Where each directive that may stand only once was read."""
        if header is not None:
            self.found.cardinality = header.cardinality
            self.found.cardinality_offset = header.cardinality_offset
        self.readers: dict[str, Callable[[Directive], None]] = {
            "param": self._param, "timeout": self._timeout, "limit": self._limit, "write": self._write,
            "isolation": self._isolation, "batch": self._batch, "plan-mode": self._plan_mode, "flag": self._flag,
            "sort": self.found.sorts.append, "if": self.found.spans.append, "end": self.found.spans.append,
        }  # fmt: skip

    def read(self, comment: str, offset: int) -> None:
        directive = as_directive(comment, offset)
        if directive is not None:
            return self._directive(directive)
        if _RECORD_CLASS.match(comment):
            hint = "rows are JSON objects; from Python, `into=` maps them to a class"
            return self.report.warning("record_class", offset, "record_class is ignored", hint, len(comment))
        if is_near_header(comment):
            hint = "a header is written `-- name: x`, in small letters"
            self.report.warning("near_header", offset, "this is taken for a comment", hint, len(comment))
        is_result, cardinality = parse_result_line(comment, offset, self.report)
        if not is_result:
            self.lines.append(comment.lstrip("-#").strip())
        elif cardinality is not None:
            if self.found.cardinality not in (None, cardinality):
                hint = "keep the word in the header or the `-- :result` line"
                message = f"this query's result is already said to be :{self.found.cardinality}"
                self.report.error("result", offset, message, hint, len(comment))
            self.found.cardinality, self.found.cardinality_offset = cardinality, offset
        return None

    def _directive(self, directive: Directive) -> None:
        word = directive.word
        if word in self.readers:
            self.readers[word](directive)
        elif word.startswith("sqlc-"):
            self.report.warning("sqlc", directive.offset, f"@{word} is sqlc's and is ignored", "", len(directive.line))
        else:
            refuse(directive, self.report)

    def _once(self, directive: Directive) -> bool:
        if directive.word in self.seen:
            line = self.report.source.locate(self.seen[directive.word])[0]
            message = f"@{directive.word} stands here twice; first on line {line}"
            self.report.error("directive", directive.offset, message, "keep one of the two", len(directive.line))
            return False
        self.seen[directive.word] = directive.offset
        return True

    def _param(self, directive: Directive) -> None:
        parameter = parse_parameter(directive.line, directive.arguments_at, directive.offset, self.dialect, self.report)
        if parameter is None:
            return
        earlier = self.found.parameters.get(parameter.name)
        if earlier is not None:
            line = self.report.source.locate(earlier.offset)[0]
            message = f"there is already a `-- @param {parameter.name}` on line {line}"
            self.report.error("param", parameter.offset, message, "keep one of the two", len(parameter.name))
        else:
            self.found.parameters[parameter.name] = parameter

    def _timeout(self, directive: Directive) -> None:
        match = _TIMEOUT.fullmatch(directive.arguments)
        seconds = float(match.group(1)) * _SECONDS[match.group(2)] if match else 0.0
        if match is None or not 0 < seconds <= TIMEOUT_SECONDS_MAX:
            hint = "write `-- @timeout 2s`, `500ms` or `1m`, up to a day"
            self._arguments_error(directive, "is no time for a statement", hint)
        elif self._once(directive):
            self.found.timeout_seconds = seconds

    def _limit(self, directive: Directive) -> None:
        match = _LIMIT.fullmatch(directive.arguments)
        hint = "write `-- @limit 50` or `-- @limit 50 max 500`"
        if match is None:
            return self._arguments_error(directive, "is no number of rows", hint)
        rows, most = int(match.group(1)), int(match.group(2)) if match.group(2) else None
        if not 1 <= rows <= (most or PAGE_ROWS_MAX) or (most or 1) > PAGE_ROWS_MAX:
            return self._arguments_error(directive, f"is not in order: 1 ≤ rows ≤ max ≤ {PAGE_ROWS_MAX}", hint)
        if self._once(directive):
            self.found.page_rows, self.found.page_rows_max, self.found.limit_offset = rows, most, directive.offset
        return None

    def _write(self, directive: Directive) -> None:
        if directive.arguments:
            self._arguments_error(directive, "says nothing here", "write `-- @write` alone on its line")
        elif self._once(directive):
            self.found.writes = True

    def _isolation(self, directive: Directive) -> None:
        # As the settings and the interfaces spell it, or as SQL does.
        word = "_".join(directive.arguments.lower().split())
        level = next((level for level in ISOLATIONS if level == word), None)
        if level is None:
            hint = f"write `-- @isolation` and one of {', '.join(ISOLATIONS)}"
            self._arguments_error(directive, "is no isolation level", hint)
        elif self._once(directive):
            self.found.isolation, self.found.isolation_offset = level, directive.offset

    def _batch(self, directive: Directive) -> None:
        if directive.arguments not in ("on", "off"):
            self._arguments_error(directive, "does not say whether", "write `-- @batch off`, or `on`, as it is anyway")
        elif self._once(directive):
            self.found.batch, self.found.batch_offset = directive.arguments == "on", directive.offset

    def _plan_mode(self, directive: Directive) -> None:
        mode = next((mode for mode in PLAN_MODES if mode == directive.arguments), None)
        if mode is None:
            hint = f"write `-- @plan-mode` and one of {', '.join(PLAN_MODES)}"
            self._arguments_error(directive, "is no way of planning", hint)
        elif self._once(directive):
            self.found.plan_mode, self.found.plan_mode_offset = mode, directive.offset
            if not self.dialect.has_plan_modes:
                message = "@plan-mode is ignored: only PostgreSQL can be told how to plan"
                self.report.warning("directive", directive.offset, message, "", len(directive.line))

    def _flag(self, directive: Directive) -> None:
        name = directive.arguments.split(" ")[0].replace("-", "_")
        if name:
            self.found.flags[name] = directive
        else:
            self._arguments_error(directive, "names no flag", "write `-- @flag with_deleted - description`")

    def _arguments_error(self, directive: Directive, message: str, hint: str) -> None:
        written = directive.arguments
        at = directive.line.index(written, directive.arguments_at) if written else 0
        subject = repr(written) if written else f"@{directive.word} without anything after it"
        length = len(written) or len(directive.line)
        self.report.error("directive", directive.offset + at, f"{subject} {message}", hint, length)


def refuse(directive: Directive, report: Report) -> None:
    """A directive of a later version, or of none."""
    at = directive.offset + directive.line.index("@")
    length = len(directive.word) + 1
    if directive.word in NOT_YET_SUPPORTED:
        message = f"`-- @{directive.word}` is not yet supported"
        return report.error("not_supported", at, message, f"remove the line; now there are {_LIST}", length)
    hint = near(directive.word, (*KNOWN, *NOT_YET_SUPPORTED), "@") or f"the directives are {_LIST}"
    return report.error("unknown_directive", at, f"unknown directive @{directive.word}", hint, length)


_LIST = " ".join("@" + word for word in KNOWN)
