"""From what a caller sent to the values of a statement, before any connection is taken.

Everything that can be decided when a query is loaded is: a call walks over the query's arguments, each one function,
and collects what they refuse, so that all faults of a call are told at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import paging
from sqlwright.parameters.arguments import Argument, MakeBinder, compile_argument
from sqlwright.parameters.cells import Cells
from sqlwright.parameters.columns import Unsure
from sqlwright.parameters.later import Later, Resolve
from sqlwright.parameters.query_string import plain_pairs, split_query_string
from sqlwright.parameters.refusal import Refused, clipped, quoted
from sqlwright.parameters.values import type_fault
from sqlwright.query import Parameter, Query

FAULTS_MAX = 100
"""Faults of one call that are reported; what follows is not looked at."""
_ABSENT: Any = object()
_NONE: frozenset[str] = frozenset()

Place = Literal["query", "body"]


@dataclass(slots=True)  # not frozen: making one is a third of the time then
class Call:
    """A valid call: bound values in the order of the query's parameters, and what it asks of paging."""

    values: tuple[Any, ...]
    limit: int | None = None
    next: str | None = None


def compile_validator(
    query: Query,
    parameters: Sequence[Parameter],
    make_binder: MakeBinder,
    *,
    page_rows_max: int,
    big_numbers_as_text: bool,
) -> Validator:
    """The validator of a query. `parameters` have their types filled in; `make_binder` is the engine's.

    Raises `QueryInvalid` with a diagnostic when a default or a rule does not suit its parameter's type.
    """
    arguments = tuple(
        compile_argument(query, p, make_binder, big_numbers_as_text=big_numbers_as_text) for p in parameters
    )
    names = {argument.name for argument in arguments}
    built_in = [name for name in paging.NAMES if name not in names] if query.is_paged else []
    return Validator(arguments, {name: paging.page_argument(name, page_rows_max) for name in built_in})


