"""Texts that would be SQL, or anything else to somebody: stored as they are and found again, or refused; tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from asking import Asker, asking, drawn
from hypothesis import strategies as st

from reliability import Tally

TEXTS = json.loads((Path(__file__).parent.parent / "cases" / "hostile_texts.json").read_text(encoding="utf-8"))


@pytest.fixture
async def asker(database_url: str, tmp_path: Path, tally: Tally) -> AsyncIterator[Asker]:
    async with asking(database_url, tmp_path, tally) as asker:
        yield asker
        assert len((await asker.ask(9, "GET", "/tables/note")).json["data"]) == 2
        assert len((await asker.ask(9, "GET", "/tables/artist")).json["data"]) == 5


def escaped(text: str) -> str:
    return quote(text, safe="")


async def stored(asker: Asker, text: str) -> None:
    """Written, read, sought and taken away again on every way that there is."""
    row = {"note_id": 1, "word": text, "small": 1, "big": 1, "day": "2024-01-01"}
    assert (await asker.ask(9, "POST", "/queries/notes/write", body=row)).status == 200, text
    read = await asker.ask(9, "GET", "/tables/note/1")
    assert read.json["word"] == text
    found = [
        await asker.ask(9, "GET", "/queries/notes/by_word", f"word={quote_plus(text)}"),
        await asker.ask(9, "POST", "/queries/notes/by_word", body={"word": text}),
        await asker.ask(9, "GET", "/tables/note", f"word={escaped(text)}"),
        await asker.ask(9, "GET", "/tables/note", f"word__in={escaped(text)}&word__in=x"),
        await asker.ask(9, "GET", "/tables/note", f"word__gte={escaped(text)}&word__lte={escaped(text)}"),
    ]
    for answer in found:
        assert {"note_id": 1, "word": text}.items() <= answer.json["data"][0].items(), (text, answer.body)
        assert len(answer.json["data"]) == 1
    steps = [{"table": "note", "key": 1, "update": {"word": text}, "as": "a"},
             {"query": "notes.by_word", "params": {"word": {"$result": "a.word"}}}]  # fmt: skip
    both = await asker.ask(9, "POST", "/transaction", body={"steps": steps})
    assert [both.json["results"][0]["word"], both.json["results"][1]["data"][0]["word"]] == [text, text]
    assert (await asker.ask(9, "GET", "/tables/note", f"word__like={escaped(text)}")).status == 200


async def as_a_key(asker: Asker, text: str) -> None:
    made = await asker.ask(9, "POST", "/tables/label", body={"word": text, "n": 1})
    assert (made.status, made.json["word"]) == (201, text)
    place = made.headers[b"location"].decode("ascii")
    assert (await asker.ask(9, "GET", place)).json == {"word": text, "n": 1}
    assert (await asker.ask(9, "PATCH", place, body={"n": 2})).json == {"word": text, "n": 2}
    assert (await asker.ask(9, "DELETE", place)).status == 204
    assert (await asker.ask(9, "GET", place)).status == 404


@pytest.mark.reliability(9)
async def test_values(asker: Asker) -> None:
    for text in TEXTS["injections"]:
        await stored(asker, text)
        if text:  # a path ends where an empty key would be
            await as_a_key(asker, text)


@pytest.mark.reliability(9)
async def test_any_text(asker: Asker) -> None:
    """Of every plane of Unicode, NUL apart (which PostgreSQL does not take)."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    for text in drawn(st.text(characters, min_size=1, max_size=30), 60):
        await stored(asker, text)


