"""The command line over a small shop on a real database, in this process and as the command itself."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from sqlwright.cli.main import main

FILES = {
    "setup.sql": """\
-- name: setup#
-- Makes the table.
CREATE TABLE item (item_id integer PRIMARY KEY, name text NOT NULL UNIQUE, price numeric(10, 2), note text);
INSERT INTO item VALUES (1, 'nail', 0.05, 'a "small" one,
really'), (2, 'saw', 19.90, NULL), (3, '=Σ', 100.25, '');
""",
    "items/all.sql": "-- Everything in the shop.\nSELECT item_id, name, price, note FROM item ORDER BY item_id;\n",
    "items/one.sql": """\
-- name: get(item_id)^
-- One item.
-- @param item_id integer - the key
SELECT item_id, name, price, note FROM item WHERE item_id = :item_id;
-- name: find(name) :one?
SELECT item_id FROM item WHERE name = :name;
-- name: count $
SELECT count(*) FROM item;
-- name: named
-- @param names text[]
SELECT item_id, name FROM item WHERE name IN (:names) ORDER BY name, item_id;
-- name: set_price!
-- @param price numeric min 0
UPDATE item SET price = :price WHERE item_id = :item_id;
-- name: add<!
-- @param note text? = null
INSERT INTO item (item_id, name, note) VALUES (:item_id, :name, :note) RETURNING item_id, name, note;
-- name: load*!
INSERT INTO item (item_id, name) VALUES (:item_id, :name);
""",
}


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Cli(Protocol):
    def __call__(self, *words: str, stdin: bytes = b"") -> Answer: ...


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to start in, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith("SQLWRIGHT_") or name == "DATABASE_URL"]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("list", "--json")` runs a command in this process."""

    def run(*words: str, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capsysbinary.readouterr()
        code = main(words)
        captured = capsysbinary.readouterr()
        return Answer(code, captured.out.decode(), captured.err.decode())

    return run


def write(files: dict[str, str], folder: str = "queries") -> None:
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def files() -> Callable[..., None]:
    """`files({"a.sql": "…"})` writes query files into the folder of queries."""
    return write


@pytest.fixture
def shop(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shop's queries and its filled table; DATABASE_URL names it."""
    write(FILES)
    monkeypatch.setenv("DATABASE_URL", database_url)
    answer = cli("run", "setup")
    assert answer.code == 0, answer.err
    return database_url
