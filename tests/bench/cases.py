"""What is measured: one kind of call each, the same paths and bodies for every service."""

from __future__ import annotations

import json
from dataclasses import dataclass

ROWS = 100_000
"""Of the table `item`; every call asks for another key."""
KEYS = ROWS - 1_200
MANY = 1_000
"""Different queries, called in turn."""

_ECHOED = [{"id": n, "name": f"item {n}", "price": n * 1.25, "active": n % 2 == 0} for n in range(10)]
_TWENTY = "&".join(f"{name}={number}" for number, name in enumerate("abcdefghijklmnopqrst"))
_LARGE = json.dumps({"body": "x" * 100_000})


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    title: str
    path: str
    """`%d` is a key, another one for every call."""
    body: str = ""
    """Of a POST; `%d` as in the path."""
    in_turn: int = 0
    """Instead of a random key: 0, 1, … up to this number, and again."""
    engines: tuple[str, ...] = ("postgresql", "sqlite", "mysql")
    queries: int = 0
    """How many other queries are loaded beside (sqlwright only)."""

    @property
    def sample(self) -> str:
        """The path of one call, to see whether the service answers."""
        return self.path.replace("%d", "1")


CASES = [
    Case("by_key", "one row by its key", "/queries/items/by_key?id=%d"),
    Case("page_100", "100 rows of 7 columns", "/queries/items/page?rows=100&first=%d"),
    Case("thousand", "1,000 different queries in turn", "/queries/many/q%d?id=77", in_turn=MANY),
    Case("loaded_10", "by key, 10 queries loaded", "/queries/items/by_key?id=%d", queries=10),
    Case("loaded_10000", "by key, 10,000 queries loaded", "/queries/items/by_key?id=%d", queries=9_900),
    Case("wide_1", "1 row of 23 types", "/queries/items/wide?rows=1&first=%d"),
    Case("wide_10", "10 rows of 23 types", "/queries/items/wide?rows=10&first=%d"),
    Case("wide_100", "100 rows of 23 types", "/queries/items/wide?rows=100&first=%d"),
    Case("minimal", "a minimal answer", "/queries/items/minimal"),
    Case("twenty", "20 parameters", f"/queries/items/twenty?{_TWENTY}"),
    Case("echo", "POST that echoes 10 rows", "/queries/items/echo", body=json.dumps({"rows": _ECHOED})),
    Case("nested", "nested JSON", "/queries/items/nested?id=%d", in_turn=9_000),
    Case("large", "a body of 100 KB", "/queries/items/large", body=_LARGE),
    Case("bulk", "100 rows in one call", "/queries/items/add", body=json.dumps([{"name": "x", "price": 1.5}] * 100)),
]

BY_NAME = {case.name: case for case in CASES}
DEFAULT = ("by_key", "page_100", "minimal", "twenty", "echo", "nested", "wide_1", "wide_10", "wide_100", "large")


def script(case: Case) -> str:
    """The case for wrk, in Lua: every call made anew, with another key."""
    key = f"n % {case.in_turn}" if case.in_turn else f"math.random(1, {KEYS})"
    path = f"string.gsub([[{case.path}]], '%%d', {key})" if "%d" in case.path else f"[[{case.path}]]"
    if not case.body:
        return f"n = 0\nrequest = function() n = n + 1; return wrk.format('GET', ({path})) end\n"
    return (
        f"headers = {{['Content-Type'] = 'application/json'}}\nbody = [==[{case.body}]==]\n"
        f"request = function() return wrk.format('POST', ({path}), headers, body) end\n"
    )
