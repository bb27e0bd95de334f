"""Calls that schemathesis makes of our own OpenAPI document, each wrong in some way that the document tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import schemathesis
from asking import Asker, asking, drawn
from hypothesis.errors import Unsatisfiable

from reliability import Tally

CASES = 8
"""For each operation: schemathesis takes some 50 ms for one."""
PARTS = 4
"""Tests among which the operations are divided."""
ROWS = {
    "malformed_request": 1, "range": 2, "value": 2, "null": 2, "length": 2, "type": 3, "format": 3, "unknown": 4,
    "missing": 4, "repeated": 4, "body_too_large": 5, "unsupported_media_type": 6, "unknown_query": 7, "not_found": 7,
    "invalid_page_token": 10,
}  # fmt: skip
"""The row of the table that an answer's code, or its first fault's, belongs to."""


@pytest.mark.reliability(3, engine="sqlite")
@pytest.mark.reliability(4)
@pytest.mark.parametrize("part", range(PARTS))
async def test_calls_that_the_document_does_not_allow(sqlite_url: str, tmp_path: Path, tally: Tally, part: int) -> None:
    async with asking(sqlite_url, tmp_path, tally) as asker:
        schema = schemathesis.openapi.from_dict(asker.document)
        operations = [found.ok() for found in schema.get_all_operations()]
        for operation in operations[part::PARTS]:
            try:
                cases = drawn(operation.as_strategy(schemathesis.GenerationMode.NEGATIVE), CASES)
            except Unsatisfiable:
                continue  # the document takes everything there: a query without parameters, a text as a key
            for case in cases:
                await ask(asker, case)
        asker.asked.pop("", None)


async def ask(asker: Asker, case: Any) -> None:
    path = case.path
    for name, value in (case.path_parameters or {}).items():
        path = path.replace(f"{{{name}}}", quote(text(value), safe=""))
    query = urlencode([pair for name, value in (case.query or {}).items() for pair in pairs(name, value)])
    body = None if type(case.body).__name__ == "NotSet" else case.body
    answer = await asker.ask("", case.method, path, query, body)
    if answer.status >= 300:
        # What is described wrongly may still be right: schemathesis sends texts where JSON stands in a query string.
        codes = [fault["code"] for fault in answer.json["errors"]] or [answer.code]
        asker.asked[str(next((ROWS[code] for code in [*codes, answer.code] if code in ROWS), 2))] += 1
    else:
        asker.asked["9"] += 1


def pairs(name: str, value: object) -> list[tuple[str, str]]:
    return [(name, text(item)) for item in value] if isinstance(value, list) else [(name, text(value))]


def text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
