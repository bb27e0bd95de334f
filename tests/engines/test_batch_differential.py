"""Several calls together give byte for byte what each gives alone: random tables, values, queries and windows.

Where one of them fails alone, all may fail together, and nothing else may make them fail.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sqlwright.contract import Contract
from sqlwright.errors import QueryInvalid, SqlwrightError
from sqlwright.execute import execute
from sqlwright.parameters.json_body import parse_json
from sqlwright.plan import make_bulk_plan
from sqlwright.query import UNBOUNDED, Access, Cardinality, Result, Window
from workbench import Bench

CASES = Path(__file__).parents[1] / "cases"
OpenBench = Callable[..., Awaitable[Bench]]
ROWS = 25
ITEMS = 7
SEEDS = range(10)
NULLS = 0.12
_TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a {a}, b {b}, k int);\n"
_VIEW = "CREATE VIEW few AS SELECT * FROM t WHERE k < 4;\n"
BEFORE = {
    "postgresql": "CREATE TYPE mood AS ENUM ('sad', 'o''k', 'é');\nCREATE DOMAIN positive AS int CHECK (value > 0);\n"
    "CREATE FUNCTION doubled(n bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT n * 2';\n" + _TABLE + _VIEW,
    "sqlite": _TABLE + _VIEW,
}
UNORDERED = ("json", "point", "JSON")
"""Types that cannot be compared, or whose equals differ."""


@dataclass(frozen=True)
class Type:
    name: str
    values: tuple[str, ...]
    """As JSON."""

    @property
    def is_ordered(self) -> bool:
        return not self.name.startswith(UNORDERED)


def types_of(engine: str) -> list[Type]:
    cases = json.loads((CASES / f"values_{engine}.json").read_text(encoding="utf-8"))
    return [Type(case["type"], tuple(value[0] for value in case["values"])) for case in cases]


SHAPES = json.loads((CASES / "batch_queries.json").read_text(encoding="utf-8"))
"""Queries, `{A}` and `{B}` for the types of `a` and `b`, and what parameters take: such a value, or a number."""
SMALL = (0, 1, 2, 3, 5, 30)


class Draw:
    """One random table, and values that fit it."""

    def __init__(self, engine: str, seed: int) -> None:
        self.engine = engine
        self.rng = random.Random(seed)
        self.a, self.b = self.rng.sample(types_of(engine), 2)

    def value(self, takes: str | list[Any]) -> str:
        """As JSON, never null: whether a parameter takes that is not the matter here."""
        if isinstance(takes, list):
            return json.dumps(self.rng.choice(takes))
        return self.rng.choice({"a": self.a.values, "b": self.b.values, "small": SMALL}[takes]).__str__()

    def items(self, contract: Contract, takes: dict[str, Any], count: int) -> list[list[Any]]:
        """Bound values, some of them null."""
        found = []
        for _ in range(count):
            body = ",".join(f'"{name}":{self.value(taken)}' for name, taken in takes.items())
            values = contract.validator.from_json(parse_json(b"{%b}" % body.encode(), 64)).values
            found.append([None if self.rng.random() < NULLS else value for value in values])
        return found

    def queries(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        for number, shape in enumerate(SHAPES):
            compared = not shape.get("compares") or (self.a.is_ordered and self.b.is_ordered)
            if compared and shape.get("engine", self.engine) == self.engine:
                sql = shape["sql"].replace("{A}", self.a.name).replace("{B}", self.b.name)
                name = f"q{number}"
                yield name, shape, f"-- name: {name}{shape['head']}\n{sql};\n"


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.mark.parametrize("seed", SEEDS)
async def test_calls_together_give_what_each_gives_alone(url: str, open_bench: OpenBench, seed: int) -> None:
    draw = Draw(url.partition(":")[0], seed)
    bench = await open_bench(url)
    await fill(bench, draw)
    queries = list(draw.queries())
    bench.write({f"{name}.sql": text for name, _, text in queries})
    together = 0
    for name, shape, _ in queries:
        try:
            contract = await bench.contracts.get(bench.registry[name])
        except QueryInvalid:
            continue  # not for these types
        items = draw.items(contract, shape["takes"], ITEMS)
        together += await compare(bench, contract, items, draw.rng)
    assert together >= len(queries) // 2
    await bench.assert_whole()


async def fill(bench: Bench, draw: Draw) -> None:
    parts = BEFORE[draw.engine].format(a=draw.a.name, b=draw.b.name)
    index = "CREATE INDEX of_k ON t (k, id);" if draw.rng.random() < 0.5 else ""
    put = "INSERT INTO t (id, a, b, k) VALUES (:id, :a, :b, :k);"
    bench.write({"make.sql": f"-- name: make#\n{parts}{index}\n"})
    await bench.result("make")
    bench.write({"make.sql": f"-- name: put*!\n{put}"})
    contract = await bench.contracts.get(bench.registry["put"])
    takes = {"id": [0], "a": "a", "b": "b", "k": [0, 1, 2, 3, 4]}
    items = draw.items(contract, takes, ROWS)
    for number, item in enumerate(items, 1):
        item[0] = number
    await execute(bench.database, make_bulk_plan(contract, items))


async def compare(bench: Bench, contract: Contract, items: list[list[Any]], rng: random.Random) -> bool:
    """Whether the items ran as one statement."""
    engine, query, program = bench.database.engine, contract.query, contract.program
    window = None
    if query.cardinality is Cardinality.MANY and rng.random() < 0.8:
        offset = 0 if query.statement.has_limit else rng.choice((0, 0, 2))
        window = Window(rng.choice((1, 3, 100)), offset, rng.choice((UNBOUNDED, UNBOUNDED, 40, 400)))
    key = engine.batch_key(program, items[0], window)
    items = [item for item in items if engine.batch_key(program, item, window) == key]
    async with bench.database.lease(Access.READ) as lease:
        alone = [await outcome(engine.run(lease, program, item, window=window, timeout_seconds=9)) for item in items]
    async with bench.database.lease(Access.READ) as lease:
        together = await outcome(engine.run_many(lease, program, items, window=window, timeout_seconds=9))
    if isinstance(together, SqlwrightError):
        assert any(isinstance(one, SqlwrightError) for one in alone), (program.many, items, together)
    else:
        assert told(alone) == told(together), (program.many, items, window)
    return bool(program.many)


async def outcome(run: Awaitable[Any]) -> Any:
    try:
        return await run
    except SqlwrightError as error:
        return error


def told(results: list[Any]) -> list[Any]:
    return [(r.json, r.count, r.more) if isinstance(r, Result) else type(r) for r in results]
