"""The pytest plugin in projects of other people: each test here is a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

INSTALLED = any(entry.value == "sqlwright.testing.plugin" for entry in entry_points(group="pytest11"))

PROJECT = {
    "pyproject.toml": """
[tool.sqlwright]
queries = "sql"
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
""",
    "migrations/001_book.sql": "CREATE TABLE book (book_id integer PRIMARY KEY, title varchar(80) NOT NULL UNIQUE);",
    "sql/books/all.sql": "SELECT book_id, title FROM book ORDER BY book_id",
    "sql/books/get.sql": "-- :result :one\n-- @param book_id integer\nSELECT title FROM book WHERE book_id = :book_id",
    "sql/books/add.sql": "-- :result :exec\n-- @param book_id integer\n-- @param title text\n"
    "INSERT INTO book (book_id, title) VALUES (:book_id, :title)",
    "sql/books/load.sql": "-- name: load*!\n-- @param book_id integer\n-- @param title text\n"
    "INSERT INTO book (book_id, title) VALUES (:book_id, :title)",
}

TESTS = """
import pytest

BOOKS = [{"book_id": 1, "title": "Emma"}, {"book_id": 2, "title": "Ulysses"}]

@pytest.mark.parametrize("time", [1, 2])
async def test_rolled_back(db, seed, time):
    assert await db.q.books.all() == []
    assert await seed("books.add", BOOKS) == [1, 1]
    assert [row["title"] for row in await db.q.books.all()] == ["Emma", "Ulysses"]

async def test_bulk(db, seed):
    assert await seed("books.load", BOOKS) == [2]
    async with db.transaction() as tx:
        await tx.q.books.add(book_id=3, title="Persuasion")
    assert len(await db.q.books.all()) == 3

@pytest.mark.parametrize("time", [1, 2])
async def test_both_ways(db, api, time):
    answer = await api.post("/queries/books/add", json=BOOKS[0])
    assert answer.json() == {"affected": 1}, answer.text
    assert len(await db.q.books.all()) == 1
    await db.q.books.add(**BOOKS[1])
    assert len((await api.get("/queries/books/all")).json()["data"]) == 2
    assert (await api.post("/queries/books/add", json=BOOKS[0])).status_code == 409
    assert len(await db.q.books.all()) == 2
    both = {"steps": [{"query": "books.add", "params": {"book_id": n, "title": "x"}} for n in (3, 4)]}
    assert (await api.post("/transaction", json=both)).status_code == 409
    assert len(await db.q.books.all()) == 2
