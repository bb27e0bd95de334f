"""JSON bodies: what is refused, and that every digit survives."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlwright.errors import MalformedRequest
from sqlwright.parameters.json_body import DEPTH_LIMIT, dump_json, parse_json


def refused(body: bytes, depth_max: int = 64) -> str:
    with pytest.raises(MalformedRequest) as caught:
        parse_json(body, depth_max)
    message = str(caught.value)
    message.encode("utf-8")  # whatever came, the message can be sent
    assert "\n" not in message
    assert len(message) < 200
    return message


def test_numbers_keep_their_digits() -> None:
    body = b'{"a": 1, "b": 1.10, "c": 9223372036854775808, "d": 0.1000000000000000000000000001, "e": -0.0, "f": 1E5}'
    value = parse_json(body, 64)
    assert value == {
        "a": 1,
        "b": Decimal("1.10"),
        "c": 9223372036854775808,
        "d": Decimal("0.1000000000000000000000000001"),
        "e": Decimal("-0.0"),
        "f": Decimal("1E5"),
    }
    assert isinstance(value, dict)
    assert [type(item) for item in value.values()] == [int, Decimal, int, Decimal, Decimal, Decimal]
    assert str(value["b"]) == "1.10"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b'{"a": 1,}', "line 1, column"),
        (b'{"a": 1\n "b": 2}', "line 2, column 2"),
        ('{"é": 1 x}'.encode(), "line 1, column 9"),
        (b"{} {}", "line 1, column 4"),
        (b"[1] x", "line 1, column 5"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b'{"a": 1e400}', "beyond the range of a double"),
        (b'{"a": -1.5E+309}', "beyond the range of a double"),
        (b"1e99999999999999999999999", "beyond the range of a double"),
        (b"1e-99999999999999999999999", "exponent"),
        (b"0e99999999999999999999999", "exponent"),
        (b"0." + b"1" * 20_000, "characters"),
        (b"1" * 5000, "too many digits"),
        (b'{"a": 1, "b": {"k\xc3\xa9y": 1, "k\xc3\xa9y": 1}}', '"kéy" is there twice'),
        (b'{"a": 1, "\\u0061": 2}', '"a" is there twice'),
        (b'{"\\ud800": 1, "\\ud800": 2}', "is there twice"),
        (b'{"' + b"k" * 500 + b'": 1, "' + b"k" * 500 + b'": 2}', "is there twice"),
        (b'"\xff"', "not UTF-8 (line 1, column 2)"),
        (b'{"a":\n"\xc3\xa9\xc3"}', "not UTF-8 (line 2, column 3)"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'"a\nb"', "line 1, column 3"),
        (b'"a\x00b"', "line 1, column 3"),
        (b'"\\x41"', "line 1, column"),
        (b"01", "line 1, column 2"),
        (b"+1", "line 1, column 1"),
        (b".5", "line 1, column 1"),
        (b"1.", "line 1, column 2"),
        (b"1_0", "line 1, column 2"),
        ("١".encode(), "line 1, column 1"),
        (b"\x0b1", "line 1, column 1"),
        (b"truE", "line 1, column 1"),
        (b"// no\n1", "line 1, column 1"),
    ],
)
@pytest.mark.reliability(1)
def test_what_is_no_json_is_refused(body: bytes, says: str) -> None:
    assert says in refused(body)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.reliability(1)
def test_depth(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return opening * depth + b"1" + closing * depth

    parse_json(nested(64), 64)
    assert "deeper than 64" in refused(nested(65), 64)
    assert "deeper than 64" in refused(nested(100_000), 64)
    assert "deeper than 1 " in refused(nested(2), 1)
    refused(opening * 100_000)
    parse_json(nested(DEPTH_LIMIT), 10**9)
    refused(nested(DEPTH_LIMIT + 1), 10**9)
    refused(nested(100_000), 10**9)


def test_brackets_in_strings_and_beside_each_other_are_no_depth() -> None:
    assert parse_json(b'["' + b"[{" * 100 + b'\\"["]', 1) == ["[{" * 100 + '"[']
    assert parse_json(b"[" + b"[]," * 100 + b"{}]", 2) == [[]] * 100 + [{}]


def test_what_is_allowed_at_the_edges() -> None:
    assert parse_json(b" \t\r\n[] \n", 64) == []
    assert parse_json(b"null", 64) is None
    assert parse_json(b'{"": 1}', 64) == {"": 1}
    assert parse_json(b"1.7976931348623157e308", 64) == Decimal("1.7976931348623157e308")
    assert parse_json(b'{"a": {"k": 1}, "b": {"k": 1}}', 64) == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, Decimal("1.10"), None, True, False]}, '{"a":[1,1.10,null,true,false]}'),
        ([2**70, Decimal("1E+5"), Decimal("-0.0"), {}], "[1180591620717411303424,1E+5,-0.0,{}]"),
        ({"é😀": 'a"b\\c\n\t\x01\u2028'}, '{"é😀":"a\\"b\\\\c\\n\\t\\u0001\u2028"}'),
        ({"é😀": ['a"b\\c\n\t\x01\u2028', 2**64, [], [[]], {"x": {}}]},
         '{"é😀":["a\\"b\\\\c\\n\\t\\u0001\u2028",18446744073709551616,[],[[]],{"x":{}}]}'),
    ],
)  # fmt: skip
def test_dump_is_compact_and_exact(value: object, text: str) -> None:
    assert dump_json(value) == text


def test_dump_refuses_what_is_no_json() -> None:
    with pytest.raises(TypeError):
        dump_json({"a": object()})
    with pytest.raises(TypeError):
        dump_json([2**70, Decimal("NaN")])


def test_dump_of_deep_values() -> None:
    body = b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT
    assert dump_json(parse_json(body, 10**6)) == body.decode()


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
    | st.text(max_size=20)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@settings(max_examples=100, deadline=None)
@given(values)
def test_round_trip(value: object) -> None:
    text = dump_json(value)
    assert "\n" not in text
    again = parse_json(text.encode("utf-8"), 64)
    # An integral Decimal may be written as an integer is; digits and signs are the same.
    assert dump_json(again) == text
    assert json.loads(text, parse_float=Decimal) == again


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789eE+-.\\untrfalse NaI', max_size=40).map(str.encode))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    try:
        value = parse_json(body, 8)
    except MalformedRequest as error:
        str(error).encode("utf-8")
    else:
        assert dump_json(parse_json(dump_json(value).encode("utf-8", "surrogatepass"), 8) if _is_text(value) else value)


def _is_text(value: object) -> bool:
    try:
        dump_json(value).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
