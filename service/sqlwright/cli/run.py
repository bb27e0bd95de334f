"""Call one query and print its result: every row, with the same validation as over HTTP.

  sqlwright run artists.albums artist_id=1
  echo '{"artist_id": 1}' | sqlwright run artists.albums --params -
  sqlwright run tracks.load --params tracks.ndjson

Without --format a terminal gets a table, everything else JSON. CSV writes values as they are: a spreadsheet may take a
cell that begins with = + - or @ for a formula.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from sqlwright.cli import formats, options, output, session
from sqlwright.config import Settings
from sqlwright.contract import Contract
from sqlwright.execute import execute
from sqlwright.plan import Plan, make_bulk_plan, make_plan, make_script_plan
from sqlwright.query import Cardinality, Query


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("--format", choices=formats.FORMATS, help="table in a terminal, else json")


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    query = session.find_query(settings, options.dialect_of(settings), arguments.name)
    given = session.read_given(arguments, query, settings)
    format = arguments.format or ("table" if output.someone_looks(sys.stdout) else "json")
    asyncio.run(_call(settings, query, given, format))
    return 0


async def _call(settings: Settings, query: Query, given: session.Given, format: str) -> None:
    async with session.open_database(settings) as (database, contracts):
        contract = await contracts.get(query)
        plan = _plan(contract, given, settings)
        formats.write(plan, await execute(database, plan), format)


def _plan(contract: Contract, given: session.Given, settings: Settings) -> Plan:
    cardinality = contract.query.cardinality
    if cardinality is Cardinality.BULK:
        return make_bulk_plan(contract, given.items(contract, settings.bulk_items_max))
    call = given.call(contract)
    return make_script_plan(contract) if cardinality is Cardinality.SCRIPT else make_plan(contract, call, paged=False)
