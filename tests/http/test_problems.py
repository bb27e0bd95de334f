"""The table of statuses is complete, and nothing unexpected leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from record_shop import assert_problem, run_script, running, write_files
from sqlwright import errors
from sqlwright.config import Settings
from sqlwright.errors import SqlwrightError
from sqlwright.http.app import create_app
from sqlwright.http.exchange import Exchange, request_ids
from sqlwright.http.problems import STATUSES, problem


def every_error(kind: type[SqlwrightError] = SqlwrightError) -> Iterator[type[SqlwrightError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every_error(child)


def test_every_error_has_a_status() -> None:
    known = {kind for kind in every_error() if kind.__module__ == errors.__name__}
    assert known == set(STATUSES)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in STATUSES]
    assert len(codes) == len(set(codes))


def test_retryable_is_what_503_says() -> None:
    for kind, (status, _) in STATUSES.items():
        assert kind.retryable == (status in (503, 408)), kind


def exchange() -> Exchange:
    scope = {"type": "http", "method": "GET", "path": "/queries/x", "query_string": b"", "headers": []}
    return Exchange(scope, request_ids())


@pytest.mark.parametrize("development", [False, True])
def test_unexpected_exceptions_tell_nothing(development: bool) -> None:
    answer = problem(exchange(), RuntimeError("password=hunter2"), development=development)
    body: dict[str, Any] = json.loads(answer.body)
    assert (answer.status, body["code"]) == (500, "internal_error")
    assert b"hunter2" not in answer.body


def test_native_messages_are_for_development() -> None:
    error = errors.StatementFailed("the statement failed", native_code="42P01", native_message='relation "x"')
    assert "database" not in json.loads(problem(exchange(), error, development=False).body)
    shown = json.loads(problem(exchange(), error, development=True).body)
    assert shown["database"] == {"code": "42P01", "message": 'relation "x"'}


def test_outcome_comes_from_the_error() -> None:
    body = json.loads(problem(exchange(), errors.OutcomeUnknown("lost"), development=False).body)
    assert (body["status"], body["outcome"], body["retryable"]) == (504, "unknown", False)


async def test_an_exception_in_a_route_is_a_problem(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    app = create_app(settings)

    @app.get("/added")
    async def added() -> None:
        raise RuntimeError("hunter2")

    @app.get("/typed")
    async def typed(number: int) -> int:
        return number

    @app.get("/secret")
    async def secret() -> None:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})

    async with running(app=app) as client:
        refused = await client.get("/secret")
        assert assert_problem(refused, 401, "unauthorized")["detail"] == "who are you?"
        assert refused.headers["www-authenticate"] == "Bearer"
        assert_problem(await client.get("/added"), 500, "internal_error")
        body = assert_problem(await client.get("/typed?number=x"), 422, "invalid_parameters")
        assert body["errors"][0]["parameter"] == "number"
        assert (await client.get("/typed?number=7")).json() == 7
    assert "hunter2" in capfd.readouterr().err


async def test_a_read_that_wrote(postgresql_url: str, tmp_path: Path) -> None:
    """A SELECT can write through a function: it fails instead, and `@write` makes it a write."""
    await run_script(postgresql_url, "CREATE SEQUENCE number")
    select = "-- :result :value\nSELECT nextval('number') AS n\n"
    folder = write_files(tmp_path / "queries", {"sly.sql": select, "honest.sql": "-- @write\n" + select})
    async with running(Settings(database_url=postgresql_url, queries=folder, log_calls=False)) as client:
        body = assert_problem(await client.get("/queries/sly"), 500, "read_query_wrote")
        assert "@write" in body["hint"]
        assert (await client.get("/queries/honest")).status_code == 405
        assert (await client.post("/queries/honest")).json() == {"value": 1}