class Validator:
    """Takes the calls of one query. Every method raises `InvalidParameters` with all faults of the call."""

    __slots__ = ("_arguments", "_is_stream", "_paging", "_readers", "_takes", "unpaged")

    unpaged: Validator
    """The same where all rows come: nothing is said of `limit` and `next`."""

    def __init__(
        self, arguments: tuple[Argument, ...], paging: Mapping[str, Argument], *, is_stream: bool = False
    ) -> None:
        self._arguments = arguments
        self._readers = tuple((a.name, a.from_text, _ABSENT if a.required else a.default) for a in arguments)
        self._is_stream = is_stream
        self._paging = paging
        self._takes = [argument.name for argument in arguments] + list(paging)
        self.unpaged = Validator(arguments, {}) if paging and not is_stream else self

    def streamed(self) -> Validator:
        """The same where all rows come as one answer, or the first `limit`, and no page follows."""
        limit = {"limit": paging.page_argument("limit", paging.STREAM_ROWS_MAX)} if "limit" in self._paging else {}
        return Validator(self._arguments, limit, is_stream=True)

    def from_query_string(self, raw: bytes) -> Call:
        """A GET: everything stands in the query string."""
        values = self._plain(raw)
        if values is not None:
            return Call(values)
        faults: list[ParameterFault] = []
        texts, broken = _texts_of(raw, faults)
        page = {}
        if self._paging and ("limit" in texts or "next" in texts):
            page = self._take_page({}, texts, faults)
        values = self._collect(texts, "query", faults)
        if faults:
            # What could not be decoded has its fault already and is not missing.
            faults = [fault for fault in faults if fault.code != "missing" or fault.parameter not in broken]
            raise InvalidParameters(faults[:FAULTS_MAX])
        return Call(values, **page)

    def _plain(self, raw: bytes) -> tuple[Any, ...] | None:
        """The values of most calls, in half the time. None for what is escaped, repeated, paged or wrong."""
        if not raw or b"%" in raw or b"+" in raw:
            return None
        values = []
        try:
            given = {}
            for pair in raw.decode().split("&"):
                name, text = pair.split("=", 1)  # or ValueError
                given[name] = text
            if raw.count(b"&") >= len(given):
                return None
            for name, read, default in self._readers:
                found = given.pop(name, None)
                if found is not None:
                    values.append(read(found))
                elif default is _ABSENT:
                    return None
                else:
                    values.append(default)
        except (ValueError, Refused):
            return None
        return None if given else tuple(values)

    def from_strings(self, pairs: Sequence[tuple[str, str]]) -> Call:
        """The command line: names with texts, read like a query string; nothing is paged."""
        texts: dict[str, list[str]] = {}
        for name, text in pairs:
            texts.setdefault(name, []).append(text)
        faults: list[ParameterFault] = []
        values = self.unpaged._collect(texts, "query", faults)
        if faults:
            raise InvalidParameters(faults[:FAULTS_MAX])
        return Call(values)

    def from_json(self, body: object, query_string: bytes = b"") -> Call:
        """A POST: parameters in the body's object; `limit` and `next` there or in the query string."""
        if type(body) is not dict:
            raise InvalidParameters([_not_an_object(body)])
        faults: list[ParameterFault] = []
        texts = _texts_of(query_string, faults)[0] if query_string else {}
        given: dict[str, Any] = body
        page: dict[str, Any] = {}
        if self._paging and (texts or "limit" in body or "next" in body):
            given = dict(body)  # the caller's own stays as it is
            page = self._take_page(given, texts, faults)
        for name in texts:
            detail = "parameters of a POST go in its JSON body, not in the query string"
            faults.append(ParameterFault("query", clipped(name), "unknown", detail))
        values = self._collect(given, "body", faults)
        if faults:
            raise InvalidParameters(faults[:FAULTS_MAX])
        return Call(values, **page)

    def bulk(self, body: object, items_max: int) -> list[tuple[Any, ...]]:
        """The items of a `*!` query: an array of objects, which may be empty, or a table of texts."""
        if type(body) is Cells:
            return self._of_cells(body, items_max)
        if type(body) is not list:
            refused = type_fault("an array of objects, one for each execution,", body)
            raise InvalidParameters([ParameterFault("body", "", refused.code, refused.detail)])
        if len(body) > items_max:
            raise _too_many(items_max, len(body))
        quick = self._together(body)
        if quick is not None:
            return quick
        faults: list[ParameterFault] = []
        items = []
        for index, item in enumerate(body):
            if type(item) is dict:
                items.append(self._collect(item, "body", faults, index))
            else:
                refused = type_fault("an object of parameters", item)
                faults.append(ParameterFault("body", "", refused.code, refused.detail, index))
            if len(faults) >= FAULTS_MAX:
                break
        if faults:
            raise InvalidParameters(faults[:FAULTS_MAX])
        return items

    def _together(self, body: Sequence[Any]) -> list[tuple[Any, ...]] | None:
        """The items where all have the same parameters and nothing is wrong with any; else None: each is looked at."""
        if not body or set(map(type, body)) != {dict}:
            return None
        given = [argument for argument in self._arguments if argument.name in body[0]]
        absent = [argument for argument in self._arguments if argument.name not in body[0]]
        if not given or any(argument.required for argument in absent) or set(map(len, body)) != {len(given)}:
            return None
        read: dict[str, Sequence[Any]] = {}
        try:
            for argument in given:
                name = argument.name
                read[name] = argument.column([item[name] for item in body])
        except (KeyError, Refused, Unsure):
            return None
        for argument in absent:
            read[argument.name] = [argument.default] * len(body)
        return list(zip(*(read[argument.name] for argument in self._arguments), strict=True))

    def _of_cells(self, cells: Cells, items_max: int) -> list[tuple[Any, ...]]:
        if len(cells) > items_max:
            raise _too_many(items_max, len(cells))
        faults: list[ParameterFault] = []
        given = dict(zip(cells.header, cells.columns, strict=True))
        known = {argument.name for argument in self._arguments}
        self._refuse_unknown((name for name in given if name not in known), "body", faults, None)
        columns: list[Sequence[Any]] = []
        for argument in self._arguments:
            texts = given.get(argument.name)
            if texts is not None:
                columns.append(_column_of(argument, texts, faults))
                continue
            if argument.required:
                detail = f"this parameter is required: {argument.expected}"
                faults.append(ParameterFault("body", argument.name, "missing", detail))
            columns.append([argument.default] * len(cells))
        if faults:
            raise InvalidParameters(sorted(faults, key=_place_of)[:FAULTS_MAX])
        return list(zip(*columns, strict=True))

    def fill(self, values: Sequence[Any], resolve: Resolve) -> tuple[Any, ...]:
        """Bound values with what has come in the place of every `Later`, validated like any other value."""
        faults: list[ParameterFault] = []
        filled = []
        for argument, value in zip(self._arguments, values, strict=True):
            bound = value
            if type(value) is Later:
                try:
                    bound = argument.from_json(resolve(value))
                except Refused as refused:
                    faults.append(ParameterFault("body", value.place, refused.code, refused.detail))
            filled.append(bound)
        if faults:
            raise InvalidParameters(faults[:FAULTS_MAX])
        return tuple(filled)

    def _collect(
        self, given: Mapping[str, Any], place: Place, faults: list[ParameterFault], index: int | None = None
    ) -> tuple[Any, ...]:
        """Bound values in order; what is wrong goes to `faults`."""
        values = []
        used = 0
        for argument in self._arguments:
            value = given.get(argument.name, _ABSENT)
            if value is _ABSENT:
                if argument.required:
                    detail = f"this parameter is required: {argument.expected}"
                    faults.append(ParameterFault(place, argument.name, "missing", detail, index))
                values.append(argument.default)
                continue
            used += 1
            if type(value) is Later:
                values.append(value)
                continue
            try:
                values.append(argument.from_json(value) if place == "body" else argument.from_texts(value))
            except Refused as refused:
                faults.append(ParameterFault(place, argument.name, refused.code, refused.detail, index))
        if used != len(given):
            known = {argument.name for argument in self._arguments}
            self._refuse_unknown((name for name in given if name not in known), place, faults, index)
        return tuple(values)

    def _refuse_unknown(
        self, names: Iterable[str], place: Place, faults: list[ParameterFault], index: int | None
    ) -> None:
        for name in names:
            if len(faults) >= FAULTS_MAX:
                return
            near = difflib.get_close_matches(clipped(name), self._takes, n=1)
            if self._is_stream and name in paging.NAMES:
                more = "all rows come in one answer, or the first `limit`; application/json has pages"
            elif near:
                more = f"did you mean {near[0]}?"
            elif name in paging.NAMES:
                more = "this query has no pages"
            else:
                more = f"it takes {', '.join(self._takes)}" if self._takes else "it takes none"
            detail = f"there is no parameter {quoted(name)}; {more}"
            faults.append(ParameterFault(place, clipped(name), "unknown", detail, index))

    def _take_page(
        self, given: dict[str, Any], texts: dict[str, list[str]], faults: list[ParameterFault]
    ) -> dict[str, Any]:
        """Take `limit` and `next` out of the body and the query string; keyword arguments of `Call`."""
        found = {}
        for name, argument in self._paging.items():
            value, sent = given.pop(name, _ABSENT), texts.pop(name, None)
            place: Place = "body" if sent is None else "query"
            if sent is not None and value is not _ABSENT:
                detail = "one value is expected, not one in the body and one in the query string"
                faults.append(ParameterFault(place, name, "repeated", detail))
                continue
            try:
                if sent is not None:
                    found[name] = argument.from_texts(sent)
                elif value is not _ABSENT:
                    found[name] = argument.from_json(value)
            except Refused as refused:
                faults.append(ParameterFault(place, name, refused.code, refused.detail))
        return found


