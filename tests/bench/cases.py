"""What is measured: one kind of call each, the same paths and bodies for every service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

ROWS = 100_000
"""Of the table `item`; every call asks for another key."""
KEYS = ROWS - 1_200
MANY = 1_000
"""Different queries, called in turn."""
EVERY = ("postgresql", "sqlite", "mysql")

_ECHOED = [{"id": n, "name": f"item {n}", "price": n * 1.25, "active": n % 2 == 0} for n in range(10)]
_TWENTY = "&".join(f"{name}={number}" for number, name in enumerate("abcdefghijklmnopqrst"))
_LARGE = json.dumps({"body": "x" * 100_000})


def _items(count: int) -> str:
    return json.dumps([{"name": f"item {n}", "price": n / 4} for n in range(count)])


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    path: str
    """Each `%d` is a key, another one for every call."""
    body: str = ""
    """Of a POST; `%d` as in the path."""
    accept: str = ""
    in_turn: int = 0
    """Instead of a random key: one after the other, so many, and again."""
    keys_from: int = 0
    """The first of them."""
    engines: tuple[str, ...] = EVERY
    queries: int = 0
    """How many other queries are loaded beside (sqlwright only)."""
    once: bool = False
    """One long call is a measurement."""
    keys_a_call: int = 1
    """Of ours: the figures are those of a key."""
    peers_call: str = ""
    """Name of the case that the others run instead: they have no call for so many keys."""

    @property
    def sample(self) -> tuple[str, str]:
        """Path and body of one call, to see whether the service answers."""
        return self.path.replace("%d", "1"), self.body.replace("%d", "1")

    @cached_property
    def folder(self) -> tuple[int, bool]:
        """Cases that are equal here share a folder of query files."""
        return self.queries, self.path.startswith("/queries/many")


CASES = [
    Case("by_key", "one row by its key", "/queries/items/by_key?id=%d"),
    Case("page_100", "100 rows of 7 columns", "/queries/items/page?rows=100&first=%d"),
    Case("thousand", "1,000 different queries in turn", "/queries/many/q%d?id=77", in_turn=MANY),
    Case("loaded_10", "by key, 10 queries loaded", "/queries/items/by_key?id=%d"),
    Case("loaded_10000", "by key, 10,000 queries loaded", "/queries/items/by_key?id=%d", queries=9_900),
    Case("wide_1", "1 row of 23 types", "/queries/items/wide?rows=1&first=%d"),
    Case("wide_10", "10 rows of 23 types", "/queries/items/wide?rows=10&first=%d"),
    Case("wide_100", "100 rows of 23 types", "/queries/items/wide?rows=100&first=%d"),
    Case("minimal", "a minimal answer", "/queries/items/minimal"),
    Case("twenty", "20 parameters", f"/queries/items/twenty?{_TWENTY}"),
    Case("echo", "POST that echoes 10 rows", "/queries/items/echo", body=json.dumps({"rows": _ECHOED})),
    Case("nested", "nested JSON", "/queries/items/nested?id=%d", in_turn=9_000, keys_from=1),
    Case("large", "a body of 100 KB", "/queries/items/large", body=_LARGE),
    Case("bulk", "100 rows in one call", "/queries/items/add", body=_items(100)),
    Case(
        "array_20",
        "20 keys, one call against 20",
        "/queries/items/by_key",
        body="[" + ", ".join(['{"id": %d}'] * 20) + "]",
        keys_a_call=20,
        peers_call="by_key",
    ),
    Case("bulk_100000", "100,000 rows in one call", "/queries/items/add", body=_items(100_000), once=True),
    Case(
        "stream_1000000",
        "1,000,000 rows as NDJSON",
        "/queries/items/export",
        accept="application/x-ndjson",
        once=True,
    ),
]

BY_NAME = {case.name: case for case in CASES}
SHAPES = ("minimal", "twenty", "echo", "nested", "wide_1", "wide_10", "wide_100", "large")
"""The scenarios of a well-known comparison of such services."""
DEFAULT = ("by_key", "page_100", *SHAPES)


def script(case: Case) -> str:
    """The case for wrk, in Lua: every call made anew, with another key."""
    key = f"n % {case.in_turn} + {case.keys_from}" if case.in_turn else f"math.random(1, {KEYS})"
    headers = {"Content-Type": "application/json"} if case.body else {}
    if case.accept:
        headers["Accept"] = case.accept
    return f"""
n = 0
local function key() return {key} end
local function made(text) return (string.gsub(text, '%%d', key)) end
local path, body = [[{case.path}]], [==[{case.body}]==]
local headers = {{ {", ".join(f"['{name}'] = '{value}'" for name, value in headers.items())} }}
local makes_path, makes_body = string.find(path, '%d', 1, true), string.find(body, '%d', 1, true)
request = function()
  n = n + 1
  return wrk.format('{"POST" if case.body else "GET"}', makes_path and made(path) or path, headers,
                    makes_body and made(body) or body)
end
"""
