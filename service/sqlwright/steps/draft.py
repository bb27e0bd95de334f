"""The body of a `POST /transaction`, read: which steps, with which values. Pure; nothing is known of the database here.

{"isolation": "serializable", "dry_run": false, "steps": [
  {"query": "invoices.create", "params": {…}, "as": "invoice"},
  {"table": "invoice_line", "create": {"invoice_id": {"$result": "invoice.invoice_id"}, …}},
  {"table": "invoice", "key": …, "update": {…}}      or "replace": {…}, "delete": true, "get": true
  {"table": "invoice", "list": {filters}, "sort": ["-total"], "limit": 10}]}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import FAULTS_MAX
from sqlwright.parameters.later import Later
from sqlwright.parameters.refusal import Refused, clipped, quoted, shown
from sqlwright.parameters.values import type_fault
from sqlwright.query import ISOLATIONS, Isolation
from sqlwright.steps.references import RESULT, VALUE, References

TableKind = Literal["get", "list", "create", "update", "replace", "delete"]
TABLE_KINDS: tuple[TableKind, ...] = ("get", "list", "create", "update", "replace", "delete")
KEYED = frozenset({"get", "update", "replace", "delete"})
_SWITCHES = frozenset({"get", "delete"})
"""These have nothing to say but that they are wanted: true."""
BODY_KEYS = ("isolation", "dry_run", "steps")
QUERY_KEYS = ("query", "params", "as")
TABLE_KEYS = ("table", "key", *TABLE_KINDS, "sort", "limit", "as")
_NAME_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class QueryDraft:
    """`params` as validators take it: an object, or an array of objects for a bulk query, with `Later`s in it."""

    query: str
    params: Any
    place: str
    laters: tuple[Later, ...] = ()


@dataclass(frozen=True, slots=True)
class TableDraft:
    """`values` are the row's for create, update and replace, the filters for list; `rows` for many new ones."""

    table: str
    kind: TableKind
    place: str
    key: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    sort: tuple[str, ...] = ()
    limit: int | None = None
    laters: tuple[Later, ...] = ()
    rows: Sequence[object] | None = None


StepDraft = QueryDraft | TableDraft


@dataclass(frozen=True, slots=True)
class Draft:
    """`steps` has None in the place of one that cannot be read; `faults` says why."""

    isolation: Isolation | None
    dry_run: bool
    steps: tuple[StepDraft | None, ...]
    faults: tuple[ParameterFault, ...]


def read_draft(body: object, steps_max: int) -> Draft:
    """Raises `InvalidParameters` when there are no steps to look at."""
    reader = _Reader()
    if type(body) is not dict:
        reader.refuse("", type_fault('an object with "steps"', body))
        raise InvalidParameters(reader.faults)
    reader.refuse_unknown(body, BODY_KEYS, "")
    isolation = reader.isolation(body.get("isolation"))
    dry_run = reader.switch(body.get("dry_run", False), "dry_run")
    steps = body.get("steps")
    if type(steps) is not list:
        missing = "steps" not in body
        fault = Refused("missing", "an array of steps is required") if missing else type_fault("an array", steps)
        reader.refuse("steps", fault)
        raise InvalidParameters(reader.faults)
    if not 1 <= len(steps) <= steps_max:
        reader.refuse("steps", Refused("length", f"1 to {steps_max} steps are taken, not {len(steps)}"))
        raise InvalidParameters(reader.faults)
    return Draft(isolation, dry_run, reader.steps(steps), tuple(reader.faults))


