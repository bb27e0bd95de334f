"""One parameter of a query, compiled: its reader, its rules, null, lists and default folded into two functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlwright.engines.binder import Binder, as_it_is
from sqlwright.errors import MalformedRequest, QueryInvalid
from sqlwright.parameters.columns import ReadColumn, compile_cells, compile_column
from sqlwright.parameters.json_body import parse_json_text
from sqlwright.parameters.refusal import Refused, quoted
from sqlwright.parameters.rules import compile_checks
from sqlwright.parameters.values import literal_value, reader_of, type_fault
from sqlwright.query import Kind, Parameter, Query, SqlType

MakeBinder = Callable[[SqlType], Binder]
"""`Engine.binder`: how values of a type become what the driver takes."""
Read = Callable[[Any], Any]

_FLAT = frozenset({Kind.JSON, Kind.BYTES})
"""Arrays of these hold no arrays: a list is JSON itself, and base64 is made of one item after the other."""
UNTYPED = SqlType("", Kind.ANY)
CELL_DEPTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Argument:
    """`from_json` takes a JSON value, `from_texts` the values of every occurrence of the name. Both give what the
    driver takes and raise `Refused`."""

    name: str
    expected: str
    required: bool
    default: Any
    """Bound already; also the place holder of a required one."""
    from_json: Read
    from_texts: Read
    from_text: Read
    """The same of a name that occurs once."""
    column: ReadColumn
    """`from_json` of the values of many items."""
    from_cell: Read
    """From a text of a table of texts, or None."""
    cells: ReadColumn
    """The same of many."""


def compile_argument(
    query: Query, parameter: Parameter, make_binder: MakeBinder, *, big_numbers_as_text: bool
) -> Argument:
    """Raises `QueryInvalid`, pointing at the parameter's line, when its rules or its default do not suit its type."""
    type_ = parameter.type or UNTYPED
    is_list = parameter.is_list or type_.array
    reader = reader_of(type_.kind, bounds=type_.bounds, big_numbers_as_text=big_numbers_as_text)
    try:
        checks = compile_checks(parameter, type_.kind, reader)
    except Refused as refused:
        raise _invalid(query, parameter, "a rule", refused) from None

    binder = make_binder(type_)
    nullable = parameter.nullable or (parameter.default is not None and parameter.default.is_null)

    def finish(read: Read) -> Read:
        return _finished(parameter, type_, binder.one, read, nullable=nullable)

    default = None
    if parameter.default is not None and not parameter.default.is_null:
        read = _checked(lambda literal: literal_value(literal, type_.kind, reader), checks)
        try:
            default = finish(lambda literal: [read(literal)] if is_list else read(literal))(parameter.default)
        except Refused as refused:
            raise _invalid(query, parameter, "the default", refused) from None
    nests = type_.array and not parameter.is_list and type_.kind not in _FLAT
    from_text, from_json = _checked(reader.from_text, checks), _checked(reader.from_json, checks)
    expected = f"an array, each item {reader.expected}" if is_list else reader.expected
    read_json = finish(_array_of(from_json, expected, nests=nests) if is_list else from_json)
    read_texts = finish(_each_of(from_text) if is_list else only(from_text))
    column = compile_column(type_, binder, read_json, nullable=nullable, plain=not (is_list or checks))

    def read_cell(text: str | None) -> Any:
        if text is None:
            return read_json(None)
        return read_json(_list_from_cell(text, expected)) if is_list else read_texts([text])

    return Argument(
        name=parameter.name,
        expected=expected,
        required=parameter.required,
        default=default,
        from_json=read_json,
        from_texts=read_texts,
        from_text=finish(lambda text: _each_of(from_text)([text])) if is_list else finish(from_text),
        column=column,
        from_cell=read_cell,
        cells=compile_cells(type_, column, read_cell, is_list=is_list),
    )


def _list_from_cell(text: str, expected: str) -> object:
    """A list stands in a cell as JSON."""
    try:
        return parse_json_text(text, CELL_DEPTH_MAX)
    except MalformedRequest as error:
        message = str(error).replace("the body", "it")
        raise Refused("format", f"{expected}, is expected as JSON, not {quoted(text)}: {message}") from None


def _invalid(query: Query, parameter: Parameter, what: str, refused: Refused) -> QueryInvalid:
    message = f"{what} of {parameter.name} does not fit: {refused.detail}"
    hint = f"change its line `-- @param {parameter.name} …`"
    return QueryInvalid(message, query.source.diagnostic("parameter", parameter.offset, message, hint))


def _checked(read: Read, checks: tuple[Read, ...]) -> Read:
    if not checks:
        return read

    def checked(value: Any) -> Any:
        result = read(value)
        if result is not None:  # a JSON null: whether it may be is asked later
            for check in checks:
                check(result)
        return result

    return checked


def _finished(parameter: Parameter, type_: SqlType, bind: Read, read: Read, *, nullable: bool) -> Read:
    """The whole way of a value: null, reading, and the driver's form."""
    written = str(type_) or "text"

    def known(value: Any) -> Any:
        result = None if value is None else read(value)
        if result is None and not nullable:
            raise Refused("null", f"null is not allowed; to allow it, write `-- @param {parameter.name} {written}?`")
        return result

    def finished(value: Any) -> Any:
        result = known(value)
        try:
            return None if result is None else bind(result)
        except ValueError as error:
            raise Refused("value", str(error)) from None

    return known if bind is as_it_is else finished


def only(from_text: Read) -> Read:
    """Reads the one occurrence that a scalar may have."""

    def read(texts: list[str]) -> Any:
        if len(texts) > 1:
            raise Refused("repeated", f"one value is expected, not {len(texts)}")
        return from_text(texts[0])

    return read


def _array_of(read: Read, expected: str, *, nests: bool) -> Read:
    """`nests`: an array of the database's own, which may hold arrays, of one length as the database checks."""
    each = _each_of(lambda item: read_array(item) if type(item) is list else read(item)) if nests else _each_of(read)

    def read_array(value: Any) -> list[Any]:
        if type(value) is not list:
            raise type_fault(f"{expected},", value)
        return each(value)  # type: ignore[no-any-return]  # a list, see below

    return read_array


def _each_of(read: Read) -> Read:
    def read_each(items: list[Any]) -> list[Any]:
        found = []
        for index, item in enumerate(items):
            try:
                found.append(None if item is None else read(item))
            except Refused as refused:
                raise Refused(refused.code, f"item {index} (from 0): {refused.detail}") from None
        return found

    return read_each
