"""Requests that two servers on the way may read differently: never does a second request hide in one of them.

Each case is followed by a second request on the same connection. `refused` (what is not named in the file): at most one
answer, of `REFUSALS`, and the connection closed. `one`: the request is answered, the connection closed. `two`: the
bytes have one meaning, the same for the server and the proxy, so that both requests are answered.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reliability import Tally
from server_process import Server

CASES = json.loads((Path(__file__).parent.parent / "cases" / "ambiguous_requests.json").read_text(encoding="utf-8"))
SECOND = b"GET /queries/artists/get?artist_id=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SECOND_ANSWERED = b'"artist_id":2'
REFUSALS = {400, 408, 431, 501, 505}
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def reading(answer: bytes) -> str:
    """What became of a case, as the file calls it."""
    statuses = [int(status) for status in _STATUS.findall(answer)]
    if SECOND_ANSWERED in answer:
        return "two" if statuses == [200, 200] else f"hidden {statuses}"
    if statuses in ([200], [404]):
        return "one"
    # Bytes that are no request at all may be answered without a status line (HTTP/0.9), or not at all.
    refused = len(statuses) <= 1 and set(statuses) <= REFUSALS
    return "refused" if refused else f"{statuses} {answer[:300]!r}"


def check(server: Server, tally: Tally) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(server.raw, (case["request"].encode("latin-1") + SECOND for case in CASES))
        found = {case["name"]: reading(answer) for case, answer in zip(CASES, answers, strict=True)}
    assert found == {case["name"]: case.get(server.kind, "refused") for case in CASES}
    assert SECOND_ANSWERED in server.raw(SECOND)
    tally.inputs(8, len(found))


@pytest.mark.reliability(8)
def test_servers(server: Server, tally: Tally) -> None:
    check(server, tally)
    assert '"level":"error"' not in server.errors.replace(" ", "")


@pytest.mark.reliability(8)
def test_behind_the_proxy(proxied: Server, tally: Tally) -> None:
    """What uvicorn lets through and the proxy does not: folded lines, Content-Lengths that repeat, HTTP/9.9."""
    check(proxied, tally)
