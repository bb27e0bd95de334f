"""`$result` and `$value`: parameters of a step that come from an earlier step's body, and the escape.

`{"$result": "invoice.invoice_id"}` is a path: an earlier step, by its `as` or its index, then names and indexes into
its body. It stands for a whole parameter only. `{"$value": …}` is the value itself, whatever it looks like.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import MalformedRequest
from sqlwright.parameters import FAULTS_MAX
from sqlwright.parameters.json_body import DEPTH_LIMIT, parse_json
from sqlwright.parameters.later import Later
from sqlwright.parameters.refusal import Refused, clipped, quoted, shown
from sqlwright.query import Cardinality, Column, Kind, SqlType

RESULT, VALUE = "$result", "$value"
_INDEX_DIGITS_MAX = 9
_HINT = f'to send an object that looks like one, write {{"{VALUE}": {{…}}}}'
_OPEN = frozenset({Kind.JSON, Kind.OTHER, Kind.ANY})
"""Kinds whose values may have something inside."""
_BROKEN = -1


def broken(place: str) -> Later:
    """In the place of a reference that has its fault already, so that it has no second one."""
    return Later(_BROKEN, (), "", place)


class References:
    """Reads the values of one step. What is wrong with a reference goes to `faults`."""

    def __init__(self, step: int, steps: int, names: Mapping[str, int], faults: list[ParameterFault]) -> None:
        self._step = step
        self._steps = steps
        self._names = names
        self._faults = faults
        self.found: list[Later] = []

    def read(self, value: object, place: str) -> Any:
        """The value as validators take it: a reference as `Later`, anything else as it is, unescaped."""
        if type(value) is dict:
            for key in (RESULT, VALUE):
                if key in value and len(value) > 1:
                    return self._refuse(place, "reference", f"{quoted(key)} stands alone in its object; {_HINT}")
            if VALUE in value:
                return value[VALUE]
            if RESULT in value:
                return self._reference(value[RESULT], place)
        if _holds_reference(value):
            detail = f'"{RESULT}" stands for the whole value of a parameter, not for something inside one; {_HINT}'
            return self._refuse(place, "reference", detail)
        return value

    def read_object(self, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        """An object of parameters, each read."""
        if len(values) == 1 and (RESULT in values or VALUE in values):
            key = next(iter(values))
            detail = f"{quoted(key)} stands for the value of one parameter, not for the object of all"
            self._refuse(place, "reference", detail)
            return {}
        return {name: self.read(value, f"{place}.{clipped(name)}") for name, value in values.items()}

    def _reference(self, path: object, place: str) -> Later:
        if type(path) is not str:
            expected = 'the path of an earlier step\'s result like "invoice.invoice_id" is expected'
            return self._refuse(place, "type", f"{expected}, not {shown(path)}")
        name, *inside = path.split(".")
        step = self._names.get(name)
        if step is None and _is_index(name) and int(name) < self._steps:
            step = int(name)
        if step is None:
            return self._refuse(place, "reference", self._unknown(name))
        if step >= self._step:
            which = "this step itself" if step == self._step else f"step {step}, which comes later"
            return self._refuse(place, "reference", f"{quoted(path)} is {which}; only earlier steps have a result")
        later = Later(step, tuple(inside), clipped(path), place)
        self.found.append(later)
        return later

    def _unknown(self, name: str) -> str:
        if len(self._faults) >= FAULTS_MAX:
            return ""  # told to nobody, and looking for what is near takes long
        near = difflib.get_close_matches(clipped(name), self._names, n=1)
        if near:
            return f"there is no step {quoted(name)}; did you mean {near[0]}?"
        return f'there is no step {quoted(name)}: a path begins with the "as" or the index (from 0) of an earlier step'

    def _refuse(self, place: str, code: str, detail: str) -> Later:
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(ParameterFault("body", place, code, detail))
        return broken(place)


def _holds_reference(value: object) -> bool:
    if type(value) is list:
        return any(_is_reference(item) or _holds_reference(item) for item in value)
    if type(value) is dict:
        return any(_is_reference(item) or _holds_reference(item) for item in value.values())
    return False


def _is_reference(value: object) -> bool:
    return type(value) is dict and RESULT in value


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _INDEX_DIGITS_MAX


# --- what a body can have ---------------------------------------------------------------------------------------

_COUNT = SqlType("", Kind.INT8)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a step's body before it runs. No columns: nothing is known of the rows."""

    columns: Mapping[str, SqlType | None]
    many: bool = False

    @classmethod
    def of(cls, cardinality: Cardinality, columns: Sequence[Column]) -> Shape:
        if cardinality in (Cardinality.EXEC, Cardinality.BULK):
            return cls({"affected": _COUNT})
        if cardinality in (Cardinality.VALUE, Cardinality.INSERT):
            return cls({"value": columns[0].type if columns else None})
        return cls({column.name: column.type for column in columns}, cardinality is Cardinality.MANY)

    def refusal(self, path: Sequence[str]) -> str:
        """Why a path can lead nowhere; empty when it may lead somewhere."""
        if self.many and path:
            if path[0] != "data":
                column = next(iter(self.columns), "name")
                return f'that step gives many rows, in "data": write data.0.{column} for the first one\'s {column}'
            if len(path) > 1 and not _is_index(path[1]):
                return f"data is an array: an index (from 0) is expected after it, not {quoted(path[1])}"
            path = path[2:]
        if not path or not self.columns:
            return ""
        if path[0] not in self.columns:
            near = difflib.get_close_matches(clipped(path[0]), self.columns, n=1)
            more = f"did you mean {near[0]}?" if near else f"it gives {', '.join(self.columns)}"
            return f"that step gives no {quoted(path[0])}; {more}"
        type_ = self.columns[path[0]]
        if len(path) > 1 and type_ is not None and not type_.array and type_.kind not in _OPEN:
            return f"{path[0]} is a single value: there is nothing inside it"
        return ""


class Bodies:
    """The bodies of the steps that have run, read when something refers to them; numbers keep their digits."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._read: dict[int, Any] = {}

    def resolve(self, later: Later) -> Any:
        """The value that a reference leads to. Raises `Refused` where there is none."""
        if later.step not in self._read:
            try:
                self._read[later.step] = parse_json(self.written[later.step], DEPTH_LIMIT)
            except MalformedRequest as error:
                message = str(error).replace("the body", "it")
                raise Refused("reference", f"the result of step {later.step} cannot be passed on: {message}") from None
        value = self._read[later.step]
        for part in later.path:
            if type(value) is dict and part in value:
                value = value[part]
            elif type(value) is list and _is_index(part) and int(part) < len(value):
                value = value[int(part)]
            else:
                what = "null" if value is None else f"no {quoted(part)}"
                raise Refused("no_value", f"{quoted(later.text)} leads to nothing: the result has {what} there")
        return value
