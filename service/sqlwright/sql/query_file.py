"""One file's text → its queries, or what is wrong with each of them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Access, Cardinality, Parameter, Query, Slot, SourceFile, Statement
from sqlwright.sql.blocks import Block, split
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.directives import Directives, read_block, refuse
from sqlwright.sql.header import Header, parse_header
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, PARAMETER, STRING, SWALLOWED_HEADER, Lexed, Token, lex
from sqlwright.sql.misplaced import check_comments, check_spans
from sqlwright.sql.report import Report, near
from sqlwright.sql.result_rules import ResultRules
from sqlwright.sql.statement import build


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one query of a file. Without a `name` it is about the file itself."""

    name: str | None
    query: Query | None
    diagnostics: tuple[Diagnostic, ...]
    hides_names: bool = False
    """There may be queries in the file whose names could not be read."""


def read_queries(source: SourceFile, namespace: str, stem: str, dialect: Dialect) -> list[Outcome]:
    """Every query of a file. `namespace` ends in a dot or is empty; `stem` names the query of a headerless file."""
    lexed = lex(source.text, dialect)
    blocks = split(source.text, lexed.tokens)
    reader = _FileReader(source, namespace, dialect, lexed)
    first = blocks[0]
    outcomes = [reader.above(first, blocks[1].offset) if len(blocks) > 1 else reader.headerless(first, stem)]
    for index, block in enumerate(blocks[1:], 1):
        end = blocks[index + 1].offset if index + 1 < len(blocks) else len(source.text) + 1
        outcomes.append(reader.headed(block, end, is_last=index + 1 == len(blocks)))
    if not lexed.complete or blocks[-1].body_open_at is not None:
        # What stands behind an open quote was not read: queries may be missing.
        outcomes.append(Outcome(None, None, (), hides_names=True))
    return outcomes


class _FileReader:
    def __init__(self, source: SourceFile, namespace: str, dialect: Dialect, lexed: Lexed) -> None:
        self.source = source
        self.namespace = namespace
        self.dialect = dialect
        self.faults = lexed.faults
        self.lexed = lexed

    def headerless(self, block: Block, stem: str) -> Outcome:
        report = Report(self.source)
        self._report_faults(report, 0, len(self.source.text) + 1)
        query = self._query(block, None, self.namespace + stem, report)
        return Outcome(self.namespace + stem, query, tuple(report.diagnostics))

    def above(self, block: Block, end: int) -> Outcome:
        """What stands above the first header: comments, but no SQL."""
        report = Report(self.source)
        self._report_faults(report, 0, end)
        check_comments(block.comments, self.source.text, report, in_header=False)
        if block.tokens:
            hint = "write `-- name: some_name` above it"
            report.error("no_header", block.offset, "this SQL stands above the first header, so it has no name", hint)
        return Outcome(None, None, tuple(report.diagnostics), hides_names=report.errors > 0)

    def headed(self, block: Block, end: int, *, is_last: bool) -> Outcome:
        report = Report(self.source)
        assert block.header is not None
        text = self.source.text
        header = parse_header(text[block.header.start : block.header.end], block.header.start, report)
        self._report_faults(report, block.header.start, end)
        if header is None:
            return Outcome(None, None, tuple(report.diagnostics), hides_names=True)
        query = self._query(block, header, self.namespace + header.name, report)
        if not is_last and block.tokens and not block.is_terminated:
            last = [token for token in block.tokens if token.kind not in (COMMENT, BLOCK_COMMENT)][-1]
            hint = "add a ; here: psql would read this query and the next as one statement"
            report.warning("missing_semicolon", last.end - 1, f"{header.name} does not end in a ;", hint)
        return Outcome(self.namespace + header.name, query, tuple(report.diagnostics))

    def _report_faults(self, report: Report, begin: int, end: int) -> None:
        first = bisect_left(self.faults, begin, key=lambda fault: fault.offset)
        for fault in takewhile(lambda fault: fault.offset < end, islice(self.faults, first, None)):
            hint = fault.hint
            if fault.code == "unterminated":
                hint = _earlier_quote(self.source, self.lexed.tokens) or hint
            report.error(fault.code, fault.offset, fault.message, hint, fault.length)

    def _query(self, block: Block, header: Header | None, name: str, report: Report) -> Query | None:
        text = self.source.text
        directives = read_block(block.comments, text, header, self.dialect, report)
        check_comments(block.comments, text, report, in_header=True)
        in_sql = [token for token in block.tokens if token.kind in (COMMENT, BLOCK_COMMENT)]
        directives.spans += check_comments(in_sql, text, report, in_header=False)
        check_spans(directives.spans, block.tokens, report)
        if block.body_open_at is not None:
            report.error("unterminated", block.body_open_at, "this BEGIN is never ended", "add END;", 5)
        tokens = self._statement_tokens(block, directives, report)
        if not tokens:
            return None
        scalars = {p.name for p in directives.parameters.values() if p.type is not None and not p.type.array}
        statement, structure = build(text, tokens, scalars)
        parameters = _parameters(statement, tokens, directives, report)
        _check_listed(header, tokens, report)
        self._check_later(directives, statement, tokens, report)
        if any(diagnostic.code in ("header", "result") for diagnostic in report.diagnostics):
            return None  # what it should give is not known
        rules = ResultRules(directives, statement, structure, block.offset, report)
        cardinality, access = rules.settle(self.dialect, has_header=header is not None)
        if access is Access.SCRIPT and parameters:
            first = parameters[0]
            message = f":{first.name} cannot stand in a script"
            use = next(token for token in tokens if token.kind is PARAMETER)
            hint = "scripts take no parameters; `\\:` is a literal colon"
            report.error("script_parameter", use.start, message, hint, len(first.name) + 1)
        if report.errors:
            return None
        return Query(
            name=name, cardinality=cardinality, access=access, statement=statement, parameters=parameters,
            source=self.source, offset=block.offset, doc=directives.doc, timeout_seconds=directives.timeout_seconds,
            page_rows=directives.page_rows, page_rows_max=directives.page_rows_max,
            isolation=directives.isolation, batch=directives.batch, plan_mode=directives.plan_mode,
        )  # fmt: skip

    def _statement_tokens(self, block: Block, directives: Directives, report: Report) -> list[Token]:
        """Tokens of the one statement, or of the whole script; empty after an error."""
        statements = block.statements()
        if not statements:
            if block.header is None:
                message = "there is no SQL in this file"
                report.error("empty", 0, message, "write a statement, or begin the file's name with _ to skip it")
            else:
                header_length = block.header.end - block.header.start
                report.error(
                    "empty",
                    block.header.start,
                    "there is no SQL under this header",
                    "write the statement below it",
                    header_length,
                )
            return []
        if directives.cardinality is Cardinality.SCRIPT:
            return block.script()
        if len(statements) > 1:
            second = statements[1][0]
            hint = "give it a header of its own, or make all of it a script: `:script`, or `#` behind the name"
            if block.header is None:
                hint = "give each a header `-- name: x`, or make the file a script: `-- :result :script` above it"
            message = "a second statement begins here, and a query is one statement"
            report.error(
                "second_statement", second.start, message, hint, second.end - second.start if second.value else 1
            )
        return statements[0]

    def _check_later(
        self, directives: Directives, statement: Statement, tokens: Sequence[Token], report: Report
    ) -> None:
        used = {token.value: token for token in tokens if token.kind is PARAMETER}
        for name, directive in directives.flags.items():
            if name in used:
                message = f"{name} is a flag; a flag has no value in SQL"
                hint = f"use `-- @param {name} boolean`"
                report.error("flag", used[name].start, message, hint, len(name) + 1)
            else:
                refuse(directive, report)
        for directive in directives.sorts:
            if statement.has_order_by:
                refuse(directive, report)
            else:
                message = "@sort needs an ORDER BY at the end of the statement; it is the default order"
                hint = "add an ORDER BY at the end"
                report.error("sort", directive.offset, message, hint, len(directive.line))


