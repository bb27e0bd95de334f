"""Which row: the key of a path, a mapping, a tuple or a single value → values for the key's columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from sqlwright.crud.table import Table
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import Validator
from sqlwright.parameters.refusal import quoted

_LOOSE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search


@dataclass(frozen=True, slots=True)
class PathKey:
    """The segment of a path as it was sent, percent-escapes and all: `a,b` is split first and decoded after, so that a
    comma or a slash inside a value is written %2C or %2F."""

    text: str


Key = PathKey | Mapping[str, object] | tuple[object, ...] | list[object] | str | int | float | object
"""A mapping of column → JSON value, the values in the key's order, or the one value of a key of one column."""


def read_key(table: Table, key: Key, validator: Validator) -> tuple[Any, ...]:
    """Bound values of the key's columns, in order. Raises `InvalidParameters`."""
    names = table.primary_key
    if isinstance(key, PathKey):
        parts = key.text.split(",")
        _check_count(names, len(parts), "path")
        texts = [(name, _decoded(name, part)) for name, part in zip(names, parts, strict=True)]
        try:
            return validator.from_strings(texts).values
        except InvalidParameters as error:
            raise InvalidParameters([replace(fault, place="path") for fault in error.faults]) from None
    if isinstance(key, Mapping):
        return validator.from_json(dict(key)).values
    parts_given = list(key) if isinstance(key, tuple | list) else [key]
    _check_count(names, len(parts_given), "body")
    return validator.from_json(dict(zip(names, parts_given, strict=True))).values


def _check_count(names: tuple[str, ...], given: int, place: Any) -> None:
    if given != len(names):
        listed = ", ".join(names)
        values = "1 value" if len(names) == 1 else f"{len(names)} values, separated by commas,"
        detail = f"the key is {listed}: {values} must be given, not {given} (write a comma inside a value as %2C)"
        if place == "body":
            detail = f"the key is {listed}: {len(names)} must be given, not {given}"
        raise InvalidParameters([ParameterFault(place, ",".join(names), "key", detail)])


def _decoded(name: str, part: str) -> str:
    if _LOOSE_PERCENT(part):
        detail = f"a % must be followed by two hexadecimal digits: {quoted(part)}; write % as %25"
    else:
        try:
            return unquote_to_bytes(part).decode("utf-8")
        except UnicodeDecodeError:
            detail = f"this is not UTF-8: {quoted(part)}"
    raise InvalidParameters([ParameterFault("path", name, "format", detail)])