"""


@dataclass
class Outcome:
    code: int
    output: str

    def counts(self, **expected: int) -> None:
        last = self.output.strip().splitlines()[-1]
        for word, number in expected.items():
            assert f"{number} {word}" in last, self.output


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run({"test_x.py": …}, "--option")` runs pytest in a project of its own."""

    def run_pytest(files: Mapping[str, str], *words: str, project: Mapping[str, str] = PROJECT) -> Outcome:
        folder = tmp_path / "project"
        for name, text in {**project, **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        plugin = [] if INSTALLED else ["-p", "sqlwright.testing.plugin"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, *words]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SQLWRIGHT_", "DATABASE_URL"))}
        environment = {**kept, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/production"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout + done.stderr)

    return run_pytest


def test_every_test_is_rolled_back(run: Run, database_url: str) -> None:
    outcome = run({"test_books.py": TESTS}, f"--sqlwright-database={database_url}")
    assert outcome.code == 0, outcome.output
    outcome.counts(passed=5)
    again = run({}, f"--sqlwright-database={database_url}")  # nothing of the first run has stayed
    assert again.code == 0, again.output


@pytest.mark.parametrize("choice", ["sqlite", "postgresql"])
def test_a_throwaway_database(run: Run, choice: str) -> None:
    outcome = run({"test_books.py": TESTS}, f"--sqlwright-database={choice}")
    assert outcome.code == 0, outcome.output


def test_a_failing_test_is_rolled_back_too(run: Run) -> None:
    tests = """
async def test_fails(db):
    await db.q.books.add(book_id=1, title="Emma")
    assert False

async def test_error_of_the_database(db):
    await db.q.books.add(book_id=1, title="Emma")
    await db.q.books.add(book_id=1, title="Emma")

async def test_sees_nothing(db):
    assert await db.q.books.all() == []
"""
    outcome = run({"test_books.py": tests})
    assert outcome.code == 1
    outcome.counts(passed=1, failed=2)
    assert "UniqueViolation" in outcome.output


def test_strict_mode(run: Run) -> None:
    tests = """
import pytest

@pytest.mark.asyncio
async def test_it(db, api):
    await db.q.books.add(book_id=1, title="Emma")
    assert (await api.get("/queries/books/get?book_id=1")).json() == {"title": "Emma"}
"""
    outcome = run({"test_books.py": tests}, "-o", "asyncio_mode=strict")
    assert outcome.code == 0, outcome.output


def test_anyio_without_pytest_asyncio(run: Run) -> None:
    tests = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_it(db, api):
    await db.q.books.add(book_id=1, title="Emma")
    assert (await api.get("/queries/books/get?book_id=1")).json() == {"title": "Emma"}
"""
    project = {**PROJECT, "pyproject.toml": '[tool.sqlwright]\nqueries = "sql"\n'}
    outcome = run({"test_books.py": tests}, "-p", "no:asyncio", project=project)
    assert outcome.code == 0, outcome.output


def test_filled_once(run: Run) -> None:
    conftest = """
import pytest

@pytest.fixture(scope="session")
def sqlwright_prepare():
    async def prepare(db):
        await db.q.books.add(book_id=1, title="Emma")
    return prepare
"""
    tests = """
import pytest

@pytest.mark.parametrize("time", [1, 2])
async def test_it(db, time):
    assert len(await db.q.books.all()) == 1
    await db.q.books.add(book_id=2, title="Ulysses")
"""
    outcome = run({"conftest.py": conftest, "test_books.py": tests})
    assert outcome.code == 0, outcome.output


OWN_APP = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
import sqlwright

@asynccontextmanager
async def lifespan(app):
    app.state.began = True
    yield

app = FastAPI(lifespan=lifespan)
# Its settings name a database that is not there.
app.include_router(sqlwright.router(queries="sql"), prefix="/api")

@app.post("/books")
async def add(tx: sqlwright.Tx):
    assert app.state.began
    await tx.q.books.add(book_id=1, title="Emma")
    await tx.q.books.add(book_id=2, title="Ulysses")
    return {"books": len(await tx.q.books.all())}
"""


def test_an_application_of_ones_own(run: Run) -> None:
    conftest = """
import pytest
from shop import app

@pytest.fixture
def sqlwright_app():
    return app
"""
    tests = """
import pytest

@pytest.mark.parametrize("time", [1, 2])
async def test_it(db, api, time):
    answer = await api.post("/books")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"books": 2}
    assert len(await db.q.books.all()) == 2
    assert (await api.get("/api/queries/books/get?book_id=2")).json() == {"title": "Ulysses"}
    assert (await api.get("/api/queries/books/get?book_id=3")).status_code == 404
"""
    outcome = run({"shop.py": OWN_APP, "conftest.py": conftest, "test_books.py": tests}, "-p", "no:warnings")
    assert outcome.code == 0, outcome.output
    outcome.counts(passed=2)


def test_a_lifespan_that_fails_is_told(run: Run) -> None:
    conftest = """
import pytest

async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no milk"})

@pytest.fixture
def sqlwright_app():
    return app
"""
    outcome = run({"conftest.py": conftest, "test_books.py": "async def test_it(api):\n    pass\n"})
    assert outcome.code == 1
    assert "no milk" in outcome.output


# --- coverage ---------------------------------------------------------------------------------------------------


def test_coverage(run: Run) -> None:
    outcome = run({"test_books.py": TESTS}, "-k", "rolled_back")
    assert "sqlwright: 2 of 4 queries called (50 %); never called: books.get, books.load" in outcome.output
    outcome = run({"test_books.py": TESTS}, "-k", "rolled_back", "--sqlwright-coverage-min=51")
    assert outcome.code == 1
    outcome.counts(passed=2)
    assert "at least 51 % of the queries must be called" in outcome.output
    assert run({"test_books.py": TESTS}, "-k", "rolled_back", "--sqlwright-coverage-min=50").code == 0


def test_coverage_over_workers(run: Run) -> None:
    ini = PROJECT["pyproject.toml"] + 'sqlwright_coverage_min = "75"\n'
    outcome = run({"test_books.py": TESTS, "pyproject.toml": ini}, "-n", "2")
    assert outcome.code == 0, outcome.output
    assert "sqlwright: 3 of 4 queries called (75 %); never called: books.get" in outcome.output
    outcome = run({"pyproject.toml": ini.replace("75", "76")}, "-n", "2")
    assert outcome.code == 1, outcome.output


def test_a_wrong_percentage(run: Run) -> None:
    outcome = run({"test_books.py": TESTS}, "--sqlwright-coverage-min=many")
    assert outcome.code == 4
    assert "--sqlwright-coverage-min many" in outcome.output


def test_a_least_coverage_needs_tests_that_use_the_queries(run: Run) -> None:
    assert run({"test_x.py": "def test_x():\n    pass\n"}, "--sqlwright-coverage-min=1").code == 1
    assert run({"test_x.py": "def test_x():\n    pass\n"}).code == 0


# --- runs of people who do not use it ---------------------------------------------------------------------------


def test_nothing_in_a_run_that_does_not_use_it(run: Run) -> None:
    tests = """
import sys

def test_it():
    heavy = ("fastapi", "starlette", "sqlalchemy", "databases", "asyncpg", "aiosqlite", "pydantic", "httpx")
    assert [name for name in heavy if name in sys.modules] == []
"""
    outcome = run({"test_x.py": tests}, "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:hypothesispytest", project={})
    assert outcome.code == 0, outcome.output
    assert "sqlwright" not in outcome.output


def test_names_of_other_plugins_are_left_to_them(run: Run) -> None:
    other = "import pytest\n\n@pytest.fixture\ndef db():\n    return 'theirs'\n"
    tests = """
async def test_it(db, sqlwright_db, sqlwright_seed):
    assert db == "theirs"
    assert await sqlwright_seed("books.add", [{"book_id": 1, "title": "Emma"}]) == [1]
    assert len(await sqlwright_db.q.books.all()) == 1
"""
    outcome = run({"other.py": other, "test_x.py": tests}, "-p", "other")
    assert outcome.code == 0, outcome.output


def test_a_wrong_query_file_is_told(run: Run) -> None:
    outcome = run({"sql/bad.sql": "SELECT 'x", "test_x.py": "async def test_x(db):\n    pass\n"})
    assert outcome.code == 1
    assert "bad.sql:1:8: error:" in outcome.output
