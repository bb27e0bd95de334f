"""Parameters as Python has them → the plan of a call. Pure; raises `InvalidParameters` with all faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlwright.contract import Contract
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import FAULTS_MAX
from sqlwright.parameters.refusal import Refused, clipped
from sqlwright.plan import Plan, make_bulk_plan, make_plan, make_script_plan
from sqlwright.query import Cardinality, SqlType
from sqlwright.rows import fields_of, is_plain, json_value

_PAGING = ("limit", "next")


def plan_call(contract: Contract, parameters: Any, *, items_max: int, timeout_seconds: float | None) -> Plan:
    """`parameters` is a mapping (or None for none), for a bulk query an iterable of mappings."""
    query = contract.query
    if query.cardinality is Cardinality.BULK:
        plan = make_bulk_plan(contract, _items(contract, parameters, items_max))
    elif query.cardinality is Cardinality.SCRIPT:
        contract.validator.from_json(_given(contract, parameters))
        plan = make_script_plan(contract)
    else:
        plan = make_plan(contract, _valid(contract, parameters), paged=False)
    return plan if timeout_seconds is None else replace(plan, timeout_seconds=timeout_seconds)


def _given(contract: Contract, parameters: Any) -> dict[str, Any]:
    """Raises TypeError for what has no names at all: no caller but the program itself can have made that mistake."""
    given = {} if parameters is None else fields_of(parameters)
    if given is None:
        name = contract.query.name
        raise TypeError(f"the parameters of {name} are a mapping of name → value, not {type(parameters).__name__}")
    return given


def _valid(contract: Contract, parameters: Any) -> Any:
    given = _given(contract, parameters)
    faults: list[ParameterFault] = []
    values = _json_values(contract, given, faults, None)
    for name in _PAGING:
        if name in values and all(parameter.name != name for parameter in contract.parameters):
            detail = "there is no such parameter; outside of HTTP every row comes, or take `stream`"
            faults.append(ParameterFault("body", name, "unknown", detail))
            del values[name]
    try:
        call = contract.validator.unpaged.from_json(values)
    except InvalidParameters as error:
        raise InvalidParameters(_together(faults, error)) from None
    if faults:
        raise InvalidParameters(faults[:FAULTS_MAX])
    return call


def _items(contract: Contract, parameters: Any, items_max: int) -> list[tuple[Any, ...]]:
    if not isinstance(parameters, Iterable) or isinstance(parameters, str | bytes | Mapping):
        raise TypeError(f"{contract.query.name} is a bulk query: it takes a list of parameter mappings")
    faults: list[ParameterFault] = []
    items: list[Any] = []
    for index, parameters_of_item in enumerate(islice(parameters, items_max + 1)):
        if is_plain(parameters_of_item):
            items.append(parameters_of_item)
            continue
        given = fields_of(parameters_of_item)
        # What is no mapping is refused by the validator, with its place in the list.
        known = parameters_of_item if given is None else _json_values(contract, given, faults, index)
        items.append(known)
    try:
        values = contract.validator.bulk(items, items_max)
    except InvalidParameters as error:
        raise InvalidParameters(_together(faults, error)) from None
    if faults:
        raise InvalidParameters(faults[:FAULTS_MAX])
    return values


def _json_values(
    contract: Contract, given: Mapping[str, Any], faults: list[ParameterFault], index: int | None
) -> dict[str, Any]:
    values = dict(given)
    for parameter in contract.parameters:
        if parameter.name in values:
            put_json_value(values, parameter.name, parameter.type, faults, index, is_list=parameter.is_list)
    return values


def put_json_value(
    values: dict[str, Any],
    name: str,
    type: SqlType | None,
    faults: list[ParameterFault],
    index: int | None = None,
    *,
    is_list: bool = False,
) -> None:
    """Replace a value by its JSON value, or take it out and note what is wrong with it."""
    try:
        values[name] = json_value(values[name], type, is_list=is_list)
    except Refused as refused:
        del values[name]
        if len(faults) < FAULTS_MAX:
            faults.append(ParameterFault("body", clipped(name), refused.code, refused.detail, index))


def _together(faults: list[ParameterFault], error: InvalidParameters) -> list[ParameterFault]:
    """What was taken out is not missing."""
    refused = {(fault.parameter, fault.index) for fault in faults}
    rest = [f for f in error.faults if f.code != "missing" or (f.parameter, f.index) not in refused]
    return [*faults, *rest][:FAULTS_MAX]
