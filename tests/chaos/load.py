"""The callers: each does one thing after another, chosen by its own seeded dice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from chaos import shop
from chaos.client import Answer
from chaos.ledger import Fate, Ledger
from chaos.tally import Caller, Tally

PAUSE_SECONDS = 0.02
"""After a call that a fault spoiled: who is refused does not hammer."""
PAGES = (
    ("/queries/songs/all?limit=100", "pages of a query"),
    ("/queries/songs/all", "pages of a query"),
    ("/tables/song?sort=-title&limit=97", "pages of a table"),
)
BAD_CALLS: tuple[tuple[str, str, object, int], ...] = (
    ("GET", "/queries/songs/get?song_id=x", None, 422),
    ("GET", "/queries/songs/get?song=1", None, 422),
    ("GET", "/queries/songs/nobody", None, 404),
    ("GET", "/queries/entries/add?ref=1", None, 405),
    ("GET", "/queries/songs/all?next=zzzz", None, 400),
    ("POST", "/queries/entries/add", b"{", 400),
    ("POST", "/queries/entries/add", b'{"ref": NaN}', 400),
    ("POST", "/queries/entries/add", {"ref": "1'; DROP TABLE entry; --"}, 422),
    ("POST", "/queries/entries/add", {"ref": 2**70}, 422),
    ("POST", "/transaction", {"steps": [{"query": "entries.nothing"}]}, 404),
    ("GET", "/tables/song?colour=red", None, 422),
    ("PATCH", "/tables/song/x", {"title": "y"}, 422),
)


class Load:
    """`run` until `end`, or until all callers together have made `calls_max` calls since the first."""

    def __init__(self, port: int, seed: int, *, callers: int = 24) -> None:
        self.ledger = Ledger()
        self.tally = Tally()
        self.walks = 0
        self.calls_max: int | None = None
        self._ends = False
        self._callers = [_Busy(self, port, random.Random(f"{seed} {number}")) for number in range(callers)]

    @property
    def over(self) -> bool:
        return self._ends or (self.calls_max is not None and self.tally.calls >= self.calls_max)

    def end(self) -> None:
        self._ends = True

    async def run(self) -> None:
        self._ends = False
        await asyncio.gather(*(caller.run() for caller in self._callers))

    def close(self) -> None:
        for caller in self._callers:
            caller.connection.abort()


class _Busy(Caller):
    def __init__(self, load: Load, port: int, dice: random.Random) -> None:
        super().__init__(port, load.tally)
        self._load = load
        self._ledger = load.ledger
        self._dice = dice
        self._seen: list[int] = []
        """Ids that this caller wrote, to read back."""

    async def run(self) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.read, self.read_back, self.walk, self.bad, self.add,
            self.put, self.bulk, self.transaction, self.fail, self.row,
        ]  # fmt: skip
        while not self._load.over:
            (kind,) = self._dice.choices(kinds, (8, 6, 1, 4, 4, 4, 3, 4, 3, 3))
            await kind()

    async def call(
        self, kind: str, method: str, path: str, body: object = None, *, expected: tuple[int, ...] = (200,)
    ) -> tuple[Fate, Answer | None]:
        fate, answer = await super().call(kind, method, path, body, expected=expected)
        if answer is None or answer.status not in expected:
            await asyncio.sleep(PAUSE_SECONDS * self._dice.uniform(0.5, 2))
        return fate, answer

    async def read(self) -> None:
        song = self._dice.randint(1, shop.SONGS)
        fate, answer = await self.call("read", "GET", f"/queries/songs/get?song_id={song}")
        if fate is Fate.ACKNOWLEDGED and answer is not None:
            self._expect("read", answer.json(), {"song_id": song, "title": shop.title(song)})

    async def read_back(self) -> None:
        if not self._seen:
            return await self.read()
        ref = self._dice.choice(self._seen)
        fate, answer = await self.call("read back", "GET", f"/queries/entries/get?ref={ref}")
        if fate is Fate.ACKNOWLEDGED and answer is not None:
            versions = [row["version"] for row in answer.json()["data"]]
            if not self._ledger.known(ref, versions):
                self.tally.complain(f"read back: versions {versions} of one that should be another")
        return None

    async def walk(self) -> None:
        """All pages of what nobody changes; a page that a fault spoiled is asked for again."""
        path, kind = self._dice.choice(PAGES)
        first, ids = path, []
        while path:
            fate, answer = await self.call(kind, "GET", path)
            if self._load._ends:
                return
            if fate is not Fate.ACKNOWLEDGED or answer is None:
                continue
            page = answer.json()
            ids += [row["song_id"] for row in page["data"]]
            joint = "&" if "?" in first else "?"
            path = f"{first}{joint}next={page['next']}" if page["next"] else ""
        self._load.walks += 1
        self._expect(kind, sorted(ids), list(range(1, shop.SONGS + 1)))

    async def bad(self) -> None:
        method, path, body, status = self._dice.choice(BAD_CALLS)
        self.tally.bad_inputs += 1
        await self.call("bad input", method, path, body, expected=(status,))

    async def add(self) -> None:
        await self._write("exec", "/queries/entries/add", lambda refs: {"ref": refs[0]}, 1, {"affected": 1})

    async def put(self) -> None:
        await self._write("returning", "/queries/entries/put", lambda refs: {"ref": refs[0]}, 1)

    async def bulk(self) -> None:
        count = self._dice.randint(2, 8)
        await self._write(
            "bulk", "/queries/entries/add_many", lambda refs: [{"ref": ref} for ref in refs], count, {"affected": count}
        )

    async def transaction(self) -> None:
        count = self._dice.randint(2, 5)
        await self._write("transaction", "/transaction", lambda refs: {"steps": [*map(shop.step, refs)]}, count)

    async def fail(self) -> None:
        """The last one breaks a CHECK: nothing of all may stay."""
        refs = self._ledger.refs(self._dice.randint(2, 5))
        if self._dice.random() < 0.5:
            kind, path = "failing bulk", "/queries/entries/add_many"
            body: object = [{"ref": ref} for ref in (*refs, -1)]
        else:
            kind, path, body = "failing transaction", "/transaction", {"steps": [*map(shop.step, (*refs, -1))]}
        fate, _ = await self.call(kind, "POST", path, body, expected=(422,))
        self._ledger.settle(refs, fate)

    async def row(self) -> None:
        """POST, some PATCH, and maybe DELETE of one row, until one of them is not acknowledged."""
        refs = self._ledger.refs(1)
        body: dict[str, Any] = {"ref": refs[0], "version": 1}
        fate, answer = await self.call("table row", "POST", "/tables/entry", body, expected=(201,))
        self._ledger.settle(refs, fate)
        if fate is not Fate.ACKNOWLEDGED or answer is None:
            return
        path = f"/tables/entry/{answer.json()['entry_id']}"
        version = 1
        for _ in range(self._dice.randint(0, 2)):
            fate, _ = await self.call("table row", "PATCH", path, {"version": version + 1})
            self._ledger.settle(refs, fate, before=version, after=version + 1)
            if fate is not Fate.ACKNOWLEDGED:
                return
            version += 1
        if self._dice.random() < 0.3:
            fate, _ = await self.call("table row", "DELETE", path, expected=(204,))
            self._ledger.settle(refs, fate, before=version, after=0)
        self._remember(refs)

    async def _write(
        self, kind: str, path: str, body: Callable[[tuple[int, ...]], object], count: int, expected: object = None
    ) -> None:
        refs = self._ledger.refs(count)
        fate, answer = await self.call(kind, "POST", path, body(refs))
        self._ledger.settle(refs, fate)
        if fate is Fate.ACKNOWLEDGED and answer is not None:
            self._remember(refs)
            if expected is not None:
                self._expect(kind, answer.json(), expected)

    def _remember(self, refs: tuple[int, ...]) -> None:
        self._seen = [*self._seen[-50:], *refs]

    def _expect(self, kind: str, given: object, expected: object) -> None:
        if given != expected:
            self.tally.complain(f"{kind}: answered {str(given)[:200]} instead of {str(expected)[:200]}")