class _Reader:
    def __init__(self) -> None:
        self.faults: list[ParameterFault] = []

    def refuse(self, place: str, refused: Refused) -> None:
        self.faults.append(ParameterFault("body", place, refused.code, refused.detail))

    def refuse_unknown(self, given: Iterable[str], known: tuple[str, ...], place: str) -> None:
        for name in given:
            if name not in known and len(self.faults) < FAULTS_MAX:
                near = difflib.get_close_matches(clipped(name), known, n=1)
                more = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
                detail = f"there is no {quoted(name)} here; {more}"
                self.refuse(f"{place}.{clipped(name)}" if place else clipped(name), Refused("unknown", detail))

    def isolation(self, value: object) -> Isolation | None:
        if value is None:
            return None
        for isolation in ISOLATIONS:
            if value == isolation:
                return isolation
        self.refuse("isolation", Refused("not_allowed", f"one of {', '.join(ISOLATIONS)}, not {shown(value)}"))
        return None

    def switch(self, value: object, place: str) -> bool:
        if type(value) is not bool:
            self.refuse(place, type_fault("true or false", value))
            return False
        return value

    def steps(self, steps: list[Any]) -> tuple[StepDraft | None, ...]:
        names = self._names(steps)
        drafts = []
        for index, step in enumerate(steps):
            if len(self.faults) >= FAULTS_MAX:
                break
            drafts.append(self._step(step, f"steps[{index}]", References(index, len(steps), names, self.faults)))
        return tuple(drafts)

    def _names(self, steps: list[Any]) -> dict[str, int]:
        names: dict[str, int] = {}
        for index, step in enumerate(steps):
            if type(step) is not dict or "as" not in step:
                continue
            name, place = step["as"], f"steps[{index}].as"
            if type(name) is not str:
                self.refuse(place, type_fault("a name", name))
            elif not name or name.isdigit() or "." in name or len(name) > _NAME_CHARACTERS_MAX:
                detail = f"a name without points that is no number is expected, not {quoted(name)}"
                self.refuse(place, Refused("format", detail))
            elif name in names:
                self.refuse(place, Refused("repeated", f"step {names[name]} is called {quoted(name)} already"))
            else:
                names[name] = index
        return names

    def _step(self, step: object, place: str, references: References) -> StepDraft | None:
        if type(step) is not dict:
            self.refuse(place, type_fault('an object with "query" or "table"', step))
            return None
        if ("query" in step) == ("table" in step):
            self.refuse(place, Refused("missing", 'a step has either a "query" or a "table"'))
            return None
        which = "query" if "query" in step else "table"
        self.refuse_unknown(step, QUERY_KEYS if which == "query" else TABLE_KEYS, place)
        name = step[which]
        if type(name) is not str:
            self.refuse(f"{place}.{which}", type_fault(f"the name of a {which}", name))
            return None
        return (
            self._query(name, step, place, references)
            if which == "query"
            else self._table(name, step, place, references)
        )

    def _query(self, name: str, step: dict[str, Any], place: str, references: References) -> QueryDraft:
        params, below = step.get("params", {}), f"{place}.params"
        if type(params) is dict:
            params = references.read_object(params, below)
        elif type(params) is list:
            params = [
                references.read_object(item, f"{below}[{index}]") if type(item) is dict else item
                for index, item in enumerate(params)
            ]
        return QueryDraft(name, params, place, tuple(references.found))

    def _table(self, name: str, step: dict[str, Any], place: str, references: References) -> TableDraft | None:
        kinds = [kind for kind in TABLE_KINDS if kind in step]
        if len(kinds) != 1:
            said = f"one of {', '.join(TABLE_KINDS)} is expected, not {' and '.join(kinds) or 'none'}"
            self.refuse(place, Refused("missing" if not kinds else "repeated", said))
            return None
        kind = kinds[0]
        faults = len(self.faults)
        key = self._key(step, kind, place, references)
        rows = self._rows(step[kind], kind, f"{place}.{kind}", references)
        values = self._values(step[kind], kind, f"{place}.{kind}", references) if rows is None else {}
        sort, limit = self._order(step, kind, place)
        if values is None or len(self.faults) != faults:
            return None
        return TableDraft(name, kind, place, key, values, sort, limit, tuple(references.found), rows)

    def _key(self, step: dict[str, Any], kind: str, place: str, references: References) -> Any:
        place = f"{place}.key"
        if kind not in KEYED:
            if "key" in step:
                self.refuse(place, Refused("unknown", f"{kind} takes no key"))
            return None
        if "key" not in step:
            self.refuse(place, Refused("missing", f"{kind} needs the row's key"))
            return None
        key = step["key"]
        if type(key) is list:
            return tuple(references.read(part, f"{place}[{index}]") for index, part in enumerate(key))
        if type(key) is dict and RESULT not in key and VALUE not in key:
            return references.read_object(key, place)
        return references.read(key, place)

    def _values(self, value: object, kind: str, place: str, references: References) -> dict[str, Any] | None:
        if kind in _SWITCHES:
            if value is True:
                return {}
            self.refuse(place, type_fault("true", value))
            return None
        if type(value) is not dict:
            self.refuse(place, type_fault("an object of columns" if kind != "list" else "an object of filters", value))
            return None
        return references.read_object(value, place)

    def _rows(self, value: object, kind: str, place: str, references: References) -> list[object] | None:
        """Of a create of many rows."""
        if kind != "create" or type(value) is not list:
            return None
        return [
            references.read_object(row, f"{place}[{index}]") if type(row) is dict else row
            for index, row in enumerate(value)
        ]

    def _order(self, step: dict[str, Any], kind: str, place: str) -> tuple[tuple[str, ...], int | None]:
        sort, limit = step.get("sort", []), step.get("limit")
        if kind != "list":
            for name in ("sort", "limit"):
                if name in step:
                    self.refuse(f"{place}.{name}", Refused("unknown", f"{kind} takes no {name}"))
            return (), None
        if type(sort) is str:
            sort = sort.split(",")
        if type(sort) is not list or not all(type(column) is str for column in sort):
            self.refuse(f"{place}.sort", type_fault('names of columns like ["-a", "b"]', sort))
            sort = []
        if "limit" in step and type(limit) is not int:
            self.refuse(f"{place}.limit", type_fault("an integer", limit))
            limit = None
        return tuple(sort), limit
