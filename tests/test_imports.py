"""What importing costs: nothing before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("fastapi", "starlette", "sqlalchemy", "databases", "pypika", "asyncpg", "aiosqlite", "aiomysql", "pydantic",
         "orjson", "prometheus_client", "granian", "uvicorn")  # fmt: skip
WEB = ("fastapi", "starlette", "pypika", "granian", "uvicorn", "prometheus_client")


def imported_by(program: str, names: tuple[str, ...]) -> str:
    check = f"import sys; print(*sorted({{m.split('.')[0] for m in sys.modules}} & set({names!r})))"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{check}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_package_alone_imports_nothing() -> None:
    assert imported_by("import sqlwright; sqlwright.__version__; dir(sqlwright)", HEAVY) == ""
    assert imported_by("from sqlwright import connect", HEAVY) == ""


def test_a_program_with_queries_imports_no_web_framework_and_no_query_builder() -> None:
    program = """
import asyncio, pathlib, tempfile
from sqlwright import connect
async def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "one.sql").write_text("-- :result :value\\nSELECT 1 AS one")
    async with connect("sqlite:///:memory:", queries=folder) as db:
        assert await db.q.one() == 1
asyncio.run(main())
"""
    assert imported_by(program, WEB) == ""


@pytest.mark.parametrize(
    "first", ["import sqlwright.transaction, sqlwright.client", "from sqlwright import connect", ""]
)
def test_dependencies_are_not_hidden_by_the_modules_of_their_names(first: str) -> None:
    program = f"""
{first}
import sqlwright
from sqlwright import client, transaction
from sqlwright.transaction import OpenTransaction
from sqlwright.client import Client
import inspect
assert inspect.isasyncgenfunction(transaction) and inspect.isasyncgenfunction(sqlwright.transaction)
assert inspect.iscoroutinefunction(client)
"""
    assert imported_by(program, ()) == ""


def test_every_name_can_be_had_and_others_cannot() -> None:
    import sqlwright

    for name in sqlwright.__all__:
        assert getattr(sqlwright, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        sqlwright.nothing  # type: ignore[attr-defined]  # noqa: B018
