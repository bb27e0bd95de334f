"""The README's Python is run, on every engine: its blocks one after the other, then the application that they made."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sqlwright.config import Settings
from sqlwright.demo import prepare_demo

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
TESTS = [block for block in BLOCKS if block.startswith("async def test_")]
PROGRAM = [block for block in BLOCKS if block not in TESTS]


async def run(block: str, names: dict[str, Any]) -> None:
    """As `python -m asyncio` would: `await` may stand outside of functions."""
    code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(code, names)
    if inspect.isawaitable(made):
        await made


@pytest.fixture
def shop(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder like a clone's, with the demo loaded; the README's own database is this one."""
    shutil.copytree(ROOT / "queries", tmp_path / "queries")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database_url


@asynccontextmanager
async def calling(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://shop") as api:
        yield api


async def test_the_blocks_run_and_their_application_does_what_the_text_says(shop: str) -> None:
    await prepare_demo(Settings(database_url=shop))
    names: dict[str, Any] = {"__name__": "readme"}
    for block in PROGRAM:
        await run(block.replace("sqlite:///sqlwright-demo/chinook.db", shop), names)
    assert names["artist"]["name"] == "AC/DC"
    assert len(names["albums"]) == 2
    assert names["revenue"]
    assert [track["track_id"] for track in names["tracks"]] == [1, 2, 3]
    async with calling(names["app"]) as api:
        await check_purchases(api)
        await check_artists(api)


async def invoices(api: httpx.AsyncClient) -> int:
    answer = await api.get("/api/tables/invoice", params={"sort": "-invoice_id", "limit": 1})
    return int(answer.json()["data"][0]["invoice_id"])


async def check_purchases(api: httpx.AsyncClient) -> None:
    bought = await api.post("/purchases", params={"customer_id": 2, "track_id": 1})
    assert (bought.status_code, float(bought.json()["total"])) == (201, 0.99)
    before = await invoices(api)
    assert before == bought.json()["invoice_id"]
    nothing = await api.post("/purchases", params={"customer_id": 2, "track_id": 99_999})
    assert nothing.status_code == 404
    assert await invoices(api) == before, "the invoice has been rolled back"
    retried = await api.post("/retried")
    assert (retried.status_code, float(retried.json()["total"])) == (200, 0.99)


async def check_artists(api: httpx.AsyncClient) -> None:
    made = (await api.post("/artists", json={"name": "The New Band"})).json()
    path = f"/artists/{made['artist_id']}"
    assert (await api.patch(path, json={})).json() == made
    assert (await api.patch(path, json={"name": "The Old Band"})).json()["name"] == "The Old Band"
    assert (await api.patch("/artists/99999", json={"name": "x"})).status_code == 404
    taken = await api.patch(path, json={"name": "AC/DC"})
    assert taken.status_code == 409
    assert taken.json()["errors"][0]["parameter"] == "name"
    names = [artist["name"] for artist in (await api.get("/artists")).json()]
    assert names == sorted(names, reverse=True)
    assert len(names) == 3
    assert (await api.delete(path)).json() is True
    assert (await api.delete(path)).json() is False


def test_the_tests_in_the_readme_pass(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "queries", tmp_path / "queries")
    shutil.copy(ROOT / "tests" / "demo" / "conftest.py", tmp_path)
    assert TESTS
    (tmp_path / "test_readme.py").write_text("\n\n".join(TESTS), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--sqlwright-coverage-min=1"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "queries called" in ran.stdout
