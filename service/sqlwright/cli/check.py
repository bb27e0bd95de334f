"""Check every query against the live database: whether it takes the statement, and which types go in and come out.

Every wrong file and every refused statement is told, and none hides the others. A warning does not fail the check.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable
from typing import Any

from sqlwright.cli import options, output, session
from sqlwright.cli.progress import progress
from sqlwright.config import Settings
from sqlwright.contract import Contract, Contracts
from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import DatabaseUnavailable, QueryInvalid, SqlwrightError
from sqlwright.query import Query
from sqlwright.sql.loader import Loaded, load_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_common(parser)
    parser.add_argument("--json", action="store_true", help="for programs: {ok, queries, diagnostics}")


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    options.check_folder(settings)
    loaded = load_folder(settings.queries, options.dialect_of(settings))
    contracts, found, away = asyncio.run(_describe(settings, loaded))
    diagnostics = sorted((*loaded.diagnostics, *found), key=lambda d: (d.file, d.line, d.column))
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    if arguments.json:
        ok = not errors and away is None
        queries = [_query_record(query, contracts.get(query.name)) for query in loaded.queries]
        records = [_diagnostic_record(diagnostic) for diagnostic in diagnostics]
        output.json_result({"ok": ok, "queries": queries, "diagnostics": records})
    else:
        output.diagnostics(diagnostics, sys.stdout)
        print(_summary(len(contracts), errors, len(diagnostics) - errors))
    if away is not None:
        raise away
    return 1 if errors else 0


async def _describe(
    settings: Settings, loaded: Loaded
) -> tuple[dict[str, Contract], list[Diagnostic], DatabaseUnavailable | None]:
    """Contracts by query name, what the database or the query's use is to be blamed for, and whether it is away."""
    described: dict[str, Contract] = {}
    found: list[Diagnostic] = []
    async with session.open_database(settings) as (_, contracts), progress("checking") as advance:
        for number, query in enumerate(loaded.queries):
            advance(query.name, number, len(loaded.queries))
            try:
                contract = await _contract(contracts, query)
            except DatabaseUnavailable as error:
                return described, found, error
            except QueryInvalid as error:
                found.append(error.diagnostic or query.source.diagnostic(error.code, query.offset, str(error)))
            except SqlwrightError as error:
                found.append(query.source.diagnostic(error.code, query.offset, str(error), error.hint))
            else:
                described[query.name] = contract
                found.extend(_warnings(contract))
    return described, found, None


async def _contract(contracts: Contracts, query: Query) -> Contract:
    try:
        return await contracts.get(query)
    except DatabaseUnavailable:
        # The connection may have been lost by this statement alone: ask once more before giving the database up.
        return await contracts.get(query)


def _warnings(contract: Contract) -> Iterable[Diagnostic]:
    query = contract.query
    for parameter in contract.parameters:
        if session.type_name(parameter) is None:
            yield query.source.diagnostic(
                "unknown_type",
                parameter.offset,
                f"nothing tells the type of {parameter.name}: a query string gives text, JSON its own type",
                f"write `-- @param {parameter.name} TYPE` in the header",
                length=len(parameter.name) + 1,
                severity="warning",
            )
    if query.is_paged and not query.statement.has_order_by and not query.statement.has_limit:
        yield query.source.diagnostic(
            "unordered_pages",
            query.offset,
            f"{query.name} has no ORDER BY, so its pages follow no order that means something",
            "end the statement with ORDER BY",
            severity="warning",
        )


def _summary(right: int, errors: int, warnings: int) -> str:
    def count(number: int, one: str, many: str) -> str:
        return f"{number} {one if number == 1 else many}"

    queries = count(right, "query is", "queries are")
    return f"{queries} right, {count(errors, 'error', 'errors')}, {count(warnings, 'warning', 'warnings')}"


def _query_record(query: Query, contract: Contract | None) -> dict[str, Any]:
    parameters = contract.parameters if contract is not None else query.parameters
    return {
        "name": query.name,
        "parameters": [
            {"name": p.name, "type": session.type_name(p), "nullable": p.nullable, "required": p.required}
            for p in parameters
        ],
        "columns": [
            {"name": c.name, "type": None if c.type is None else str(c.type), "nullable": c.nullable}
            for c in (contract.columns if contract is not None else ())
        ],
    }


def _diagnostic_record(diagnostic: Diagnostic) -> dict[str, Any]:
    keys = ("severity", "file", "line", "column", "code", "message", "hint")
    return {key: getattr(diagnostic, key) for key in keys}