@pytest.mark.reliability(9)
async def test_names(asker: Asker) -> None:
    """Sort keys, columns, tables, queries: known ones by their exact spelling, nothing else."""
    for text in [*TEXTS["injections"], *TEXTS["sorts"]]:
        for query in (f"sort={escaped(text)}", f"sort=-{escaped(text)}", f"sort=word,{escaped(text)}"):
            answer = await asker.ask(9, "GET", "/tables/note", query)
            assert answer.status == 422, (query, answer.body)
        step: dict[str, Any] = {"table": "note", "list": {}, "sort": [text]}
        assert (await asker.ask(9, "POST", "/transaction", body={"steps": [step]})).status == 422
    for text in [*TEXTS["injections"], *TEXTS["names"]]:
        for query in (f"{escaped(text)}=1", f"{escaped(text)}__eq=1", f"word__{escaped(text)}=1"):
            assert (await asker.ask(9, "GET", "/tables/note", query)).status == 422
        if text not in ("", ".", ".."):
            for path in (f"/tables/{escaped(text)}", f"/tables/{escaped(text)}/1", f"/queries/{escaped(text)}"):
                assert (await asker.ask(9, "GET", path)).status == 404, path
        assert (await asker.ask(9, "POST", "/tables/note", body={text: 1})).status == 422
        assert (await asker.ask(9, "PATCH", "/tables/note/1", body={text: 1})).status == 422
        for step in (
            {"query": text}, {"table": text, "list": {}}, {"table": "note", "list": {text: 1}},
            {"table": "note", "create": {text: 1}}, {"query": "notes.pages", "params": {text: 1}},
        ):  # fmt: skip
            assert (await asker.ask(9, "POST", "/transaction", body={"steps": [step]})).status in (404, 422)


# --- page tokens ------------------------------------------------------------------------------------------------

PAGED = {
    "/queries/notes/pages": "limit=1", "/queries/artists/all": "limit=2", "/tables/note": "limit=1",
    "/tables/artist": "limit=2&sort=-name&artist_id__gt=0",
}  # fmt: skip


def edits(token: str) -> list[str]:
    """Every bit of what it holds turned, every character another, too short, too long, other alphabets."""
    raw = base64.urlsafe_b64decode(token)
    turned = [base64.urlsafe_b64encode(raw[:n] + bytes([raw[n] ^ 1 << bit]) + raw[n + 1 :]).decode()
              for n in range(len(raw)) for bit in range(8)]  # fmt: skip
    others = [token[:n] + other + token[n + 1 :] for n in range(len(token)) for other in ("A", "-", "~", "%C3%A9")]
    lengths = [
        *(token[:n] for n in range(1, len(token))),
        *(token + end for end in ("A", "=", "==", "AAAA", "%00", "%0A", "+")),
    ]
    spelled = [
        token.swapcase(),
        token[::-1],
        "=" + token,
        base64.b64encode(raw + b"\0").decode(),
        raw.hex(),
        token * 300,
    ]
    return [edited for edited in [*turned, *others, *lengths, *spelled] if edited != token]


@pytest.mark.reliability(10)
async def test_page_tokens(asker: Asker) -> None:
    tokens = {}
    for path, query in PAGED.items():
        page = (await asker.ask(10, "GET", path, query)).json
        tokens[path] = page["next"]
        following = await asker.ask(10, "GET", path, f"{query}&next={page['next']}")
        assert following.json["data"]
        assert following.json["data"][0] not in page["data"]
    for path, query in PAGED.items():
        # Of another call, or of this one with other values, filters or orders.
        strange = [token for other, token in tokens.items() if other != path] + TEXTS["injections"]
        for token in [*edits(tokens[path])[:: 1 if path == "/queries/notes/pages" else 5], *map(escaped, strange)]:
            answer = await asker.ask(10, "GET", path, f"{query}&next={token}")
            assert (answer.status, answer.code) == (
                (400, "invalid_page_token") if token else (422, "invalid_parameters")
            )
        for token in strange:
            if path.startswith("/queries"):
                answer = await asker.ask(10, "POST", path, body={"next": token})
                assert answer.status == (400 if token else 422)
    for path, query in (
        ("/queries/notes/pages", "over=1"), ("/tables/note", "sort=-note_id"), ("/tables/note", "sort=word"),
        ("/tables/note", "note_id__gt=0"), ("/tables/note", "word__isnull=false"), ("/tables/artist", "sort=-name"),
        ("/tables/artist", "sort=name&artist_id__gt=0"), ("/tables/artist", "sort=-name&artist_id__gt=1"),
        ("/tables/artist", "sort=-name&artist_id__gte=0"),
    ):  # fmt: skip
        answer = await asker.ask(10, "GET", path, f"{query}&next={tokens[path]}")
        assert (answer.status, answer.code) == (400, "invalid_page_token"), (path, query)
