"""Bodies of many rows: CSV, NDJSON; and that looking at columns as a whole says what looking one by one does."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlwright.diagnostic import ParameterFault
from sqlwright.engines.binder import Binder
from sqlwright.engines.mysql.bind import binder as mysql
from sqlwright.engines.postgres.types import binder as postgresql
from sqlwright.engines.sqlite.bind import binder as sqlite
from sqlwright.errors import InvalidParameters, MalformedRequest
from sqlwright.parameters import Cells, Validator, compile_validator
from sqlwright.parameters.cells import parse_csv
from sqlwright.parameters.json_body import parse_json, parse_ndjson
from sqlwright.query import Access, Cardinality, Kind, Literal, Parameter, Query, Rules, SourceFile, SqlType, Statement

CASES = json.loads((Path(__file__).parent.parent / "cases" / "csv.json").read_text(encoding="utf-8"))
BINDERS = {"mysql": mysql, "postgresql": postgresql, "sqlite": sqlite}
KINDS = [kind for kind in Kind if kind is not Kind.ANY]
LONG = 4200
"""Beyond it an array is parsed as rows first."""

PLAIN: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INT2: st.integers(-32768, 32767),
    Kind.INT4: st.integers(-(2**31), 2**31 - 1),
    Kind.INT8: st.integers(-(2**63), 2**63 - 1),
    Kind.NUMERIC: st.decimals(-(10**6), 10**6, places=2) | st.integers(-(10**20), 10**20),
    Kind.FLOAT4: st.decimals(-1000, 1000, places=1) | st.integers(-1000, 1000),
    Kind.FLOAT8: st.decimals(-1000, 1000, places=3) | st.integers(-(10**15), 10**15),
    Kind.BOOL: st.booleans(),
    Kind.DATE: st.dates().map(str),
    Kind.TIME: st.times().map(lambda time: time.isoformat()),
    Kind.TIMESTAMP: st.datetimes().map(lambda moment: moment.isoformat()),
    Kind.TIMESTAMPTZ: st.datetimes().map(lambda moment: moment.isoformat(" ") + "+01:30"),
    Kind.UUID: st.uuids().map(str),
    Kind.JSON: st.just({"a": [1, None]}) | st.integers(),
    Kind.BYTES: st.sampled_from(["", "AA==", "AAAA"]),
}
ODD = st.sampled_from(
    [None, True, 1, -1, 2**40, 2**70, 0, Decimal("-0"), Decimal("0.1"), Decimal("1e400"), Decimal("1E-60"), "", "NaN",
     "x", "a\0b", "\ud800", "ü", "2024-02-30", "2024-02-29", "0000-01-01", "12024-01-01", "2024-01-31 12:00 BC",
     "2024-01-01T24:00:00", "24:00:00", "infinity", "2024-01-01\n2024-01-01", "2024-01-01T00:00:00+16:00", [], {},
     "00000000-0000-0000-0000-00000000000A"]
)  # fmt: skip


def validator(*parameters: Parameter, database: str) -> Validator:
    source = SourceFile("q.sql", "SELECT 1\n")
    query = Query("q", Cardinality.BULK, Access.WRITE, Statement((), "insert"), parameters, source, 0)
    return compile_validator(query, parameters, BINDERS[database], page_rows_max=1, big_numbers_as_text=False)


def parameter(kind: Kind, name: str = "x", **rest: Any) -> Parameter:
    return Parameter(name, SqlType(str(kind), kind), **rest)


def outcome(work: Any) -> Any:
    try:
        return [tuple(map(repr, item)) for item in work()]
    except InvalidParameters as error:
        return error.faults


def one_by_one(check: Validator, items: list[Any]) -> list[tuple[Any, ...]]:
    found, faults = [], []
    for index, item in enumerate(items):
        try:
            found.append(check.from_json(item).values)
        except InvalidParameters as error:
            faults += [ParameterFault(f.place, f.parameter, f.code, f.detail, index) for f in error.faults]
    if faults:
        raise InvalidParameters(faults)
    return found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_columns_are_read_like_values(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    of_the_kind = PLAIN.get(kind, st.text(max_size=3))
    plain = data.draw(st.booleans())
    values = data.draw(st.lists(of_the_kind if plain else of_the_kind | ODD, min_size=1, max_size=6))
    if not plain and data.draw(st.booleans()):
        values.append(data.draw(ODD))
    rules = data.draw(st.sampled_from([Rules(), Rules(allowed=(Literal("1"),))])) if kind is Kind.INT4 else Rules()
    x = parameter(kind, nullable=data.draw(st.booleans()), rules=rules)
    y = parameter(Kind.TEXT, "y", default=Literal("z", quoted=True))
    items = [{"x": value, **({"y": "w"} if data.draw(st.booleans()) else {})} for value in values]
    for database in BINDERS:
        check = validator(x, y, database=database)
        assert outcome(lambda: check.bulk(items, 10)) == outcome(lambda: one_by_one(check, items)), database  # noqa: B023


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_cells_are_read_like_the_texts_of_a_query_string(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([kind for kind in KINDS if kind is not Kind.BYTES]))
    texts = PLAIN.get(kind, st.text(max_size=3)).map(
        lambda value: value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
    )
    odd = ODD.filter(lambda value: isinstance(value, str)) | st.sampled_from(
        ["1", "-1", "007", "1\n2", "1.50", "true", "1e3"]
    )
    values = data.draw(st.lists(texts | odd, min_size=1, max_size=5))
    for database in BINDERS:
        check = validator(parameter(kind), database=database)
        expected: Any = []
        for value in values:
            try:
                expected.append(tuple(map(repr, check.from_strings([("x", value)]).values)))
            except InvalidParameters as error:
                expected = [(fault.code, fault.detail) for fault in error.faults]
                break
        found = outcome(lambda: check.bulk(Cells(("x",), (values,)), 10))  # noqa: B023
        if isinstance(found, tuple):
            assert (found[0].code, found[0].detail) == expected[0], database
        else:
            assert found == expected, database


def test_cells() -> None:
    x, y = parameter(Kind.INT4, nullable=True), parameter(Kind.TEXT, "y", default=Literal("z", quoted=True))
    check = validator(x, y, database="postgresql")
    assert check.bulk(Cells(("x",), (["1", None],)), 5) == [(1, "z"), (None, "z")]
    assert check.bulk(Cells(("y", "x"), (["", "b"], ["1", "2"])), 5) == [(1, ""), (2, "b")]
    with pytest.raises(InvalidParameters) as caught:
        check.bulk(Cells(("y", "q"), ([None, "b"], ["1", "2"])), 5)
    told = [(f.parameter, f.code, f.index) for f in caught.value.faults]
    assert told == [("q", "unknown", None), ("x", "missing", None), ("y", "null", 0)]
    with pytest.raises(InvalidParameters):
        check.bulk(Cells(("x",), (["1"] * 6,)), 5)
    tags = Parameter("x", SqlType("int4", Kind.INT4, array=True))
    check = validator(tags, database="postgresql")
    assert check.bulk(Cells(("x",), (["[1, 2]", "[]"],)), 5) == [([1, 2],), ([],)]
    with pytest.raises(InvalidParameters, match="not valid: x"):
        check.bulk(Cells(("x",), (["{1,2}"],)), 5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["text"]))
def test_csv(case: dict[str, Any]) -> None:
    body = case["text"].encode()
    if "error" in case:
        with pytest.raises(MalformedRequest) as caught:
            parse_csv(body)
        assert str(caught.value) == case["error"]
        return
    cells = parse_csv(body)
    rows = [list(row) for row in zip(*cells.columns, strict=True)]
    assert (list(cells.header), rows, len(cells)) == (case["header"], case["rows"], len(case["rows"]))


@settings(deadline=None)
@given(st.lists(st.lists(st.none() | st.text('ab",\n\rü ', max_size=3), min_size=2, max_size=2), max_size=5))
def test_csv_there_and_back(rows: list[list[str | None]]) -> None:
    def written(cell: str | None) -> str:
        return "" if cell is None else '"' + cell.replace('"', '""') + '"'

    text = "\n".join(["x,y", *(",".join(map(written, row)) for row in rows)])
    assert [list(row) for row in zip(*parse_csv(text.encode()).columns, strict=True)] == rows


def test_ndjson() -> None:
    assert parse_ndjson(b'{"a":1}\r\n\n [2] \n', 64) == [{"a": 1}, [2]]
    assert parse_ndjson(b"", 64) == []
    many = b"\n".join(b'{"a":%d,"b":"x"}' % n for n in range(1000))
    assert parse_ndjson(many, 64) == [{"a": n, "b": "x"} for n in range(1000)]
    for bad in (b'{"a":1},{"a":2}', b'{"a":1}{"a":2}', b'{"a":', b'{"a":1,"a":2}', b'{"a":"}', b"\xff"):
        for body, line in ((bad, 1), (many + b"\n" + bad, 1001), (bad + b"\n" + many, 1)):
            with pytest.raises(MalformedRequest, match=rf"line {line}\b"):
                parse_ndjson(body, 64)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", 'c":', "d :", "é"]),
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
            | st.text('a":-0 {}[]\\\n', max_size=6) | st.lists(st.integers(), max_size=2),
        ),
        max_size=4,
    ),
    st.sampled_from([None, (",", ":"), (", ", " : ")]),
    st.sampled_from([None, '"a":1', "-0", "1e999", "NaN", "[", '{"z":0}']),
)  # fmt: skip
def test_long_arrays_are_parsed_like_short_ones(rows: list[Any], separators: Any, odd: str | None) -> None:
    text = json.dumps(rows, separators=separators)
    if odd is not None:
        text = text.replace("}", f",{odd}}}" if odd[0] == '"' else f',"y":{odd}}}', 1)
    padded = json.dumps([{"pad": "x" * LONG}], separators=separators)

    def parsed(body: str) -> Any:
        try:
            return parse_json(body.encode(), 3)
        except MalformedRequest as error:
            return str(error).partition(" (line")[0]

    short = parsed(text)
    for body in (f"{text[:-1]}{', ' if len(text) > 2 else ''}{padded[1:]}",):
        long = parsed(body)
        if isinstance(short, str) or isinstance(long, str):
            assert long == short
        else:
            assert [*map(repr, short), repr({"pad": "x" * LONG})] == [*map(repr, long)]


def test_a_key_that_is_there_twice_is_seen_in_long_arrays() -> None:
    rows = ",".join('{"a":1,"b":"x"}' for _ in range(1000))
    for bad in ('{"a":1,"a":2}', '{"a":1,"a" :2}', '{"a":"\\":","a":2}', '{"a":"b\\" :","a" :2}'):
        with pytest.raises(MalformedRequest, match='"a" is there twice'):
            parse_json(f"[{rows},{bad}]".encode(), 64)


def test_a_binder_without_a_column() -> None:
    check = validator(parameter(Kind.BYTES), database="sqlite")
    assert check.bulk([{"x": "AA=="}, {"x": "AAAA"}], 5) == [(b"\0",), (b"\0\0\0",)]
    assert Binder(str).column is None
