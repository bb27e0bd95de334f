"""The command line over a small shop on a real database, in this process and as the command itself."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from item_shop import FILES, Answer, Cli, write

from sqlwright.cli.main import main


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
