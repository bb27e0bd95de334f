"""A result as a table, JSON, CSV or lines of JSON.

Values are cut out of the JSON that the query gave and never parsed into Python numbers, so every format shows the same
digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlwright.body import render_body
from sqlwright.cli import output
from sqlwright.lines import CsvWriter, cell, members, split
from sqlwright.plan import Plan
from sqlwright.query import Cardinality, Result

FORMATS = ("table", "json", "csv", "ndjson")

_OBJECT = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
_PIECE_ROWS = 500


def write(plan: Plan, result: Result, format: str) -> None:
    """Print a result."""
    body = render_body(plan, result)[0]
    if format == "json":
        output.raw(body + b"\n")
    elif format == "ndjson":
        output.raw("".join(row + "\n" for row in _rows(plan, result, body)).encode())
    elif format == "csv":
        output.raw("".join(_csv(plan, _rows(plan, result, body))).encode("utf-8", "backslashreplace"))
    else:
        _write_table(plan, list(_rows(plan, result, body)))


def _rows(plan: Plan, result: Result, body: bytes) -> Iterator[str]:
    """Every row as the text of a JSON object; `{"value":…}` and `{"affected":…}` are rows too."""
    cardinality = plan.contract.query.cardinality
    if cardinality is Cardinality.MANY:
        yield from split(result.json.decode())
    elif cardinality not in _OBJECT or result.count:
        yield body.decode()


def _headings(plan: Plan, rows: Sequence[str]) -> list[str]:
    if rows:
        return [name for name, _ in members(rows[0])]
    return [column.name for column in plan.contract.columns]


def _csv(plan: Plan, rows: Iterable[str]) -> Iterator[str]:
    writer = CsvWriter([column.name for column in plan.contract.columns])
    remaining = iter(rows)
    while piece := list(islice(remaining, _PIECE_ROWS)):
        yield writer.write("\n".join(piece))
    yield writer.end()


def _write_table(plan: Plan, rows: Sequence[str]) -> None:
    cardinality = plan.contract.query.cardinality
    if cardinality is Cardinality.MANY:
        headings = _headings(plan, rows)
        texts = [[text for _, text in members(row)] for row in rows]
        if headings:
            numeric = [all(line[i][:1] in "-0123456789n" for line in texts) for i in range(len(headings))]
            output.table(headings, [[cell(text) for text in line] for line in texts], numeric=numeric)
        output.note(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")
    elif not rows:
        output.note("(no row)")
    else:
        pairs = list(members(rows[0]))
        if cardinality in _OBJECT:
            output.table(("column", "value"), [(name, cell(text)) for name, text in pairs])
        else:
            output.table([name for name, _ in pairs], [[cell(text) for _, text in pairs]])
