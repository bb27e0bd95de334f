"""Parameters: what is taken, what is refused, and that all of it is told at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlwright.diagnostic import ParameterFault
from sqlwright.engines.binder import Binder
from sqlwright.errors import InvalidParameters, QueryInvalid
from sqlwright.parameters import FAULTS_MAX, Call, Validator, compile_validator
from sqlwright.parameters.json_body import dump_json, parse_json
from sqlwright.query import (
    Access,
    Cardinality,
    Kind,
    Literal,
    Parameter,
    Query,
    Rules,
    SourceFile,
    SqlType,
    Statement,
)

CASES = json.loads((Path(__file__).parent.parent / "cases" / "parameters.json").read_text(encoding="utf-8"))
SOURCE = SourceFile("queries/things.sql", "-- name: find\n-- @param x int\nSELECT 1\n")


def keep(parameter: Parameter, type: SqlType, value: Any) -> Any:
    return value


def validator(
    *parameters: Parameter,
    cardinality: Cardinality = Cardinality.ONE,
    access: Access = Access.READ,
    bind: Callable[[Parameter, SqlType, Any], Any] = keep,
    page_rows_max: int = 1000,
    big_numbers_as_text: bool = False,
) -> Validator:
    query = Query("things.find", cardinality, access, Statement((), "select"), parameters, SOURCE, 0)
    return compile_validator(
        query,
        parameters,
        lambda type: Binder(partial(bind, parameters[0], type)),
        page_rows_max=page_rows_max,
        big_numbers_as_text=big_numbers_as_text,
    )


def typed(kind: Kind | str, name: str = "x", *, array: bool = False, **rest: Any) -> Parameter:
    return Parameter(name, SqlType(str(kind), Kind(kind), array=array), offset=14, **rest)


def faults(call: Callable[[], object]) -> tuple[ParameterFault, ...]:
    with pytest.raises(InvalidParameters) as caught:
        call()
    assert caught.value.faults
    for fault in caught.value.faults:
        f"{fault.parameter}{fault.detail}{caught.value}".encode()  # whatever came, it can be sent
        assert fault.detail
        assert "\n" not in fault.detail
    return caught.value.faults


def codes(call: Callable[[], object]) -> list[tuple[str, str]]:
    return [(fault.parameter, fault.code) for fault in faults(call)]


def cases(way: str, outcome: str) -> list[Any]:
    return [
        pytest.param(kind, raw, expected, id=f"{kind}-{raw!a}")
        for kind, ways in CASES.items()
        for raw, expected in ways[way][outcome].items()
    ]


# --- every kind -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "raw", "expected"), cases("json", "accepted"))
def test_json_accepted(kind: str, raw: str, expected: str) -> None:
    value = validator(typed(kind)).from_json({"x": parse_json(raw.encode(), 64)}).values[0]
    assert repr(value) == expected


@pytest.mark.parametrize(("kind", "raw", "code"), cases("json", "refused"))
@pytest.mark.reliability(3)
def test_json_refused(kind: str, raw: str, code: str) -> None:
    body = {"x": parse_json(raw.encode(), 64)}
    (fault,) = faults(lambda: validator(typed(kind)).from_json(body))
    assert (fault.place, fault.parameter, fault.code, fault.index) == ("body", "x", code, None)


@pytest.mark.parametrize(("kind", "raw", "expected"), cases("text", "accepted"))
def test_text_accepted(kind: str, raw: str, expected: str) -> None:
    assert repr(validator(typed(kind)).from_strings([("x", raw)]).values[0]) == expected
    for escape in (quote, quote_plus):
        assert repr(validator(typed(kind)).from_query_string(f"x={escape(raw)}".encode()).values[0]) == expected


@pytest.mark.parametrize(("kind", "raw", "code"), cases("text", "refused"))
@pytest.mark.reliability(3)
def test_text_refused(kind: str, raw: str, code: str) -> None:
    (fault,) = faults(lambda: validator(typed(kind)).from_strings([("x", raw)]))
    assert (fault.place, fault.parameter, fault.code) == ("query", "x", code)


def test_every_kind_has_its_cases() -> None:
    assert set(CASES) == {kind.value for kind in Kind}


def test_lone_plus_in_a_timestamp_is_explained() -> None:
    (fault,) = faults(lambda: validator(typed("timestamptz")).from_query_string(b"x=2024-01-01T00:00:00+02:00"))
    assert "%2B" in fault.detail


def test_what_came_is_shown_briefly() -> None:
    (fault,) = faults(lambda: validator(typed("int4")).from_json({"x": "y" * 1000}))
    assert "y" * 40 in fault.detail
    assert "y" * 41 not in fault.detail
    (fault,) = faults(lambda: validator(typed("text")).from_json({"x": 10**1000}))
    assert len(fault.detail) < 120


# --- sent, null, absent (GRAMMAR rule 7) --------------------------------------------------------------------------


def test_sent_null_absent() -> None:
    required, default = typed("int4"), typed("int4", default=Literal("5"))
    nullable, both = typed("int4", nullable=True), typed("int4", nullable=True, default=Literal("null"))
    assert codes(lambda: validator(required).from_json({})) == [("x", "missing")]
    assert codes(lambda: validator(required).from_query_string(b"")) == [("x", "missing")]
    (fault,) = faults(lambda: validator(required).from_json({"x": None}))
    assert fault.code == "null"
    assert "`-- @param x int4?`" in fault.detail
    assert validator(default).from_json({}).values == (5,)
    assert codes(lambda: validator(default).from_json({"x": None})) == [("x", "null")]
    assert codes(lambda: validator(nullable).from_json({})) == [("x", "missing")]
    assert validator(nullable).from_json({"x": None}).values == (None,)
    assert validator(both).from_json({}).values == (None,)
    assert validator(both).from_json({"x": None}).values == (None,)
    assert validator(both).from_query_string(b"").values == (None,)


def test_null_is_never_bound() -> None:
    def bind(parameter: Parameter, type: SqlType, value: Any) -> Any:
        assert value is not None
        return ("bound", value)

    check = validator(typed("json", nullable=True), bind=bind)
    assert check.from_json({"x": None}).values == (None,)
    assert check.from_query_string(b"x=null").values == (None,)
    assert check.from_json({"x": 1}).values == (("bound", "1"),)


def test_what_the_engine_cannot_hold_is_a_fault_with_its_message() -> None:
    def bind(parameter: Parameter, type: SqlType, value: Any) -> Any:
        if "\0" in value:
            raise ValueError("this database cannot store U+0000 in text")
        return value

    check = validator(typed("text"), bind=bind)
    for call in (lambda: check.from_json({"x": "a\0b"}), lambda: check.from_query_string(b"x=a%00b")):
        (fault,) = faults(call)
        assert (fault.code, fault.detail) == ("value", "this database cannot store U+0000 in text")
    with pytest.raises(QueryInvalid):
        validator(typed("text", default=Literal("\0", quoted=True)), bind=bind)


@pytest.mark.parametrize(
    ("kind", "literal", "value"),
    [
        ("int4", Literal("5"), 5),
        ("numeric", Literal("1.50"), Decimal("1.50")),
        ("float8", Literal("-2"), -2.0),
        ("text", Literal("5"), "5"),
        ("text", Literal("", quoted=True), ""),
        ("text", Literal("null", quoted=True), "null"),
        ("bool", Literal("true"), True),
        ("date", Literal("2009-01-01"), "2009-01-01"),
        ("json", Literal('{"a": 1}', quoted=True), '{"a":1}'),
        ("any", Literal("5"), 5),
        ("any", Literal("5.0"), Decimal("5.0")),
        ("any", Literal("5", quoted=True), "5"),
        ("any", Literal("FALSE"), False),
        ("any", Literal("word"), "word"),
    ],
)
def test_defaults_are_read_by_the_type(kind: str, literal: Literal, value: object) -> None:
    (found,) = validator(typed(kind, default=literal)).from_json({}).values
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        (typed("int4", default=Literal("abc", quoted=True)), "an integer"),
        (typed("int2", default=Literal("40000")), "32767"),
        (typed("date", default=Literal("2009-02-30")), "no such day"),
        (typed("int4", default=Literal("5"), rules=Rules(minimum="6")), "at least 6"),
        (typed("text", default=Literal("c"), rules=Rules(allowed=(Literal("a"), Literal("b")))), "one of a, b"),
        (typed("int4", rules=Rules(allowed=(Literal("1"), Literal("x")))), "an integer"),
        (typed("text", rules=Rules(allowed=(Literal("null"),))), "null"),
        (typed("text", rules=Rules(minimum="1")), "`min`"),
        (typed("any", rules=Rules(maximum="1")), "`max`"),
        (typed("float8", rules=Rules(maximum="NaN")), "NaN"),
        (typed("int4", rules=Rules(length_max=3)), "`len`"),
        (typed("int4", rules=Rules(pattern="a")), "`pattern`"),
        (typed("text", rules=Rules(pattern="a(")), "cannot be used"),
        (typed("text", rules=Rules(pattern="a)|(b")), "cannot be used"),
        (typed("text", rules=Rules(pattern="(?=a)b")), "cannot be used"),
        (typed("json", default=Literal("abc")), "JSON"),
    ],
)
def test_a_declaration_that_does_not_fit_points_at_its_line(parameter: Parameter, says: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        validator(parameter)
    diagnostic = caught.value.diagnostic
    assert diagnostic is not None
    assert (diagnostic.file, diagnostic.line, diagnostic.column) == ("queries/things.sql", 2, 1)
    assert says in diagnostic.message
    assert "x" in diagnostic.message
    assert diagnostic.hint


# --- rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rules", "good", "bad", "code"),
    [
        ("text", Rules(allowed=(Literal("USA"), Literal("a b"))), ["USA", "a b"], ["usa", ""], "not_allowed"),
        ("int4", Rules(allowed=(Literal("1"), Literal("2"))), ["1", "02"], ["3"], "not_allowed"),
        ("numeric", Rules(allowed=(Literal("1.5"),)), ["1.50"], ["1.51", "NaN"], "not_allowed"),
        ("time", Rules(allowed=(Literal("12:00"),)), ["12:00:00"], ["12:01"], "not_allowed"),
        ("any", Rules(allowed=(Literal("1"), Literal("a"))), ["1", "a"], ["2"], "not_allowed"),
        ("int4", Rules(minimum="1"), ["1", "2"], ["0", "-5"], "minimum"),
        ("int2", Rules(maximum="100000"), ["32767"], [], "maximum"),
        ("int4", Rules(minimum="0.5"), ["1"], ["0"], "minimum"),
        ("int4", Rules(maximum="10"), ["10"], ["11"], "maximum"),
        ("numeric", Rules(minimum="0.01", maximum="9.99"), ["0.01", "9.99"], ["0.009", "NaN"], "minimum"),
        ("numeric", Rules(maximum="9.99"), ["9.99", "-Infinity"], ["9.991", "Infinity", "NaN"], "maximum"),
        ("float8", Rules(maximum="0.1"), ["0.1"], ["0.11", "NaN"], "maximum"),
        ("date", Rules(minimum="2009-01-01"), ["2009-01-01", "10000-01-01", "infinity"], ["2008-12-31"], "minimum"),
        ("date", Rules(minimum="0044-03-15 BC"), ["0043-01-01 BC"], ["0045-12-31 BC", "-infinity"], "minimum"),
        ("timestamptz", Rules(maximum="2024-01-01T00:00:00Z"), ["2024-01-01T01:00:00+01:00", "2024-01-01"],
         ["2024-01-01T00:00:00-01:00"], "maximum"),
        ("time", Rules(maximum="24:00"), ["24:00:00", "23:59"], [], "maximum"),
        ("text", Rules(length_min=1, length_max=3), ["a", "äöü", "😀😀😀"], ["", "abcd"], "length"),
        ("text", Rules(length_min=2), ["ab"], ["a"], "length"),
        ("text", Rules(pattern="[a-z]+|x"), ["abc", "x"], ["abc1", "", "abc\n", "1abc"], "pattern"),
        ("text", Rules(pattern="(?i)^a$"), ["A"], ["aa"], "pattern"),
    ],
)  # fmt: skip
def test_rules(kind: str, rules: Rules, good: list[str], bad: list[str], code: str) -> None:
    check = validator(typed(kind, rules=rules))
    for text in good:
        check.from_strings([("x", text)])
    for text in bad:
        assert codes(lambda text=text: check.from_strings([("x", text)])) == [("x", code)], text


def test_rules_of_untyped_values_from_json() -> None:
    check = validator(typed("any", rules=Rules(allowed=(Literal("1"), Literal("true")))))
    assert check.from_json({"x": 1}).values == (1,)
    assert check.from_json({"x": True}).values == (True,)
    assert codes(lambda: check.from_json({"x": 2})) == [("x", "not_allowed")]
    length = validator(typed("any", rules=Rules(length_max=2)))
    assert codes(lambda: length.from_json({"x": 123})) == [("x", "length")]


def test_null_passes_the_rules_where_it_is_allowed() -> None:
    rules = Rules(allowed=(Literal("a"),), length_min=1, pattern="a")
    assert validator(typed("text", nullable=True, rules=rules)).from_json({"x": None}).values == (None,)


def test_a_pattern_takes_linear_time() -> None:
    check = validator(typed("text", rules=Rules(pattern="(a+)+b")))
    assert codes(lambda: check.from_json({"x": "a" * 50_000})) == [("x", "pattern")]


# --- lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter", [typed("int4", array=True), typed("int4", is_list=True)])
def test_lists(parameter: Parameter) -> None:
    check = validator(parameter)
    assert check.from_query_string(b"x=1&x=2").values == ([1, 2],)
    assert check.from_query_string(b"x=1").values == ([1],)
    assert check.from_json({"x": [1, 2, None]}).values == ([1, 2, None],)
    assert check.from_json({"x": []}).values == ([],)
    assert codes(lambda: check.from_query_string(b"")) == [("x", "missing")]
    assert codes(lambda: check.from_query_string(b"x=1,2")) == [("x", "format")]
    assert codes(lambda: check.from_json({"x": 1})) == [("x", "type")]
    assert codes(lambda: check.from_json({"x": None})) == [("x", "null")]
    if parameter.is_list:
        assert codes(lambda: check.from_json({"x": [[1]]})) == [("x", "type")]
    else:  # an array of the database's own may hold arrays
        assert check.from_json({"x": [[1], [None]]}).values == ([[1], [None]],)
        assert codes(lambda: check.from_json({"x": [[1], ["b"]]})) == [("x", "type")]
    (fault,) = faults(lambda: check.from_json({"x": [1, "b"]}))
    assert fault.code == "type"
    assert "item 1" in fault.detail


def test_rules_hold_for_each_item_of_a_list() -> None:
    check = validator(typed("text", is_list=True, rules=Rules(allowed=(Literal("a"), Literal("b")))))
    assert check.from_query_string(b"x=a&x=b&x=a").values == (["a", "b", "a"],)
    assert codes(lambda: check.from_query_string(b"x=a&x=c")) == [("x", "not_allowed")]


def test_default_of_a_list() -> None:
    assert validator(typed("int4", is_list=True, default=Literal("5"))).from_json({}).values == ([5],)
    assert validator(typed("int4", array=True, default=Literal("null"))).from_json({}).values == (None,)


# --- query strings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"x=a+b", "a b"),
        (b"x=a%20b", "a b"),
        (b"x=a%2Bb", "a+b"),
        (b"x=%C3%A9", "é"),
        (b"x=\xc3\xa9", "é"),
        (b"x=%c3%a9%F0%9F%98%80", "é😀"),
        (b"%78=1", "1"),
        (b"x", ""),
        (b"x=", ""),
        (b"&&x=1&", "1"),
        (b"x=a=b;c", "a=b;c"),
        (b"x=%25", "%"),
    ],
)
def test_query_strings(raw: bytes, value: str) -> None:
    assert validator(typed("text")).from_query_string(raw).values == (value,)


@pytest.mark.parametrize("raw", [b"x=%ff", b"x=\xff", b"x=%ed%a0%80", b"x=%c3", b"x=100%", b"x=%zz", b"x=%+1"])
def test_query_strings_that_are_no_text(raw: bytes) -> None:
    assert codes(lambda: validator(typed("text")).from_query_string(raw)) == [("x", "format")]


def test_a_name_that_is_no_text() -> None:
    (fault,) = faults(lambda: validator().from_query_string(b"%ff=1"))
    assert (fault.parameter, fault.code) == ("%ff", "format")


# --- all faults at once -------------------------------------------------------------------------------------------


@pytest.mark.reliability(4)
def test_all_faults_at_once() -> None:
    check = validator(typed("int4", "first"), typed("text", "country"), typed("date", "since"))
    assert codes(lambda: check.from_query_string(b"first=x&contry=USA&since=2024-01-01&since=2024-01-02&%01=1")) == [
        ("first", "format"),
        ("country", "missing"),
        ("since", "repeated"),
        ("contry", "unknown"),
        ("\x01", "unknown"),
    ]
    found = faults(lambda: check.from_json({"first": True, "contry": "USA", "since": None, "\ud800": 1}))
    assert [(fault.parameter, fault.code) for fault in found] == [
        ("first", "type"),
        ("country", "missing"),
        ("since", "null"),
        ("contry", "unknown"),
        ("\\ud800", "unknown"),
    ]
    assert "did you mean country?" in found[3].detail


def test_faults_are_bounded() -> None:
    body = {f"k{number}" * 50: 1 for number in range(1000)}
    found = faults(lambda: validator(typed("int4")).from_json(body))
    assert len(found) == FAULTS_MAX
    assert all(len(fault.parameter) <= 41 for fault in found)
    assert len(faults(lambda: validator().from_query_string(b"&".join(b"k%d" % n for n in range(1000))))) == FAULTS_MAX
    assert len(faults(lambda: validator().from_query_string(b"x=%ff&" * 1000))) == FAULTS_MAX


@pytest.mark.parametrize("body", [None, True, 1, "x", [], [{}], Decimal("1.5")])
def test_a_body_must_be_an_object(body: object) -> None:
    (fault,) = faults(lambda: validator().from_json(body))
    assert (fault.place, fault.parameter, fault.code) == ("body", "", "type")
    assert ("`*!`" in fault.detail) == isinstance(body, list)


def test_parameters_of_a_post_are_not_taken_from_the_query_string() -> None:
    (first, second) = faults(lambda: validator(typed("int4")).from_json({}, b"x=1"))
    assert (first.place, first.code) == ("query", "unknown")
    assert "JSON body" in first.detail
    assert (second.place, second.code) == ("body", "missing")


def test_the_callers_body_stays_as_it_is() -> None:
    body = {"limit": 5}
    assert validator(cardinality=Cardinality.MANY).from_json(body) == Call((), 5, None)
    assert body == {"limit": 5}


# --- bulk ---------------------------------------------------------------------------------------------------------


def test_bulk() -> None:
    check = validator(
        typed("int4"), typed("text", "y", default=Literal("z")), cardinality=Cardinality.BULK, access=Access.WRITE
    )
    assert check.bulk([], 10) == []
    assert check.bulk([{"x": 1}, {"x": 2, "y": "w"}], 10) == [(1, "z"), (2, "w")]
    found = faults(lambda: check.bulk([{"x": 1}, {"y": "a"}, 5, {"x": 1, "q": 2}, {"x": "a", "y": 1}], 10))
    assert [(fault.index, fault.parameter, fault.code) for fault in found] == [
        (1, "x", "missing"),
        (2, "", "type"),
        (3, "q", "unknown"),
        (4, "x", "type"),
        (4, "y", "type"),
    ]
    assert codes(lambda: check.bulk({"x": 1}, 10)) == [("", "type")]
    (fault,) = faults(lambda: check.bulk([{"x": 1}] * 3, 2))
    assert (fault.parameter, fault.code) == ("", "length")
    assert "at most 2" in fault.detail
    assert len(faults(lambda: check.bulk([{}] * 1000, 1000))) == FAULTS_MAX


# --- paging -------------------------------------------------------------------------------------------------------


def paged(*parameters: Parameter, **rest: Any) -> Validator:
    return validator(*parameters, cardinality=Cardinality.MANY, page_rows_max=500, **rest)


def test_paging() -> None:
    check = paged(typed("int4"))
    assert check.from_query_string(b"x=1") == Call((1,), None, None)
    assert check.from_query_string(b"x=1&limit=500&next=abc") == Call((1,), 500, "abc")
    assert check.from_json({"x": 1, "limit": 1, "next": "abc"}) == Call((1,), 1, "abc")
    assert check.from_json({"x": 1}, b"limit=2&next=d") == Call((1,), 2, "d")
    assert check.from_json({"x": 1, "limit": 3}, b"next=d") == Call((1,), 3, "d")


@pytest.mark.parametrize(
    ("body", "raw", "expected"),
    [
        ({"limit": 501}, b"limit=501", ("limit", "limit")),
        ({"limit": 0}, b"limit=0", ("limit", "limit")),
        ({"limit": -1}, b"limit=-1", ("limit", "limit")),
        ({"limit": 10**17}, b"limit=100000000000000000", ("limit", "limit")),
        ({"limit": "5"}, b"limit=x", None),
        ({"limit": Decimal("5.0")}, b"limit=5.0", None),
        ({"limit": True}, b"limit=", None),
        ({"limit": None}, b"limit=5&limit=6", None),
        ({"next": ""}, b"next=", ("next", "format")),
        ({"next": None}, b"next=a&next=b", None),
        ({"next": 5}, b"next=%ff", None),
    ],
)
def test_paging_refused(body: dict[str, Any], raw: bytes, expected: tuple[str, str] | None) -> None:
    for found in (codes(lambda: paged().from_json(body)), codes(lambda: paged().from_query_string(raw))):
        assert len(found) == 1
        assert found[0][0] == next(iter(body))
        assert expected is None or found[0] == expected


def test_a_limit_over_the_maximum_names_it() -> None:
    (fault,) = faults(lambda: paged().from_query_string(b"limit=501"))
    assert "500" in fault.detail


def test_paging_twice_is_refused() -> None:
    assert codes(lambda: paged().from_json({"limit": 1}, b"limit=1")) == [("limit", "repeated")]


def test_a_statements_own_parameters_win_over_paging() -> None:
    check = paged(typed("int4", "limit"))
    assert check.from_query_string(b"limit=100000&next=a") == Call((100_000,), None, "a")
    assert check.from_json({"limit": 100_000}) == Call((100_000,), None, None)


@pytest.mark.parametrize(("cardinality", "access"), [(Cardinality.ONE, Access.READ), (Cardinality.MANY, Access.WRITE)])
def test_only_many_row_reads_are_paged(cardinality: Cardinality, access: Access) -> None:
    check = validator(cardinality=cardinality, access=access)
    assert codes(lambda: check.from_query_string(b"limit=5&next=a")) == [("limit", "unknown"), ("next", "unknown")]
    assert codes(lambda: check.from_json({"limit": 5})) == [("limit", "unknown")]


def test_the_command_line_is_not_paged() -> None:
    assert codes(lambda: paged().from_strings([("limit", "5")])) == [("limit", "unknown")]


def test_big_numbers_as_text() -> None:
    check = validator(
        typed("int8"), typed("numeric", "y"), typed("int4", "z", default=Literal("1")), big_numbers_as_text=True
    )
    assert check.from_json({"x": "9007199254740993", "y": "1.50"}).values == (9007199254740993, Decimal("1.50"), 1)
    assert check.from_json({"x": 5, "y": 6}).values == (5, Decimal(6), 1)
    assert codes(lambda: check.from_json({"x": "1_0", "y": " 1", "z": "1"})) == [
        ("x", "format"),
        ("y", "format"),
        ("z", "type"),
    ]


def test_values_come_in_the_order_of_the_parameters() -> None:
    check = validator(typed("int4", "b"), typed("int4", "a"), typed("int4", "c", default=Literal("3")))
    assert check.from_query_string(b"a=1&b=2").values == (2, 1, 3)
    assert check.from_json({"a": 1, "b": 2, "c": 4}).values == (2, 1, 4)


# --- properties ---------------------------------------------------------------------------------------------------

BY_KIND = {kind: validator(typed(kind, nullable=True)) for kind in Kind}
LISTS = {kind: validator(typed(kind, array=True)) for kind in Kind}

json_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**25), 10**25)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text(alphabet=st.characters())
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "infinity", "\ud800", "\x00", "2024-02-30", "AP8=", "24:00"])
)
json_values = st.recursive(
    json_scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
dates = st.dates().map(str)
times = st.times().map(str)
stamps = st.datetimes().map(str) | st.datetimes().map(lambda moment: moment.isoformat())
fitting: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INT2: st.integers(-(2**15), 2**15 - 1),
    Kind.INT4: st.integers(-(2**31), 2**31 - 1),
    Kind.INT8: st.integers(-(2**63), 2**63 - 1),
    Kind.NUMERIC: st.decimals(allow_nan=False, allow_infinity=False) | st.integers(),
    Kind.FLOAT4: st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr).map(Decimal),
    Kind.FLOAT8: st.floats(allow_nan=False, allow_infinity=False).map(repr).map(Decimal),
    Kind.BOOL: st.booleans(),
    Kind.TEXT: st.text(),
    Kind.BYTES: st.sampled_from(["AP8=", "QQ==", "AAAA"]),
    Kind.DATE: dates,
    Kind.TIME: times,
    Kind.TIMETZ: times.map(lambda time: time + "+02:00"),
    Kind.TIMESTAMP: stamps,
    Kind.TIMESTAMPTZ: stamps.map(lambda stamp: stamp + "-03:30"),
    Kind.INTERVAL: st.text(min_size=1).filter(str.strip),
    Kind.UUID: st.uuids().map(str) | st.uuids().map(lambda uuid: uuid.hex.upper()),
    Kind.JSON: json_values.filter(lambda value: value is not None and _is_text(value)),
    Kind.OTHER: st.text(),
    Kind.ANY: st.text(),
}


def _is_text(value: object) -> bool:
    try:
        dump_json(value).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def spelled(kind: Kind, value: Any) -> str:
    return value if isinstance(value, str) and kind is not Kind.JSON else dump_json(value)


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_json_and_query_string_give_the_same_value(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(fitting[kind])
    from_body = BY_KIND[kind].from_json(parse_json(dump_json({"x": value}).encode(), 64)).values
    for escape in (quote, quote_plus):
        from_query = BY_KIND[kind].from_query_string(f"x={escape(spelled(kind, value))}".encode()).values
        assert repr(from_query) == repr(from_body)
    assert repr(BY_KIND[kind].from_strings([("x", spelled(kind, value))]).values) == repr(from_body)


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=60, deadline=None)
@given(json_values)
def test_whatever_comes_is_taken_or_told(kind: Kind, value: object) -> None:
    check, lists = BY_KIND[kind], LISTS[kind]
    calls: Sequence[Callable[[], object]] = (
        lambda: check.from_json({"x": value}),
        lambda: check.from_json(value),
        lambda: lists.from_json({"x": value}),
        lambda: lists.from_json({"x": [value]}),
        lambda: check.bulk(value, 5),
        lambda: check.from_strings([("x", value if isinstance(value, str) else dump_json(value))]),
    )
    for call in calls:
        try:
            call()
        except InvalidParameters as error:
            for fault in error.faults:
                f"{fault.parameter}{fault.detail}{error}".encode()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet="x=&%+0f", max_size=20).map(str.encode))
def test_any_query_string_is_taken_or_told(raw: bytes) -> None:
    for check in (BY_KIND[Kind.TEXT], LISTS[Kind.INT4], paged()):
        try:
            check.from_query_string(raw)
        except InvalidParameters as error:
            for fault in error.faults:
                f"{fault.parameter}{fault.detail}{error}".encode()
