"""Show how the database would run a call: the plan of the statement as the file has it, for these values.

  sqlwright explain artists.albums artist_id=1
  sqlwright explain artists.rename artist_id=1 name=Other --analyze

--analyze runs it, also one that writes, and rolls it back. A query whose rows come in pages over HTTP is planned for
all of its rows here.
"""

from __future__ import annotations

import argparse
import asyncio

from sqlwright.cli import options, output, session
from sqlwright.config import Settings
from sqlwright.contract import Contract
from sqlwright.errors import SqlwrightError
from sqlwright.parameters.json_body import dump_json
from sqlwright.plan import Plan, make_bulk_plan, make_plan, make_script_plan
from sqlwright.query import Access, Cardinality, Explanation, Query
from sqlwright.tuning.plans import explain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("--analyze", action="store_true", help="run it and show what really happened; rolled back")
    parser.add_argument("--json", action="store_true", help="for programs: {name, analyzed, plan}")


def run(arguments: argparse.Namespace) -> int:
    settings = options.settings_of(arguments)
    query = session.find_query(settings, options.dialect_of(settings), arguments.name)
    given = session.read_given(arguments, query, settings)
    explanation = asyncio.run(_explain(settings, query, given, analyze=arguments.analyze))
    if arguments.json:
        record = {"name": query.name, "analyzed": explanation.analyzed, "plan": explanation.plan}
        output.raw(dump_json(record).encode() + b"\n")
        return 0
    for line in explanation.text.splitlines():
        print(output.printable(line))
    if explanation.analyzed and query.access is not Access.READ:
        output.note("(it ran, and was rolled back)")
    if query.is_paged and not query.statement.has_limit:
        output.note("(the plan for all rows: a page over HTTP asks for fewer)")
    return 0


async def _explain(settings: Settings, query: Query, given: session.Given, *, analyze: bool) -> Explanation:
    async with session.open_database(settings) as (database, contracts):
        contract = await contracts.get(query)
        return await explain(database, _plan(contract, given, settings), analyze=analyze)


def _plan(contract: Contract, given: session.Given, settings: Settings) -> Plan:
    cardinality = contract.query.cardinality
    if cardinality is Cardinality.SCRIPT:
        return make_script_plan(contract)
    if cardinality is Cardinality.BULK:
        items = given.items(contract, settings.bulk_items_max)
        if not items:
            raise SqlwrightError(
                f"{contract.query.name} is a bulk query: there is a plan for an item, and none is given"
            )
        return make_bulk_plan(contract, items[:1])
    return make_plan(contract, given.call(contract), paged=False)
