"""A program that uses the Python API passes a strict type checker, which knows what comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from typing_extensions import assert_type

import sqlwright
from sqlwright import Client, Settings, Transaction, connect, create_app, router, transaction

Row = dict[str, object]


@dataclass
class Album:
    album_id: int
    title: str


class Artist(BaseModel):
    name: str


class Pair(NamedTuple):
    a: int


class Track(TypedDict):
    name: str


def title(row: dict[str, object]) -> str:
    return str(row["title"])


async def program() -> None:
    async with connect("sqlite:///:memory:", queries="queries", page_rows=5) as db:
        assert_type(db, Client)
        assert_type(await db.rows("a.b", {"x": 1}, into=Album), list[Album])
        assert_type(await db.rows("a.b", into=title), list[str])
        assert_type(await db.row("a.b", into=Artist, timeout=2), Artist | None)
        assert_type(await db.row("a.b", into=Pair), Pair | None)
        assert_type(await db.rows("a.b", into=Track), list[Track])
        rows = await db.rows("a.b")
        rows[0]["x"]
        await db.run("a.b", [{"x": 1}, {"x": 2}])
        await db.q.artists.get(artist_id=1)
        async for album in db.stream("a.b", into=Album):
            assert_type(album, Album)
        async with db.stream("a.b") as stream:
            async for row in stream:
                row["x"]
        async with db.transaction(isolation="serializable", read_only=True, timeout=2) as tx:
            assert_type(tx, Transaction)
            await tx.q.a()
            async with tx.savepoint():
                assert_type(await tx.table("album").create({"title": "x"}, into=Album), Album)
        assert_type(await db.retry(work), int)
        table = db.table("album")
        assert_type(await table.get(1, into=Album), Album | None)
        assert_type(await table.list({"title__like": "a%"}, sort="-title", limit=3, into=Album), list[Album])
        assert_type(await table.update((1, 2), {"title": "x"}, into=Album), Album)
        assert_type(await table.delete(1), bool)


async def work(tx: Transaction) -> int:
    return 1


app = FastAPI()
app.include_router(router(Settings(database_url="sqlite:///x.db"), tables="*"), prefix="/api")


@app.post("/orders")
async def order(tx: Transaction = Depends(transaction, scope="function")) -> None:
    await tx.run("x")


@app.post("/others")
async def other(tx: sqlwright.Tx, db: sqlwright.Db) -> None:
    await tx.run("x")
    await db.run("x")


application: FastAPI = create_app(Settings())
"""

WRONG = """
from sqlwright import Client


async def program(db: Client) -> None:
    async with db.transaction(isolation="dirty"):
        pass
    number: int = await db.rows("a.b")
"""


def check(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    service = Path(__file__).parent.parent / "service"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={folder / 'cache'}", str(file)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={"MYPYPATH": str(service), "PATH": ""}, check=False
    )


def test_a_strict_checker_accepts_a_program(tmp_path: Path) -> None:
    done = check(tmp_path, PROGRAM)
    ours = [line for line in done.stdout.splitlines() if line.startswith("program.py")]
    assert not ours, done.stdout
    assert "error: Cannot find" not in done.stdout


def test_a_strict_checker_finds_mistakes(tmp_path: Path) -> None:
    done = check(tmp_path, WRONG)
    lines = [
        line.split(":")[1] for line in done.stdout.splitlines() if line.startswith("program.py") and "error" in line
    ]
    assert lines == ["6", "8"], done.stdout
