"""What the calls were answered: counted by kind, and everything that no answer may be."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from chaos.client import Answer, Broken, Connection, Hung
from chaos.ledger import Fate

LEAKS = ("SELECT", "INSERT", "UPDATE ", "Traceback", "postgresql://", "mysql://", "sqlite:///", "entry_ref", "root")
KEYS = ("type", "title", "status", "detail", "instance", "code", "request_id", "retryable", "outcome", "errors")
COMPLAINTS_MAX = 50
LONGEST_CALL_SECONDS = 5.0
"""Waiting and working at the limits of the settings, and a second for a machine that does other things as well."""
EXCUSED_SECONDS = 3.0
"""How long after a worker ended its callers may still find out."""


class Tally:
    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        """By kind of call and what became of it: acknowledged, refused, 503 none, 504 none, 504 unknown, broken."""
        self.codes: Counter[str] = Counter()
        """Of the problems that a fault caused."""
        self.complaints: Counter[str] = Counter()
        self.hung = 0
        self.internal = 0
        """5xx that are neither 503 nor 504."""
        self.bad_inputs = 0
        self.breaking = 0
        """Faults under way that end clients' connections."""
        self._excused_until = 0.0

    @property
    def calls(self) -> int:
        return self.answers.total()

    def complain(self, what: str) -> None:
        if what in self.complaints or len(self.complaints) < COMPLAINTS_MAX:
            self.complaints[what] += 1

    def broke(self) -> None:
        """The last of a fault's broken connections may be noticed a little later."""
        self._excused_until = time.monotonic() + EXCUSED_SECONDS

    def count(self, kind: str, answer: Answer, expected: tuple[int, ...]) -> Fate:
        """An answer's fate. Complains of one that is not as promised."""
        status = answer.status
        if answer.seconds > LONGEST_CALL_SECONDS:
            self.complain(f"{kind}: the answer {status} took longer than {LONGEST_CALL_SECONDS:g} s")
        if status < 400:
            if status not in expected:
                self.complain(f"{kind}: answered {status}")
            self.answers[kind, "acknowledged"] += 1
            return Fate.ACKNOWLEDGED
        problem = self._problem(kind, answer)
        outcome = problem.get("outcome", "unknown")
        if status in expected:
            self.answers[kind, "refused"] += 1
            if outcome != "none":
                self.complain(f"{kind}: {status} with outcome {outcome}")
            return Fate.NONE
        self.codes[f"{status} {problem.get('code')} {outcome}"] += 1
        self.answers[kind, f"{status} {outcome}"] += 1
        if status not in (503, 504):
            self.internal += status >= 500
            self.complain(f"{kind}: answered {status} {problem.get('code')}: {problem.get('detail')}")
        elif status == 503 and (outcome != "none" or "retry-after" not in answer.headers):
            self.complain(f"{kind}: 503 with outcome {outcome}, Retry-After {answer.headers.get('retry-after')}")
        return Fate.NONE if outcome == "none" else Fate.UNKNOWN

    def _problem(self, kind: str, answer: Answer) -> dict[str, Any]:
        try:
            body: dict[str, Any] = json.loads(answer.body)
        except ValueError:
            self.complain(f"{kind}: {answer.status} without a problem: {answer.body[:100]!r}")
            return {}
        if answer.headers.get("content-type") != "application/problem+json" or any(key not in body for key in KEYS):
            self.complain(f"{kind}: {answer.status} is no problem of ours: {answer.body[:300]!r}")
        if leaked := [word for word in LEAKS if word.encode() in answer.body]:
            self.complain(f"{kind}: {answer.status} tells {leaked}: {answer.body[:300]!r}")
        return body

    def failed(self, kind: str, error: Broken | Hung) -> Fate:
        """No answer came."""
        if isinstance(error, Hung):
            self.hung += 1
            self.complain(f"{kind}: no answer: {error}")
        elif not self.breaking and time.monotonic() > self._excused_until:
            self.complain(f"{kind}: the connection broke without a cause: {error}")
        self.answers[kind, "hung" if isinstance(error, Hung) else "broken"] += 1
        return Fate.UNKNOWN


class Caller:
    """One connection whose calls are counted."""

    def __init__(self, port: int, tally: Tally) -> None:
        self.connection = Connection(port)
        self.tally = tally

    async def call(
        self, kind: str, method: str, path: str, body: object = None, *, expected: tuple[int, ...] = (200,)
    ) -> tuple[Fate, Answer | None]:
        try:
            answer = await self.connection.call(method, path, body)
        except (Broken, Hung) as error:
            return self.tally.failed(kind, error), None
        return self.tally.count(kind, answer, expected), answer