def _parameters(
    statement: Statement, tokens: Sequence[Token], directives: Directives, report: Report
) -> tuple[Parameter, ...]:
    """In the order of their first use."""
    lists: dict[str, bool] = {}
    uses: dict[str, int] = {}
    for token in tokens:
        if token.kind is PARAMETER:
            uses.setdefault(token.value, token.start)
    for part in statement.parts:
        if isinstance(part, Slot) and lists.setdefault(part.name, part.is_list) != part.is_list:
            message = f":{part.name} is a list in IN (:{part.name}), and a single value elsewhere"
            hint = (
                "use two parameters, or declare its type: `-- @param " + part.name + " int` makes IN (…) take one value"
            )
            report.error("list_parameter", part.offset, message, hint, len(part.name) + 1)
            break
    for name, declared in directives.parameters.items():
        if name not in uses and name not in directives.flags:
            message = f'"{name}" has a @param line but is not in the SQL'
            report.error("param", declared.offset, message, _used(name, uses, tokens, report.source), len(name))
    found = []
    for name, offset in uses.items():
        parameter = directives.parameters.get(name) or Parameter(name, offset=offset)
        found.append(replace(parameter, is_list=lists.get(name, False)))
    return tuple(found)


def _check_listed(header: Header | None, tokens: Sequence[Token], report: Report) -> None:
    """GRAMMAR rule 10: the list in `name(…)` is exactly the `:names` of the SQL."""
    if header is None or header.listed is None:
        return
    uses = {token.value: token.start for token in reversed(tokens) if token.kind is PARAMETER}
    ordered = dict(sorted(uses.items(), key=lambda use: use[1]))
    listed = dict(header.listed)
    for name, offset in header.listed:
        if name not in uses:
            message = f'"{name}" is in the parameter list but not in the SQL'
            hint = _used(name, ordered, tokens, report.source)
            report.error("parameter_list", offset, message, hint, len(name))
    for name, offset in ordered.items():
        if name not in listed:
            message = f":{name} is in the SQL but not in the parameter list"
            hint = f"write `{header.name}({', '.join(ordered)})`, or leave the list out"
            report.error("parameter_list", offset, message, hint, len(name) + 1)


def _used(name: str, uses: dict[str, int], tokens: Sequence[Token], source: SourceFile) -> str:
    for token in tokens:
        if token.kind is STRING and re.search(rf":{name}\b", source.text[token.start : token.end]):
            line = source.locate(token.start)[0]
            return f"on line {line} it stands in quotes, where it is text: write '%' || :{name} || '%' or the like"
    if not uses:
        return "the SQL uses no parameters"
    meant = near(name, uses, ":")
    return "the SQL uses " + ", ".join(f":{use}" for use in uses) + (f"; {meant}" if meant and len(uses) > 3 else "")


def _earlier_quote(source: SourceFile, tokens: Sequence[Token]) -> str:
    """A forgotten closing quote shows late: an earlier quoted token then runs over a header line."""
    for token in tokens:
        if token.end - token.start > 8 and token.kind not in (COMMENT, BLOCK_COMMENT):
            header = SWALLOWED_HEADER.search(source.text, token.start, token.end)
            if header is not None:
                begin, swallowed = source.locate(token.start)[0], source.locate(header.start() + 1)[0]
                return (
                    f"the quote that opens on line {begin} swallows the header on line {swallowed}: is its end missing?"
                )
    return ""
