"""What a list asks for: filters `column=v` and `column__op=v`, and `sort=-a,b`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlwright.crud.table import Table, TableColumn
from sqlwright.diagnostic import ParameterFault
from sqlwright.parameters import FAULTS_MAX
from sqlwright.parameters.query_string import split_query_string
from sqlwright.parameters.refusal import Refused, clipped, quoted, shown
from sqlwright.query import Kind

OPERATORS = ("eq", "ne", "lt", "lte", "gt", "gte", "like", "in", "isnull")
RESERVED = ("sort", "limit", "next")
"""Names that are no filter: a column of that name is reached as `sort__eq`."""
_TEXTS = frozenset({Kind.TEXT, Kind.ANY})
_BOOLS = {"true": True, "1": True, "false": False, "0": False}

Place = Literal["query", "body"]


@dataclass(frozen=True, slots=True)
class Filter:
    """`parameter` is the name as it was sent."""

    parameter: str
    column: str
    operator: str
    is_null: bool = False

    def __str__(self) -> str:
        return f"{self.parameter}={self.is_null}" if self.operator == "isnull" else self.parameter


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    descending: bool = False

    def __str__(self) -> str:
        return ("-" if self.descending else "+") + self.column


@dataclass(slots=True)
class Asked:
    """Filters and orders that are right, and what is wrong with the others."""

    filters: list[Filter] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    faults: list[ParameterFault] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    """JSON values by the filters' names."""
    rest: bytes = b""
    """Of a query string, what a validator has to read: values of filters, `limit`, `next`."""


def read_query_string(table: Table, raw: bytes) -> Asked:
    asked = Asked()
    rest = []
    seen: set[str] = set()
    for pair in raw.split(b"&"):
        if len(asked.faults) >= FAULTS_MAX:
            break
        for name, text in split_query_string(pair):
            if name in ("limit", "next"):
                rest.append(pair)
            elif isinstance(text, Refused):
                asked.faults.append(ParameterFault("query", clipped(name), text.code, text.detail))
            elif name == "sort":
                if name in seen:
                    asked.faults.append(_fault("query", "sort", "repeated", "one value is expected: sort=-a,b"))
                else:
                    _read_sort(table, text.split(","), asked, "query")
                seen.add(name)
            else:
                found = _filter(table, name, asked, "query")
                if found is None:
                    continue
                if found.operator == "isnull":
                    _read_is_null(found, _BOOLS.get(text.lower()), quoted(text), asked, "query", again=name in seen)
                else:
                    rest.append(pair)
                    if name not in seen:
                        asked.filters.append(found)
                seen.add(name)
    asked.rest = b"&".join(rest)
    return asked


def read_values(table: Table, filters: Mapping[str, object], sort: Iterable[object]) -> Asked:
    """The same of JSON values. NULL as the value of `column` and `column__ne` means what `isnull` does."""
    asked = Asked()
    names = list(sort) if not isinstance(sort, str) else [sort]
    if names:
        _read_sort(table, names, asked, "body")
    for name, value in filters.items():
        if len(asked.faults) >= FAULTS_MAX:
            break
        found = _filter(table, name, asked, "body")
        if found is None:
            continue
        if any(found.parameter == one.parameter for one in asked.filters):  # `limit` and `limit__eq`
            asked.faults.append(_fault("body", name, "repeated", f"{found.parameter} asks the same"))
            continue
        if value is None and found.operator in ("eq", "ne"):
            asked.filters.append(Filter(found.parameter, found.column, "isnull", found.operator == "eq"))
        elif found.operator == "isnull":
            is_null = value if isinstance(value, bool) else None
            _read_is_null(found, is_null, shown(value), asked, "body", again=False)
        else:
            asked.filters.append(found)
            asked.values[found.parameter] = value
    return asked


