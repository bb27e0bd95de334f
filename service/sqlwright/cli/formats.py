"""A result as a table, JSON, CSV or lines of JSON.

Values are cut out of the JSON that the query gave and never parsed into Python numbers, so every format shows the same
digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from sqlwright.body import render_body
from sqlwright.cli import output
from sqlwright.plan import Plan
from sqlwright.query import Cardinality, Result

FORMATS = ("table", "json", "csv", "ndjson")

_OBJECT = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
_DECODER = json.JSONDecoder()
_JSON_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]')


def write(plan: Plan, result: Result, format: str) -> None:
    """Print a result. CSV is RFC 4180 with a null as nothing and an empty text as two quotes."""
    body = render_body(plan, result)[0]
    if format == "json":
        output.raw(body + b"\n")
    elif format == "ndjson":
        output.raw("".join(row + "\n" for row in _rows(plan, result, body)).encode())
    elif format == "csv":
        output.raw("".join(_csv_lines(plan, list(_rows(plan, result, body)))).encode())
    else:
        _write_table(plan, list(_rows(plan, result, body)))


def _rows(plan: Plan, result: Result, body: bytes) -> Iterator[str]:
    """Every row as the text of a JSON object; `{"value":…}` and `{"affected":…}` are rows too."""
    cardinality = plan.contract.query.cardinality
    if cardinality is Cardinality.MANY:
        yield from _split(result.json.decode())
    elif cardinality not in _OBJECT or result.count:
        yield body.decode()


def _split(text: str) -> Iterator[str]:
    """The values of a comma-separated list of JSON values, each exactly as it stands there."""
    depth, start = 0, 0
    for token in _JSON_TOKENS.finditer(text):
        mark = token[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif mark == "," and depth == 0:
            yield text[start : token.start()]
            start = token.end()
    if text[start:].strip():
        yield text[start:]


def _members(row: str) -> Iterator[tuple[str, str]]:
    """Names and JSON texts of a row."""
    for member in _split(row.strip()[1:-1]):
        name, end = _DECODER.raw_decode(member.lstrip())
        yield name, member.lstrip()[end:].lstrip().removeprefix(":").strip()


def _cell(text: str) -> str | None:
    """A JSON text as people read it: a string without its quotes, anything else as it stands there."""
    if text == "null":
        return None
    return str(json.loads(text)) if text.startswith('"') else text


def _headings(plan: Plan, rows: Sequence[str]) -> list[str]:
    if rows:
        return [name for name, _ in _members(rows[0])]
    return [column.name for column in plan.contract.columns]


def _csv_lines(plan: Plan, rows: Sequence[str]) -> Iterator[str]:
    headings = _headings(plan, rows)
    if headings:
        yield ",".join(map(_csv_field, headings)) + "\r\n"
    for row in rows:
        fields = [_csv_field(_cell(text)) for _, text in _members(row)]
        # A line with nothing on it is no record to most readers.
        yield (",".join(fields) if fields != [""] else '""') + "\r\n"


def _csv_field(text: str | None) -> str:
    if text is None:
        return ""
    if text == "" or any(c in text for c in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _write_table(plan: Plan, rows: Sequence[str]) -> None:
    cardinality = plan.contract.query.cardinality
    if cardinality is Cardinality.MANY:
        headings = _headings(plan, rows)
        texts = [[text for _, text in _members(row)] for row in rows]
        if headings:
            numeric = [all(line[i][:1] in "-0123456789n" for line in texts) for i in range(len(headings))]
            output.table(headings, [[_cell(text) for text in line] for line in texts], numeric=numeric)
        output.note(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")
    elif not rows:
        output.note("(no row)")
    else:
        members = list(_members(rows[0]))
        if cardinality in _OBJECT:
            output.table(("column", "value"), [(name, _cell(text)) for name, text in members])
        else:
            output.table([name for name, _ in members], [[_cell(text) for _, text in members]])