def _column_of(argument: Argument, texts: Sequence[str | None], faults: list[ParameterFault]) -> Sequence[Any]:
    try:
        return argument.cells(texts)
    except Refused:
        pass
    found = []
    for index, text in enumerate(texts):
        try:
            found.append(argument.from_cell(text))
        except Refused as refused:
            faults.append(ParameterFault("body", argument.name, refused.code, refused.detail, index))
            if len(faults) >= FAULTS_MAX:
                break
    return found


def _place_of(fault: ParameterFault) -> int:
    """What is wrong with all items comes first."""
    return -1 if fault.index is None else fault.index


def _too_many(items_max: int, count: int) -> InvalidParameters:
    detail = f"at most {items_max} items are taken in one call, not {count}"
    return InvalidParameters([ParameterFault("body", "", "length", detail)])


def _texts_of(raw: bytes, faults: list[ParameterFault]) -> tuple[dict[str, list[str]], frozenset[str]]:
    """The texts of every name, and the names of which something could not be decoded (which is a fault)."""
    texts: dict[str, list[str]] = {}
    plain = plain_pairs(raw)
    if plain is not None:
        for name, text in plain:
            if name in texts:
                texts[name].append(text)
            else:
                texts[name] = [text]
        return texts, _NONE
    broken = set()
    for name, value in split_query_string(raw):
        if isinstance(value, Refused):
            broken.add(clipped(name))
            faults.append(ParameterFault("query", clipped(name), value.code, value.detail))
            if len(faults) >= FAULTS_MAX:
                break
        else:
            texts.setdefault(name, []).append(value)
    return texts, frozenset(broken)


def _not_an_object(body: object) -> ParameterFault:
    refused = type_fault("an object of parameters", body)
    more = "; queries that read take an array of such, and `*!` queries" if type(body) is list else ""
    return ParameterFault("body", "", refused.code, refused.detail + more)
