"""The columns that a caller gives: which they are, and which of them cannot be given."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlwright.crud.table import Table
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import FAULTS_MAX, Validator
from sqlwright.parameters.refusal import clipped, quoted
from sqlwright.parameters.values import type_fault


def read_columns(
    table: Table, values: object, *, fixed: Iterable[str] = ()
) -> tuple[dict[str, object], list[ParameterFault]]:
    """The values by column, and what is wrong with their names. `fixed` columns may be there whatever they are."""
    if not isinstance(values, Mapping):
        refused = type_fault("an object of columns with their values", values)
        raise InvalidParameters([ParameterFault("body", "", refused.code, refused.detail)])
    faults = []
    for name in values:
        column = table.by_name.get(name)
        if column is None:
            near = difflib.get_close_matches(clipped(name), table.by_name, n=2)
            more = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(table.by_name)}"
            detail = f"{table.name} has no column {quoted(name)}; {more}"
            faults.append(ParameterFault("body", clipped(name), "unknown", detail))
        elif column.read_only and name not in fixed:
            faults.append(ParameterFault("body", name, "read_only", "the database alone gives this column its value"))
        if len(faults) >= FAULTS_MAX:
            break
    wrong = {fault.parameter for fault in faults}
    return {name: value for name, value in values.items() if name in table.by_name and name not in wrong}, faults


def check_key(
    table: Table,
    own: Mapping[str, object],
    key: Sequence[object],
    validators: Mapping[str, Validator],
    faults: list[ParameterFault],
) -> None:
    """A row keeps its key: `own` are the key's columns in a body, `key` its bound values (none where it is wrong)."""
    for name, bound in zip(table.primary_key, key, strict=False):
        if name in own and _differs(validators[name], name, own[name], bound, faults):
            detail = "the key of a row cannot be changed: leave it out, or send what it is"
            faults.append(ParameterFault("body", name, "key", detail))


def _differs(validator: Validator, name: str, value: object, bound: object, faults: list[ParameterFault]) -> bool:
    read = collect(faults, lambda: validator.from_json({name: value}).values)
    return bool(read) and read != (bound,)


def collect(faults: list[ParameterFault], read: Callable[[], tuple[object, ...]]) -> tuple[object, ...]:
    """What `read` gives; what it refuses goes to `faults`, in a table's words."""
    try:
        return read()
    except InvalidParameters as error:
        faults += map(in_our_words, error.faults)
        return ()


def in_our_words(fault: ParameterFault) -> ParameterFault:
    if fault.code == "null":
        return replace(fault, detail="null is not allowed here")
    if fault.code == "missing":
        return replace(fault, detail=fault.detail.replace("this parameter is required", "a value is required"))
    return fault
