"""Values that a column cannot hold, of another type, or under another name: told at once, the database not asked."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asking import Asker, asking

from record_shop import run_script
from reliability import Tally

SEED = 20_261_127
TEXTS = json.loads((Path(__file__).parent.parent / "cases" / "hostile_texts.json").read_text(encoding="utf-8"))
INTEGERS = {
    "sqlite": {"integer": (-(2**63), 2**63 - 1)},
    "postgresql": {
        "smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1),
    },
    "mysql": {
        "tinyint": (-(2**7), 2**7 - 1), "smallint": (-(2**15), 2**15 - 1), "mediumint": (-(2**23), 2**23 - 1),
        "int": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1), "tinyint unsigned": (0, 2**8 - 1),
        "smallint unsigned": (0, 2**16 - 1), "mediumint unsigned": (0, 2**24 - 1), "int unsigned": (0, 2**32 - 1),
        "bigint unsigned": (0, 2**64 - 1),
    },
}  # fmt: skip
"""What the integers of each engine hold."""


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.node.callspec.params["database_url"]
    return name


@pytest.fixture
async def asker(database_url: str, engine: str, tmp_path: Path, tally: Tally) -> AsyncIterator[Asker]:
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(INTEGERS[engine]))
    script = f"CREATE TABLE counts (counts_id integer PRIMARY KEY, {columns});"
    await asyncio.to_thread(asyncio.run, run_script(database_url, script))
    async with asking(database_url, tmp_path, tally) as asker:
        yield asker


@pytest.mark.reliability(2)
async def test_integers(asker: Asker, engine: str) -> None:
    keys = itertools.count(1)
    for number, (low, high) in enumerate(INTEGERS[engine].values()):
        name = f"c{number}"
        for value in (low, low + 1, 0, high - 1, high):
            key = next(keys)
            made = await asker.ask(2, "POST", "/tables/counts", body={"counts_id": key, name: value})
            assert (made.status, made.json[name]) == (201, value)
            assert (await asker.ask(2, "GET", "/tables/counts", f"counts_id={key}&{name}={value}")).json["data"]
        for value in (low - 1, high + 1, -(2**64), 2**64, -(2**127), 2**127, 10**300, -(10**4000)):
            step = {"table": "counts", "create": {"counts_id": 99, name: value}}
            for method, path, query, body in (
                ("POST", "/tables/counts", "", {"counts_id": 99, name: value}),
                ("PATCH", "/tables/counts/1", "", {name: value}),
                ("PUT", "/tables/counts/1", "", {name: value}), ("GET", "/tables/counts", f"{name}={value}", None),
                ("GET", "/tables/counts", f"{name}__in=1&{name}__in={value}", None),
                ("POST", "/transaction", "", {"steps": [step]}),
            ):  # fmt: skip
                answer = await asker.ask(2, method, path, query, body)
                assert answer.status == 422, (name, value, answer.body)
                assert {code for _, code in answer.faults} == {"range"}, answer.body
    for key in ("-9223372036854775809", "9" * 400, "9" * 5000):
        answer = await asker.ask(2, "GET", f"/tables/counts/{key}")
        assert answer.status == 422


@pytest.mark.reliability(2)
async def test_texts(asker: Asker, engine: str) -> None:
    """Half a character nowhere; NUL not in PostgreSQL, and in the others as it was sent."""
    keys = itertools.count(90)
    for escaped in [*TEXTS["lone_surrogates"], "\\u0000", "a\\u0000b", "\\u0000" * 10]:
        word = f'"{escaped}"'
        holds = "u0000" in escaped and engine != "postgresql"
        for method, path, body, good in (
            ("POST", "/queries/notes/write", f'{{"note_id":1,"word":{word},"small":1,"big":1,"day":null}}', 200),
            ("POST", "/queries/notes/by_word", f'{{"word":{word}}}', 200),
            ("POST", "/queries/artists/add_many", f'[{{"artist_id":{next(keys)},"name":{word}}}]', 200),
            ("POST", "/tables/label", f'{{"word":{word}}}', 201),
            ("PATCH", "/tables/note/1", f'{{"word":{word}}}', 200),
            ("POST", "/transaction", f'{{"steps":[{{"table":"note","list":{{"word":{word}}}}}]}}', 200),
            ("POST", "/transaction", f'{{"steps":[{{"query":"notes.by_word","params":{{"word":{word}}}}}]}}', 200),
        ):  # fmt: skip
            answer = await asker.ask(2, method, path, body=body.encode())
            assert answer.status == (good if holds else 422), (path, body, answer.body)
            # Told before a connection is taken, not by the driver or the database.
            assert holds or answer.code == "invalid_parameters", (path, body, answer.body)
        # Names are never anybody's.
        for path, body in (
            ("/queries/notes/by_word", f'{{"word":"a",{word}:1}}'), ("/tables/label", f'{{"word":"a",{word}:1}}'),
            ("/transaction", f'{{"steps":[{{"query":{word}}}]}}'),
            ("/transaction", f'{{"steps":[{{"table":{word},"list":{{}}}}]}}'),
            ("/transaction", f'{{{word}:1}}'), ("/queries/notes/pages", f'{{"next":{word}}}'),
            ("/transaction", f'{{"steps":[{{"table":"note","list":{{}},"sort":{word}}}]}}'),
        ):  # fmt: skip
            assert (await asker.ask(2, "POST", path, body=body.encode())).status in (400, 404, 422)
        if holds:
            deleted = await asker.ask(2, "DELETE", f"/tables/label/{json.loads(word)}".replace("\0", "%00"))
            assert deleted.status == 204
            assert (
                await asker.ask(2, "POST", "/queries/artists/rename", body={"artist_id": 1, "name": word})
            ).status == 200
    nul, status = "a%00b", 422 if engine == "postgresql" else 200
    for path, query in (
        ("/queries/notes/by_word", f"word={nul}"),
        ("/tables/note", f"word={nul}"),
        ("/tables/note", f"word__like={nul}"),
    ):
        assert (await asker.ask(2, "GET", path, query)).status == status, (path, query)
    # SQLite takes lists as JSON, which it ends at NUL.
    listed = await asker.ask(2, "GET", "/tables/note", f"word__in={nul}&word__in=b")
    assert listed.status == (200 if engine == "mysql" else 422)
    assert (await asker.ask(2, "GET", f"/tables/label/{nul}")).status == (422 if engine == "postgresql" else 404)
    assert (await asker.ask(2, "GET", "/queries/notes/pages", f"next={nul}")).status == 400
    for raw in (b"\xff", b"%ff", b"%ed%a0%80", b"\xed\xa0\x80", b"%c0%80"):
        for query in (b"word=" + raw, raw + b"=1", b"word=a&" + raw):
            assert (await asker.ask(2, "GET", "/queries/notes/by_word", query)).status == 422
            assert (await asker.ask(2, "GET", "/tables/note", query)).status == 422
        for name in (b"x-request-id", b"accept", b"content-type", b"origin", b"host", b"x-y"):
            answer = await asker.ask(2, "GET", "/queries/notes/by_word", b"word=a", headers=[(name, raw)])
            assert answer.status in (200, 403, 406)


TYPED: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "/queries/notes/write": (
        {"note_id": 1, "word": "w", "small": 1, "big": 1, "day": "2024-01-01"},
        {
            "note_id": ["1", 1.0, True, [], {}, [1], None, 1.5, "", "a"],
            "word": [1, 1.5, True, False, [], {}, ["a"], {"a": 1}],
            "small": ["1", 1.0, True, [], {}, [1], "x"], "big": ["1", 1e3, False, [], {}, "9223372036854775808"],
            "day": [1, "x", "2024-02-30", True, [], {}, 20240101, "01/02/2024", ""],
        },
    ),
    "/tables/note": (
        {"note_id": 50, "word": "w", "small": 1, "big": 1, "number": 1.5, "day": "2024-01-01"},
        {
            "note_id": ["1", 1.5, True, [], {}, "x"], "word": [1, 1.5, True, [], {}, ["a"]],
            "small": ["1", 1.5, True, []], "big": ["1", 1.5, {}, [1]],
            "number": ["x", True, [], {}, "1,5"], "day": [1, "x", "2024-13-01", [], {}],
        },
    ),
}  # fmt: skip
"""A good body, and what is wrong for each of its names."""


@pytest.mark.reliability(3)
async def test_types(asker: Asker) -> None:
    """Any number of wrong values among good ones: exactly those are named."""
    dice = random.Random(SEED)
    for path, (good, wrong) in TYPED.items():
        singles = [{name: value} for name, values in wrong.items() for value in values]
        several = [{name: dice.choice(wrong[name]) for name in dice.sample(sorted(wrong), dice.randint(2, len(wrong)))}
                   for _ in range(250)]  # fmt: skip
        for changes in singles + several:
            answer = await asker.ask(3, "POST", path, body=good | changes)
            assert answer.status == 422, (path, changes, answer.body)
            assert {name for name, _ in answer.faults} == set(changes), (changes, answer.body)
            inside = {"query": "notes.write", "params": good | changes} if "queries" in path else {
                "table": "note", "create": good | changes,
            }  # fmt: skip
            assert (await asker.ask(3, "POST", "/transaction", body={"steps": [inside]})).status == 422
    assert len((await asker.ask(3, "GET", "/tables/note")).json["data"]) == 2


@pytest.mark.reliability(4)
async def test_names(asker: Asker) -> None:
    """Unknown, missing and repeated ones, told together."""
    dice = random.Random(SEED)
    strangers = [
        "nobody",
        "note",
        "WORD",
        "word ",
        "wörd",
        "__proto__",
        "constructor",
        "a" * 300,
        "word[]",
        "note_id__gt",
        "",
        "limit",
    ]
    required = {"note_id", "word", "small", "big", "day"}
    good: dict[str, Any] = {"note_id": 1, "word": "w", "small": 1, "big": 1, "day": "2024-01-01"}
    for _ in range(400):
        missing = set(dice.sample(sorted(required), dice.randint(0, 5)))
        unknown = set(dice.sample(strangers, dice.randint(0 if missing else 1, 6)))
        body = {name: value for name, value in good.items() if name not in missing} | dict.fromkeys(unknown, 1)
        answer = await asker.ask(4, "POST", "/queries/notes/write", body=body)
        assert answer.status == 422
        assert {name for name, code in answer.faults if code == "missing"} == missing
        assert len([name for name, code in answer.faults if code == "unknown"]) == len(unknown)
    for _ in range(400):
        pairs = [("word", "a")] * dice.randint(0, 3) + [
            (dice.choice(strangers[:5]), "1") for _ in range(dice.randint(0, 3))
        ]
        dice.shuffle(pairs)
        query = "&".join(f"{name}={value}" for name, value in pairs).encode()
        words, others = sum(name == "word" for name, _ in pairs), {name for name, _ in pairs} - {"word"}
        answer = await asker.ask(4, "GET", "/queries/notes/by_word", query)
        assert (answer.status == 200) == (words == 1 and not others)
        if answer.status != 200:
            codes = dict(answer.faults)
            assert codes.get("word") == {0: "missing", 1: None}.get(words, "repeated")
            assert {name for name, code in codes.items() if code == "unknown"} == others
    # A stranger in every item of a bulk call, and a hundred faults at most.
    items = [{"artist_id": 1, "nmae": "x"}] * 300
    answer = await asker.ask(4, "POST", "/queries/artists/add_many", body=items)
    assert len(answer.json["errors"]) == 100
