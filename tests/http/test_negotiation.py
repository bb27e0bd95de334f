"""Accept and Content-Type, as RFC 9110 reads them."""

from __future__ import annotations

import pytest

from sqlwright.http.negotiation import accepts_json, is_json


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", True),
        ("APPLICATION/JSON", True),
        ("*/*", True),
        ("application/*;q=0.1", True),
        ("text/html, */*;q=0.01", True),
        ("text/html", False),
        ("application/xml, text/*", False),
        ("application/json;q=0", False),
        ("application/json; q=0.0, */*", False),
        ("application/*;q=0, */*;q=1", False),
        ("*/*;q=0, application/json", True),
        ("application/json;version=1;q=0.5", True),
        ("application/problem+json", False),
        ("nonsense", False),
    ],
)
@pytest.mark.reliability(6)
def test_accept(accept: str, expected: bool) -> None:
    assert accepts_json(accept.encode()) is expected


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
