"""Requests that are wrong before anything of a query matters: their JSON, size, media type, method and path."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asking import BODY_BYTES_MAX, Asker, asking, drawn
from hypothesis import strategies as st

from reliability import Tally

TEXTS = json.loads((Path(__file__).parent.parent / "cases" / "hostile_texts.json").read_text(encoding="utf-8"))
BODIES: dict[str, Any] = {
    "/queries/artists/get": {"artist_id": 1},
    "/queries/artists/add": {"artist_id": 1, "name": 'Ä"\\', "rating": -1},
    "/queries/artists/add_many": [{"artist_id": 1, "name": "a"}, {"artist_id": 2, "name": "b"}],
    "/queries/artists/some": {"ids": [1, 2, 3], "limit": 1},
    "/tables/note": {"note_id": 9, "word": "w", "number": 1.50, "day": "2024-01-01"},
    "/transaction": {"steps": [{"query": "artists.get", "params": {"artist_id": 1}, "as": "a"}], "dry_run": True},
}
FRAGMENTS = [b"NaN", b"-Infinity", b"1e400", b"0x1", b"01", b"1.", b"+1", b".5", b"1_0", b"tru", b"undefined", b"'a'",
             b'"\\x41"', b'"\\u12"', b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\n"', b'"\0"', b"//", b"/**/",
             b'{"a":1,"a":2}', b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"9" * 5000, b"[1,]", b"{,}",
             b'{"a"}', b'{1:2}', b"\xef\xbb\xbf1", b"1 1", b"\xd9\xa1"]  # fmt: skip


@pytest.fixture
async def asker(sqlite_url: str, tmp_path: Path, tally: Tally) -> AsyncIterator[Asker]:
    async with asking(sqlite_url, tmp_path, tally) as asker:
        yield asker


def is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good body with a few bytes gone, others in their place, or others in between."""
    path = draw(st.sampled_from(list(BODIES)))
    body = json.dumps(BODIES[path], ensure_ascii=False).encode()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 3))
        body = body[:start] + draw(st.binary(max_size=3)) + body[end:]
    return path, body


@pytest.mark.reliability(1)
async def test_edited_json(asker: Asker) -> None:
    for path, body in drawn(edited(), 1500):
        answer = await asker.ask(1, "POST", path, body=body)
        if body and not is_json(body):
            assert (answer.status, answer.code) == (400, "malformed_request"), body


@pytest.mark.reliability(1)
async def test_json_that_is_none(asker: Asker) -> None:
    """In the place of every value of every body."""
    for path, good in BODIES.items():
        text = json.dumps(good).encode()
        for fragment in FRAGMENTS:
            for body in (fragment, b'{"artist_id":' + fragment + b"}", b"[" + fragment + b"]", text + fragment,
                         fragment + text, text[:-1] + b',"z":' + fragment + text[-1:]):  # fmt: skip
                answer = await asker.ask(1, "POST", path, body=body)
                assert answer.status == 400, (path, body)
                assert answer.code == "malformed_request"


@pytest.mark.reliability(5)
async def test_sizes(asker: Asker) -> None:
    headers = [(b"content-type", b"application/json")]
    cases = st.tuples(
        st.sampled_from(list(BODIES)), st.integers(1, 60_000), st.sampled_from(["whole", "chunks", "gzip", "deflate"])
    )
    for path, over, way in drawn(cases, 400):
        limit = BODY_BYTES_MAX * (2 if path in ("/queries/artists/add_many", "/transaction") else 1)
        body = json.dumps(BODIES[path]).encode().ljust(limit + over)
        match way:
            case "whole":
                answer = await asker.ask(5, "POST", path, body=body)
            case "chunks":
                chunks = [body[start : start + 7000] for start in range(0, len(body), 7000)]
                answer = await asker.ask(5, "POST", path, headers=headers, chunks=chunks)
            case _:
                packed = gzip.compress(body) if way == "gzip" else zlib.compress(body)
                coding = (b"content-encoding", way.encode())
                answer = await asker.ask(5, "POST", path, body=packed, headers=[*headers, coding])
        assert (answer.status, answer.code) == (413, "body_too_large"), (path, over, way)


WORDS = ["application", "json", "text", "plain", "*", "/", ";", ",", "q=0", "q=0.5", "q=nan", "charset=utf-8",
         "charset=x", " ", "=", '"', "\t", "+json", "xml", "\xe9", "a" * 300]  # fmt: skip


@pytest.mark.reliability(6)
async def test_media_types_and_methods(asker: Asker) -> None:
    for words in drawn(st.lists(st.sampled_from(WORDS), max_size=8), 250):
        value = "".join(words).encode("latin-1")
        sent = await asker.ask(
            6, "POST", "/queries/artists/get", body={"artist_id": 1}, headers=[(b"content-type", value)]
        )
        assert sent.status in (200, 415)
        asked = await asker.ask(6, "GET", "/queries/artists/get", "artist_id=1", headers=[(b"accept", value)])
        assert asked.status in (200, 406)
        packed = [(b"content-encoding", value)]
        coded = await asker.ask(6, "POST", "/queries/artists/get", body={"artist_id": 1}, headers=packed)
        assert coded.status == (415 if value.strip() else 200)
        assert (b"accept-encoding" in coded.headers) == (coded.status == 415)
    methods = st.sampled_from(["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO", "get", "", "GET "])
    for path, method in drawn(
        st.tuples(st.sampled_from([*BODIES, "/livez", "/queries", "/tables/note/1"]), methods), 150
    ):
        if path == "/tables/note/1" and method in ("PUT", "PATCH", "DELETE"):
            continue
        answer = await asker.ask(6, method, path)
        assert (answer.status, b"allow" in answer.headers) == (405, True), (method, path)


@pytest.mark.reliability(7)
async def test_paths(asker: Asker) -> None:
    pieces = ["/", "..", "%2f", "%2e%2e", "%00", "%ff", "artists", "get", "%c3%a4", ".", "%5c", "note", "1", "%25",
              "a" * 500, "%0d%0a", "%", "%zz", ";", "_", "~", "'", "%27", "\xe4"]  # fmt: skip
    made = drawn(st.lists(st.sampled_from(pieces), max_size=12).map("".join), 1200)
    for path in [*TEXTS["paths"], *(f"/queries/{path}" for path in made), *(f"/tables/{path}" for path in made[::3])]:
        answer = await asker.ask(7, "GET", path)
        if path in ("/queries/", "/tables/", "/queries/artists") or path.startswith(
            ("/tables/note", "/queries/artists/get?")
        ):
            continue
        assert answer.status in (404, 422), (path, answer)  # 422: `get` itself, without its key