def _filter(table: Table, name: str, asked: Asked, place: Place) -> Filter | None:
    """`column__op` is read first, so that both a column `a__lt` (`a__lt__eq`) and `a` with `lt` can be reached."""
    head, separator, operator = name.rpartition("__")
    if separator and operator in OPERATORS and head in table.by_name:
        column = table.by_name[head]
    elif name in table.by_name:
        column, operator = table.by_name[name], "eq"
    else:
        asked.faults.append(_fault(place, clipped(name), "unknown", _unknown(table, name)))
        return None
    why = _cannot(column, operator)
    if why:
        asked.faults.append(_fault(place, clipped(name), "operator", why))
        return None
    # From Python a column may have the name of `limit` or `next`, which the validator takes for itself.
    parameter = f"{name}__eq" if name in RESERVED else name
    return Filter(parameter, column.name, operator)


def operators_of(column: TableColumn) -> tuple[str, ...]:
    """What the column can be filtered by."""
    return tuple(operator for operator in OPERATORS if not _cannot(column, operator))


def _cannot(column: TableColumn, operator: str) -> str:
    if operator == "isnull":
        return ""
    if column.type.kind is Kind.JSON:
        return f"{column.name} holds JSON, which only isnull asks about"
    if not column.comparable:
        return f"{column.name} is of the type {column.type}, which only isnull asks about"
    if operator == "like" and (column.type.array or column.type.kind not in _TEXTS):
        return f"like compares texts, and {column.name} is of the type {column.type}"
    if operator == "in" and column.type.array:
        return f"in takes one list, and {column.name} holds lists"
    return ""


def _unknown(table: Table, name: str) -> str:
    head, separator, operator = clipped(name).rpartition("__")
    if separator and head in table.by_name:
        near = difflib.get_close_matches(operator, OPERATORS, n=1)
        return f"there is no operator {quoted(operator)}; {_did_you_mean(near, OPERATORS)}"
    near = difflib.get_close_matches(head if operator in OPERATORS else clipped(name), table.by_name, n=2)
    return f"{table.name} has no column {quoted(name)}; {_did_you_mean(near, table.by_name)}"


def _did_you_mean(near: list[str], known: Iterable[str]) -> str:
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"


def _read_is_null(found: Filter, value: bool | None, said: str, asked: Asked, place: Place, *, again: bool) -> None:
    if again:
        asked.faults.append(_fault(place, found.parameter, "repeated", "one value is expected"))
    elif value is None:
        asked.faults.append(_fault(place, found.parameter, "format", f"true or false is expected, not {said}"))
    else:
        asked.filters.append(Filter(found.parameter, found.column, "isnull", value))


def _read_sort(table: Table, names: Iterable[object], asked: Asked, place: Place) -> None:
    seen = set()
    for name in names:
        if len(asked.faults) >= FAULTS_MAX:
            return
        if not isinstance(name, str):
            detail = f"names of columns are expected, not {shown(name)}"
            asked.faults.append(_fault(place, "sort", "type", detail))
            continue
        # A column's name may begin with the sign itself.
        descending = name.startswith("-") and name not in table.by_name
        column = table.by_name.get(name.removeprefix("-") if descending else name)
        if column is None:
            asked.faults.append(_fault(place, "sort", "unknown", _unknown_order(table, name)))
        elif column.name in seen:
            asked.faults.append(_fault(place, "sort", "repeated", f"{column.name} is there twice"))
        elif column.type.kind is Kind.JSON:
            asked.faults.append(_fault(place, "sort", "operator", f"{column.name} holds JSON, which has no order"))
        else:
            seen.add(column.name)
            asked.orders.append(Order(column.name, descending))


def _unknown_order(table: Table, name: str) -> str:
    if not name.strip("-"):
        return "a column's name is expected, with - before it for the other direction: sort=-a,b"
    near = difflib.get_close_matches(clipped(name.removeprefix("-")), table.by_name, n=2)
    return f"{table.name} has no column {quoted(name.removeprefix('-'))}; {_did_you_mean(near, table.by_name)}"


def _fault(place: Place, parameter: str, code: str, detail: str) -> ParameterFault:
    return ParameterFault(place, parameter, code, detail)


__all__ = ["OPERATORS", "RESERVED", "Asked", "Filter", "Order", "operators_of", "read_query_string", "read_values"]
