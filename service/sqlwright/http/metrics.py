"""/metrics: what the calls took, for Prometheus, added up over the workers of this service.

    sqlwright_query_calls_total{query}              calls, the refused and the failed among them
    sqlwright_query_errors_total{query,code}        those that were not answered with a success, by code
    sqlwright_query_rows_total{query}               rows given or changed
    sqlwright_query_duration_seconds{query}         histogram: from the request to its answer
    sqlwright_query_wait_seconds_total{query}       waiting for a connection
    sqlwright_query_database_seconds_total{query}   in the database
    sqlwright_pool_wait_seconds{pool}               histogram: waiting for a connection
    sqlwright_pool_size, _idle, _waiting {pool}     connections, those of them that are free, calls that wait for one
    sqlwright_requests_in_flight, sqlwright_workers

`query` is the name of a query that is loaded, `tables.<table>.<operation>`, or `transaction`: never anything that a
caller made up. Nobody is asked who they are here, as nowhere in this service; the guard's Host and Origin checks hold.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sqlwright.engines.connector import PoolStatus
from sqlwright.http.exchange import Exchange
from sqlwright.http.problems import STATUSES
from sqlwright.http.responses import Answer
from sqlwright.query import Access
from sqlwright.tuning.statistics import Calls, Histogram, PoolGauge, Statistics, Totals, cumulated

METRICS_PATH = "/metrics"
POOLS_LOOK_SECONDS = 1.0
"""How old the pools of another worker may be."""
CANCELLED, OTHER = "cancelled", "other"
_CODES = frozenset({kind.code for kind in STATUSES} | {CANCELLED})

PoolStatuses = Callable[[], Mapping[str, list[PoolStatus]]]


class Metrics(Collector):
    """Counts the calls of one application; collects those of all workers that share its folder."""

    def __init__(self, pools: PoolStatuses, folder: Path | None = None) -> None:
        self._statistics = Statistics(folder)
        self._pools = pools
        self._registry = CollectorRegistry()  # one for each application: a process may have several
        self._registry.register(self)
        self._rendering = asyncio.Lock()
        self._counting = threading.Lock()
        """Calls end on more threads than one."""

    def begin(self) -> None:
        with self._counting:
            self._statistics.begin()

    def end(self, exchange: Exchange, seconds: float) -> None:
        """Count a request that has been answered, failed or was given up."""
        with self._counting:
            self._statistics.end()
            self._count(exchange, seconds)

    def leave(self) -> None:
        """A request is counted by others, or by `count`."""
        with self._counting:
            self._statistics.end()

    def count(self, exchange: Exchange, seconds: float) -> None:
        """One that did not begin, or has left."""
        with self._counting:
            self._count(exchange, seconds)

    def _count(self, exchange: Exchange, seconds: float) -> None:
        statistics = self._statistics
        if exchange.query is None:
            return
        code = exchange.code
        if code is None:
            code = None if exchange.status else CANCELLED
        elif code not in _CODES:
            code = OTHER
        statistics.call(
            exchange.query,
            seconds,
            rows=exchange.rows or 0,
            waited_seconds=exchange.waited_seconds,
            database_seconds=exchange.database_seconds,
            together=exchange.together if exchange.executing else 0,
            code=code,
        )
        if exchange.executing and exchange.pooled:
            statistics.waited("reader" if exchange.access is Access.READ else "writer", exchange.waited_seconds)

    async def follow_pools(self) -> None:
        """Keep what the other workers show of our pools fresh."""
        while True:
            self._look_at_pools()
            await asyncio.sleep(POOLS_LOOK_SECONDS)

    def _look_at_pools(self) -> None:
        for group, pools in self._pools().items():
            for number, pool in enumerate(pools, 1):
                name = group if len(pools) == 1 else f"{group}{number}"
                with self._counting:
                    self._statistics.pool(name, PoolGauge(pool.size, pool.idle, pool.waiting))

    async def answer(self, accept: str) -> Answer:
        """In OpenMetrics where that is accepted, else in Prometheus's text."""
        encode, content_type = choose_encoder(accept)
        self._look_at_pools()
        async with self._rendering:  # with thousands of queries this is work
            body = await asyncio.to_thread(encode, self._registry)
        return Answer(200, body, [(b"content-type", content_type.encode("latin-1"))])

    def describe(self) -> Iterator[Metric]:
        """Nothing is collected only to be registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        totals = self._statistics.totals()
        yield from _counters(totals.calls)
        yield _histogram(
            "sqlwright_query_duration_seconds",
            "Duration of calls, from the request to its answer.",
            "query",
            {name: calls.durations for name, calls in totals.calls.items()},
        )
        yield _histogram("sqlwright_pool_wait_seconds", "Waiting for a connection of the pool.", "pool", totals.waits)
        yield from _gauges(totals)

    def close(self) -> None:
        self._statistics.close()


_COUNTERS: tuple[tuple[str, str, Callable[[Calls], float]], ...] = (
    ("sqlwright_query_calls", "Calls, failed ones among them.", lambda calls: calls.durations.count),
    ("sqlwright_query_rows", "Rows given or changed.", lambda calls: calls.rows),
    ("sqlwright_query_wait_seconds", "Waiting for a connection.", lambda calls: calls.waited_seconds),
    ("sqlwright_query_database_seconds", "Time in the database.", lambda calls: calls.database_seconds),
    ("sqlwright_query_batched_calls", "Calls that ran in one statement with others.", lambda calls: calls.batched),
    ("sqlwright_query_statements", "Statements that calls ran in.", lambda calls: calls.statements),
)

_POOL_GAUGES: tuple[tuple[str, str, Callable[[PoolGauge], int]], ...] = (
    ("sqlwright_pool_size", "Connections, in whatever state.", lambda pool: pool.size),
    ("sqlwright_pool_idle", "Connections that are free.", lambda pool: pool.idle),
    ("sqlwright_pool_waiting", "Calls that wait for a connection.", lambda pool: pool.waiting),
)


def _counters(calls: Mapping[str, Calls]) -> Iterator[Metric]:
    for name, about, value in _COUNTERS:
        family = CounterMetricFamily(name, about, labels=["query"])
        for query, those in calls.items():
            family.add_metric([query], value(those))
        yield family
    errors = CounterMetricFamily("sqlwright_query_errors", "Calls that failed, by code.", labels=["query", "code"])
    for query, those in calls.items():
        for code, count in those.errors.items():
            errors.add_metric([query, code], count)
    yield errors


def _histogram(name: str, about: str, label: str, found: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=[label])
    for key, histogram in found.items():
        buckets = [(_bound(bound), count) for bound, count in cumulated(histogram).items()]
        family.add_metric([key], buckets, histogram.seconds)
    return family


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else str(seconds)


def _gauges(totals: Totals) -> Iterator[Metric]:
    for name, about, value in _POOL_GAUGES:
        family = GaugeMetricFamily(name, about, labels=["pool"])
        for pool, gauge in totals.pools.items():
            family.add_metric([pool], value(gauge))
        yield family
    yield GaugeMetricFamily("sqlwright_requests_in_flight", "Requests being answered.", totals.requests)
    yield GaugeMetricFamily("sqlwright_workers", "Processes that serve.", totals.workers)
