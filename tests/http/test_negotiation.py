"""Accept and Content-Type, as RFC 9110 reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqlwright.errors import NotAcceptable
from sqlwright.http.negotiation import choose, is_json

CASES = json.loads((Path(__file__).parent.parent / "cases" / "negotiation.json").read_text(encoding="utf-8"))
"""`Accept`, and what comes of it: for an object, for many rows; null for 406."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["accept"])
@pytest.mark.reliability(6)
def test_accept(case: dict[str, str | None]) -> None:
    assert case["accept"] is not None
    for streams, expected in ((False, case["object"]), (True, case["rows"])):
        if expected is None:
            with pytest.raises(NotAcceptable, match="application/json"):
                choose(case["accept"].encode(), streams=streams)
        else:
            assert choose(case["accept"].encode(), streams=streams) == expected


def test_a_long_header_is_not_remembered() -> None:
    with pytest.raises(NotAcceptable):
        choose(b"application/json," + b"a" * 1000, streams=True)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("application/json ; charset=utf-8", True),
        ('Application/JSON;Charset="UTF-8"', True),
        ("application/problem+json", True),
        ("application/json; charset=iso-8859-1", False),
        ("application/jsonp", False),
        ("text/json", False),
        ("text/plain", False),
        ("", False),
        ("multipart/form-data; boundary=x", False),
    ],
)
@pytest.mark.reliability(6)
def test_content_type(content_type: str, expected: bool) -> None:
    assert is_json(content_type.encode()) is expected
