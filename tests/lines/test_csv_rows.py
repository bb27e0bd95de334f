"""Rows as CSV: what is in them comes back, and the fast way writes what the careful one does."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqlwright.lines import CsvWriter, cell, members

NUMBERS = st.sampled_from(["0", "-0", "1.50", "1e+20", "123456789012345678901234567890", "0.10000000000000000000001"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", '"', ",", "\r\n", "\n", "\\", '\\"', "=1+1", "+1", "-1", "@x", "null", "[]", '{"a": "]"}', " a ", "'", "\t"]
)


@st.composite
def nested(draw: Any) -> str:
    """JSON as somebody has stored it, blanks and all."""
    numbers, text = draw(NUMBERS), json.dumps(draw(TEXTS))
    return str(draw(st.sampled_from([f"[{numbers}, {text}]", f'{{"a" : {text},"b":[ ]}}', "[]", "{}", f"[[{text}]]"])))


VALUES = st.one_of(NUMBERS, TEXTS.map(json.dumps), st.sampled_from(["null", "true", "false"]))
NAMES = ["n", 'a "name", quoted', "ä", "x"]


@st.composite
def rows(draw: Any) -> list[str]:
    """Rows of one result as JSON texts."""
    width = draw(st.integers(1, len(NAMES)))
    values = VALUES | nested() if draw(st.booleans()) else VALUES
    made = draw(st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=6))
    return ["{" + ",".join(f"{json.dumps(n)}:{v}" for n, v in zip(NAMES, row, strict=False)) + "}" for row in made]


def careful(rows: Sequence[str]) -> str:
    """A cell after the other."""

    def field(text: str | None) -> str:
        if text is None:
            return ""
        return '"' + text.replace('"', '""') + '"' if text == "" or any(c in text for c in '",\r\n') else text

    lines = [[name for name, _ in members(rows[0])], *([cell(text) for _, text in members(row)] for row in rows)]
    return "".join((",".join(map(field, line)) or '""') + "\r\n" for line in lines)


@given(rows(), st.integers(1, 6))
@example(['{"n":null}', '{"n":""}', '{"n":true}'], 2)
@example(['{"n":1}', '{"n":{"a":[1.0,"]"]}}', '{"n":"x"}'], 1)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_what_a_careful_writer_writes(rows: list[str], piece: int) -> None:
    writer = CsvWriter(["unused"])
    pieces = ["\n".join(rows[start : start + piece]) for start in range(0, len(rows), piece)]
    written = "".join(map(writer.write, pieces)) + writer.end()
    assert written == careful(rows)
    found = list(csv.reader(io.StringIO(written, newline="")))
    assert found[1:] == [[cell(text) or "" for _, text in members(row)] for row in rows]


def test_headings_where_there_is_no_row() -> None:
    assert CsvWriter(["a", 'b "c"']).end() == 'a,"b ""c"""\r\n'
    assert CsvWriter([]).end() == ""


@pytest.mark.parametrize("text", ["[" * 50_000 + "]" * 50_000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_what_is_nested_deeply_is_not_parsed(text: str) -> None:
    written = CsvWriter([]).write(f'{{"n":1,"json":{text}}}')
    assert list(csv.reader(io.StringIO(written, newline="")))[1][1] == text
