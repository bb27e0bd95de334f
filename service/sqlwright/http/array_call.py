"""POST /queries/… with an array of parameter objects: a query that reads, once for each."""

from __future__ import annotations

from collections.abc import Sequence

from sqlwright.array_call import execute_array, make_array_plans
from sqlwright.contract import Contract
from sqlwright.http.calls import beside, refuse_query_string
from sqlwright.http.exchange import Exchange
from sqlwright.http.responses import Answer, timed
from sqlwright.http.service import Service


async def call_array(
    service: Service, exchange: Exchange, contract: Contract, items: Sequence[object], size: int
) -> Answer:
    """`size` is that of the body, in bytes."""
    refuse_query_string(exchange.query_string, "an array call has its parameters and pages in its items")
    plans = await beside(size, make_array_plans, contract, items, service.settings.array_items_max)
    exchange.executing = True
    result = await execute_array(service.database, plans, exchange)
    return timed(exchange, result.json, result, 0.0)
