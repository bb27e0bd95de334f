"""The items of an array call: each one is what a lone call's body would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import InvalidParameters
from sqlwright.parameters.validator import FAULTS_MAX, Call, Validator


def calls_of_array(validator: Validator, items: Sequence[object], items_max: int) -> list[Call]:
    """Raises `InvalidParameters` with the faults of all items, each with its index."""
    if len(items) > items_max:
        detail = f"at most {items_max} items are taken in one call, not {len(items)}"
        raise InvalidParameters([ParameterFault("body", "", "length", detail)])
    calls: list[Call] = []
    faults: list[ParameterFault] = []
    for index, item in enumerate(items):
        try:
            calls.append(validator.from_json(item))
        except InvalidParameters as error:
            faults += [replace(fault, index=index) for fault in error.faults]
            if len(faults) >= FAULTS_MAX:
                break
    if faults:
        raise InvalidParameters(faults[:FAULTS_MAX])
    return calls
