"""The header line of a query in its three spellings: aiosql's and sqlc's `-- name: x`, PugSQL's `-- :name x`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlwright.query import Cardinality
from sqlwright.sql.report import Report, near

SIGILS = {
    "^": Cardinality.ONE,
    "$": Cardinality.VALUE,
    "!": Cardinality.EXEC,
    "<!": Cardinality.RETURNING,
    "*!": Cardinality.BULK,
    "#": Cardinality.SCRIPT,
}
WORDS = {
    "one": Cardinality.ONE, "1": Cardinality.ONE,
    "one?": Cardinality.ONE_OR_NONE,
    "many": Cardinality.MANY, "*": Cardinality.MANY, "raw": Cardinality.MANY,
    "value": Cardinality.VALUE, "scalar": Cardinality.VALUE,
    "exec": Cardinality.EXEC, "execrows": Cardinality.EXEC, "affected": Cardinality.EXEC, "n": Cardinality.EXEC,
    "returning": Cardinality.RETURNING,
    "insert": Cardinality.INSERT, "execlastid": Cardinality.INSERT,
    "bulk": Cardinality.BULK, "copyfrom": Cardinality.BULK,
    "script": Cardinality.SCRIPT,
}  # fmt: skip

_SPELLED = [word for word in WORDS if word.isalpha()]
_HEADER = re.compile(r"--[ \t]*+(?:name[ \t]*+:|:name(?![\w-]))[ \t]*+")
_NEAR_HEADER = re.compile(r"--[ \t]*+(?:names?[ \t]*+[:=]|:names?)[ \t]*+([^\W\d_][\w-]*+)", re.IGNORECASE)
_RESULT = re.compile(r"--[ \t]*+:result(?![\w-])[ \t]*+:?[ \t]*+")
_LONE_WORD = re.compile(r"--[ \t]*+:([\w?*]++)[ \t]*+$")
_NAME = re.compile(r"[^\W\d_][\w-]*+")
_LISTED = re.compile(r"[ \t]*+\(([^)]*+)\)")
_LISTED_NAME = re.compile(r"[^\W\d][\w-]*+")
_LIST_ITEM = re.compile(r"[^\s,]++")
_EXAMPLES = "write `-- name: get_artist(artist_id)^` or `-- name: get_artist :one`"
_WORD_LIST = "the words are :one :one? :many :value :exec :returning :insert :bulk :script"


@dataclass(frozen=True, slots=True)
class Header:
    """What a header line says; `offset` is where it stands."""

    name: str
    offset: int
    listed: tuple[tuple[str, int], ...] | None = None
    """The names of `name(…)` and where they stand; None without a list."""
    cardinality: Cardinality | None = None
    cardinality_offset: int = 0


def query_name(written: str) -> str | None:
    """A name as we call it (`-` reads as `_`), or None when it is none."""
    match = _NAME.fullmatch(written)
    return written.replace("-", "_") if match else None


def is_header(comment: str) -> bool:
    """Whether a `--` comment that begins a line is meant as a header, well written or not."""
    return _HEADER.match(comment) is not None


def is_near_header(comment: str) -> bool:
    """Almost a header: `-- Name: x`, `-- names: x`, `-- name = x`."""
    match = _NEAR_HEADER.match(comment)
    return match is not None and not is_header(comment) and _parse_silently("-- name: " + comment[match.start(1) :])


def is_block_header(comment: str) -> bool:
    """`/* name: x */` or `/* :name x */`: what a header would be, were it a `--` comment."""
    inside = comment[2:].removesuffix("*/").lstrip("* \t\r\n").split("\n", 1)[0].rstrip()
    return _parse_silently("-- " + inside)


def _parse_silently(comment: str) -> bool:
    match = _HEADER.match(comment)
    name = _NAME.match(comment, match.end()) if match else None
    if name is None:
        return False
    listed = _LISTED.match(comment, name.end())
    rest = comment[listed.end() if listed else name.end() :].strip()
    return not rest or rest in SIGILS or rest.removeprefix(":") in WORDS


def parse_header(comment: str, offset: int, report: Report) -> Header | None:
    """The header that stands at `offset` of the file; None after an error that leaves no name."""
    match = _HEADER.match(comment)
    assert match is not None
    name = _NAME.match(comment, match.end())
    if name is None:
        written = comment[match.end() :].split(" ", maxsplit=1)[0]
        message = f"{written!r} is no name for a query" if written else "this header names no query"
        hint = "a name is a letter, then letters, digits, _ and -"
        report.error("header", offset + min(match.end(), len(comment.rstrip())), message, hint, max(1, len(written)))
        return None
    position = name.end()
    listed = _LISTED.match(comment, position)
    names: tuple[tuple[str, int], ...] | None = None
    if listed:
        items = list(_LIST_ITEM.finditer(comment, *listed.span(1)))
        wrong = next((item for item in items if not _LISTED_NAME.fullmatch(item.group())), None)
        if wrong is None:
            names = tuple((item.group().replace("-", "_"), offset + item.start()) for item in items)
        else:
            message = f"{wrong.group()!r} is no parameter's name"
            hint = "the list holds names alone, as in `(a, b)`; a type or a default goes into `-- @param a int = 5`"
            report.error("parameter_list", offset + wrong.start(), message, hint, len(wrong.group()))
        position = listed.end()
    rest = comment[position:].strip()
    rest_at = offset + comment.index(rest, position) if rest else offset
    query = name.group().replace("-", "_")
    if not rest:
        return Header(query, offset, names)
    cardinality = SIGILS.get(rest) or (WORDS.get(rest[1:]) if rest[0] == ":" else None)
    if cardinality is None:
        _not_understood(rest, rest_at, report)
    return Header(query, offset, names, cardinality, rest_at)


def _not_understood(rest: str, offset: int, report: Report) -> None:
    first = rest.split(maxsplit=1)[0]
    if rest in WORDS:
        report.error("header", offset, f"{rest!r} needs a colon before it", f"write `:{rest}`", len(rest))
    elif first in SIGILS or (first[0] == ":" and first[1:] in WORDS):
        after = rest[len(first) :].strip()
        offset += rest.index(after, len(first))
        hint = "a comment goes on the next line; a query has one result word"
        report.error("header", offset, f"nothing can follow {first} in a header, but {after!r} does", hint, len(after))
    elif first.startswith(":"):
        hint = near(first[1:], _SPELLED, ":") or _WORD_LIST
        report.error("header", offset, f"unknown result word {first}", hint, len(first))
    elif first.startswith("("):
        report.error("header", offset, "the parameter list is never closed", "add the closing )", len(rest))
    elif first.startswith("."):
        hint = "folders are namespaces: put the query into a file in the folder of that name"
        report.error("header", offset, f"{first!r} cannot be part of a query's name", hint, len(first))
    else:
        report.error(
            "header", offset, f"this header goes on with {rest!r}, which is not understood", _EXAMPLES, len(rest)
        )


def parse_result_line(comment: str, offset: int, report: Report) -> tuple[bool, Cardinality | None]:
    """Whether this comment is meant as a `-- :result WORD` line, and the word when it is a known one."""
    match = _RESULT.match(comment)
    if match is None:
        lone = _LONE_WORD.match(comment)
        if lone and lone.group(1) in WORDS:
            hint = f"write `-- :result :{lone.group(1)}`"
            report.error(
                "result", offset + lone.start(1) - 1, f":{lone.group(1)} stands alone", hint, len(lone.group(1)) + 1
            )
            return True, None
        return False, None
    word = comment[match.end() :].strip()
    if word in WORDS:
        return True, WORDS[word]
    if not word:
        report.error("result", offset, "`-- :result` says no word", _WORD_LIST, len(comment))
    else:
        hint = near(word, _SPELLED, ":") or _WORD_LIST
        report.error("result", offset + match.end(), f"unknown result word :{word}", hint, len(word))
    return True, None
