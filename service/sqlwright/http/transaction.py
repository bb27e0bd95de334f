"""POST /transaction: several calls, all or nothing."""

from __future__ import annotations

import asyncio

from sqlwright.contract import Contract
from sqlwright.errors import StatementFailed
from sqlwright.http.calls import beside, check_method, deadline, parse_body, refuse_query_string
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import check_accept
from sqlwright.http.request_body import read_body, too_large
from sqlwright.http.responses import Answer, timed
from sqlwright.http.routes import callable_query
from sqlwright.http.service import Service
from sqlwright.plan import Plan
from sqlwright.query import Access, Cardinality
from sqlwright.steps import Sources, Steps, look_up, plan_steps, read_draft, run_steps

NAME = "transaction"
"""What the log calls it."""


async def call_transaction(service: Service, exchange: Exchange, receive: Receive) -> Answer:
    exchange.query = NAME
    check_method(exchange, ("POST",))
    check_accept(exchange.every(b"accept"))
    async with deadline(exchange, service.settings.request_timeout_seconds) as limit:
        steps = await _prepare(service, exchange, receive)
        exchange.access = Access.READ if steps.read_only else Access.WRITE
        end = limit.when()
    # Past the deadline of the request's own: the transaction's knows whether COMMIT had been sent.
    assert end is not None
    left = end - asyncio.get_running_loop().time()
    exchange.executing = True
    try:
        result = await run_steps(
            service.database,
            steps,
            timeout_seconds=min(left, service.settings.transaction_timeout_seconds),
            spent=exchange,
        )
    except StatementFailed as error:
        work = steps.steps[error.step].work if error.step is not None else None
        if isinstance(work, Plan):  # a table's operation doubts its table by itself
            service.doubt(work.contract.query)
        raise
    return timed(exchange, result.json, result, 0.0)


async def _prepare(service: Service, exchange: Exchange, receive: Receive) -> Steps:
    """Everything that can be refused before a connection is taken."""
    settings, served = service.settings, service.served
    body = await read_body(exchange, receive, max(settings.body_bytes_max, settings.bulk_body_bytes_max))
    exchange.complete = True
    refuse_query_string(exchange.query_string, "a transaction takes all it has to say in its body")
    content = await beside(len(body), parse_body, settings, body)
    draft = await beside(len(body), read_draft, content, settings.transaction_steps_max)
    sources = Sources(lambda name: callable_query(served, name), service.contracts, service.tables)
    grounds, faults = await look_up(draft, sources)
    bulk = any(isinstance(g, Contract) and g.query.cardinality is Cardinality.BULK for g in grounds)
    if len(body) > settings.body_bytes_max and not bulk:  # only bulk steps make a body as large as theirs may be
        raise too_large(settings.body_bytes_max)
    return await beside(len(body), plan_steps, draft, grounds, faults, settings)
