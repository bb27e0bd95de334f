"""Show the exact statement that a call would send, and its values by placeholder. Nothing runs.

Types come from the database. Where it cannot be reached, the statement is shown as the file alone tells it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlwright.cli import options, output, session
from sqlwright.cli.session import type_name
from sqlwright.config import Settings
from sqlwright.contract import UNTYPED, Contract
from sqlwright.database import Database
from sqlwright.errors import DatabaseUnavailable
from sqlwright.parameters import compile_validator
from sqlwright.parameters.json_body import dump_json
from sqlwright.query import Cardinality, Query


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="for programs: {name, sql, values: [{placeholder, name, type, value}]}"
    )


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    query = session.find_query(settings, options.dialect_of(settings), arguments.name)
    given = session.read_given(arguments, query, settings)
    contract = asyncio.run(_contract(settings, query))
    values = _values(contract, given, settings)
    if arguments.json:
        output.raw(dump_json(_record(contract, values)).encode() + b"\n")
        return 0
    output.sql(contract.program.sql)
    if contract.program.order:
        print()
        _write_values(contract, values)
    return 0


async def _contract(settings: Settings, query: Query) -> Contract:
    async with session.open_database(settings) as (database, contracts):
        try:
            return await contracts.get(query)
        except DatabaseUnavailable as error:
            output.message(f"{error}: this is the statement as the file alone tells it")
            return _offline(database, settings, query)


def _offline(database: Database, settings: Settings, query: Query) -> Contract:
    parameters = tuple(replace(parameter, type=parameter.type or UNTYPED) for parameter in query.parameters)
    validator = compile_validator(
        query,
        parameters,
        database.engine.binder,
        page_rows_max=settings.page_rows_max,
        big_numbers_as_text=settings.big_numbers == "string",
    )
    program = database.engine.compile(query)
    timeout = query.timeout_seconds or settings.statement_timeout_seconds
    limits = (settings.page_rows, settings.page_rows_max, settings.page_bytes_max)
    return Contract(query, parameters, (), program, validator, timeout, *limits)


def _values(contract: Contract, given: session.Given, settings: Settings) -> dict[str, Any] | None:
    """Bound values by name (of a bulk call the first item's); None when none were given although some are needed."""
    names = [parameter.name for parameter in contract.parameters]
    if contract.query.cardinality is Cardinality.BULK:
        items = given.items(contract, settings.bulk_items_max) if given.anything else []
        return dict(zip(names, items[0], strict=True)) if items else None
    if not given.anything and any(parameter.required for parameter in contract.parameters):
        return None
    return dict(zip(names, given.call(contract).values, strict=True))


def _record(contract: Contract, values: dict[str, Any] | None) -> dict[str, Any]:
    records = []
    for number, name in enumerate(contract.program.order, 1):
        record = {"placeholder": number, "name": name, "type": _type(contract, name)}
        if values is not None:
            record["value"] = _plain(values[name])
        records.append(record)
    return {"name": contract.query.name, "sql": contract.program.sql, "values": records}


def _write_values(contract: Contract, values: dict[str, Any] | None) -> None:
    headings = ["placeholder", "parameter", "type"]
    rows: list[list[str | None]] = [
        [str(number), name, _type(contract, name) or "any"] for number, name in enumerate(contract.program.order, 1)
    ]
    if values is None:
        needed = [parameter.name for parameter in contract.parameters if parameter.required]
        output.table(headings, rows)
        output.note(f"no values given; it needs {', '.join(needed)}")
        return
    for row, name in zip(rows, contract.program.order, strict=True):
        row.append(None if values[name] is None else dump_json(_plain(values[name])))
    output.table([*headings, "value"], rows)


def _type(contract: Contract, name: str) -> str | None:
    parameter = next(parameter for parameter in contract.parameters if parameter.name == name)
    return type_name(parameter)


def _plain(value: Any) -> Any:
    """A bound value as JSON can say it; what has no such form is its text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return value if value.is_finite() else str(value)
    return value if value is None or isinstance(value, str | int) else str(value)
