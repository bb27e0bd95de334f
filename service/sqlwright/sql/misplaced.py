"""Comments that mean something to us but stand where they cannot: told, because a directive is never ignored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from sqlwright.sql.blocks import begins_line
from sqlwright.sql.directives import KNOWN, NOT_YET_SUPPORTED, Directive, as_directive, refuse
from sqlwright.sql.header import is_block_header
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, OPERATOR, WORD, Token
from sqlwright.sql.report import Report

_IN_BLOCK = re.compile(r"@([^\W\d][\w-]*+)([^\n]*+)")
_RESULT = re.compile(r"--[ \t]*+:result(?![\w-])")
_HEADER_BLOCK = "between the header and the first SQL token"
_KNOWN = frozenset([*KNOWN, *NOT_YET_SUPPORTED])


def check_comments(comments: Sequence[Token], text: str, report: Report, *, in_header: bool) -> list[Directive]:
    """Report directives and headers in these comments, and return the `@if` and `@end` of a statement's spans.

    In a header block only block comments can be wrong.
    """
    spans: list[Directive] = []
    for token in comments:
        comment = text[token.start : token.end]
        if token.kind is BLOCK_COMMENT:
            _check_block_comment(comment, token.start, text, report)
        elif comment.startswith("#"):
            _check_hash_comment(comment, token.start, report)
        elif not in_header:
            directive = as_directive(comment, token.start)
            own_line = begins_line(text, token.start)
            if directive is None:
                if _RESULT.match(comment):
                    report.error(
                        "misplaced", token.start, f"`-- :result` must stand {_HEADER_BLOCK}", "move it up", len(comment)
                    )
            elif directive.word not in _KNOWN:
                refuse(directive, report)
            elif not own_line:
                _inline(directive, report)
            elif directive.word in ("if", "end"):
                spans.append(directive)
            else:
                message = f"`-- @{directive.word}` must stand {_HEADER_BLOCK}"
                report.error("misplaced", token.start, message, "move the line up, under the header", len(comment))
    return spans


def _inline(directive: Directive, report: Report) -> None:
    word = directive.word
    names = directive.arguments.replace(",", " ").split()
    names = names[1:] if names[:1] == ["not"] else names
    instead = f"-- @param {names[0]} optional" if word == "if" and names else directive.line.strip()
    hint = f"formatters move comments at line ends. Write in the header: `{instead}`"
    if word == "end":
        hint = "formatters move comments at line ends. Write `-- @end` on the next line"
    message = f"`-- @{word}` must stand alone on its line"
    report.error("misplaced", directive.offset, message, hint, len(directive.line))


def _check_hash_comment(comment: str, offset: int, report: Report) -> None:
    inside = comment.lstrip("# \t")
    if inside.startswith("@") and as_directive("-- " + inside, offset) is not None:
        report.error("block_directive", offset, "directives are `--` comments", f"`-- {inside.strip()}`", len(comment))
    elif is_block_header("/*" + inside):
        report.error("block_header", offset, "a header is a `--` comment", f"write `-- {inside.strip()}`", len(comment))


def _check_block_comment(comment: str, offset: int, text: str, report: Report) -> None:
    first_line_length = len(comment.split("\n", 1)[0])
    if begins_line(text, offset) and is_block_header(comment):
        name = comment[2:].removesuffix("*/").strip("* \t\r\n").split("\n", 1)[0].strip()
        hint = f"write `-- {name}` on a line of its own"
        return report.error("block_header", offset, "a header is a `--` comment", hint, first_line_length)
    position = 2
    first = True
    for line in comment[2:].removesuffix("*/").split("\n"):
        blanks = len(line) - len(line.lstrip("*! \t\r"))
        match = _IN_BLOCK.match(line, blanks)
        if match and (match.group(1) in _KNOWN or first):
            word, arguments = match.group(1), match.group(2).strip()
            hint = f"`-- @{word} {arguments}".rstrip() + "` on a line of its own, under the header"
            if word in ("if", "end"):
                hint = f"`-- @if {arguments if word == 'if' else ''}".rstrip() + "` and `-- @end`, each on its own line"
            return report.error(
                "block_directive", offset + position + blanks, "directives are `--` comments", hint, len(word) + 1
            )
        first = first and not line.strip("*! \t\r")
        position += len(line) + 1
    return None


def check_spans(spans: Sequence[Directive], tokens: Sequence[Token], report: Report) -> None:
    """Pair `@if` with `@end`. Spans are not yet supported, but a wrong one is told as what it is."""
    open_spans: list[Directive] = []
    last_ended = 0
    locate = report.source.locate
    for directive in sorted(spans, key=lambda span: span.offset):
        length = len(directive.line)
        if directive.word == "if":
            open_spans.append(directive)
        elif not open_spans:
            hint = f"the last `-- @if` ended on line {last_ended}" if last_ended else "no `-- @if` stands before it"
            report.error("span", directive.offset, "nothing to end here", hint, length)
        else:
            begin = open_spans[-1]
            if directive.arguments and directive.arguments not in begin.arguments.replace(",", " ").split():
                message = (
                    f"ends {directive.arguments}, but {begin.arguments} is open since line {locate(begin.offset)[0]}"
                )
                report.error("span", directive.offset, message, f"write `-- @end {begin.arguments}` first", length)
                return
            open_spans.pop()
            last_ended = locate(directive.offset)[0]
            if not _unbalanced(begin, directive, tokens, report):
                refuse(begin, report)
    for directive in open_spans:
        message = f"`{directive.line.strip()}` is never ended"
        report.error("span", directive.offset, message, _where_to_end(directive, tokens, report), len(directive.line))


def _unbalanced(begin: Directive, end: Directive, tokens: Sequence[Token], report: Report) -> bool:
    depth = 0
    for token in tokens:
        if token.kind is OPERATOR and begin.offset < token.start < end.offset:
            depth += (token.value in ("(", "[")) - (token.value in (")", "]", "operator()"))
            if depth < 0:
                break
    if depth:
        what = (
            "opens a parenthesis that it does not close" if depth > 0 else "closes a parenthesis that it does not open"
        )
        hint = "let `-- @if` and `-- @end` stand around both parentheses"
        report.error("span", begin.offset, f"the span {what}", hint, len(begin.line))
    return bool(depth)


def _where_to_end(begin: Directive, tokens: Sequence[Token], report: Report) -> str:
    matter = [token for token in tokens if token.start > begin.offset and token.kind not in (COMMENT, BLOCK_COMMENT)]
    for token, following in pairwise(matter):
        if token.kind is WORD and token.value in ("order", "group") and following.value == "by":
            return f"add `-- @end` before {token.value.upper()} BY (line {report.source.locate(token.start)[0]})"
    return "add `-- @end` on a line of its own behind what it stands around"
