"""The invariants of `service/README.md` that a program can check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "service" / "sqlwright"
FILES = sorted(PACKAGE.rglob("*.py"))
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

FLOORS = (
    {"diagnostic", "time_limit"},
    {"errors"},
    {"query"},
    {"sql"},
    {"address", "registry"},
    {"config"},
    {"reload", "engines"},
    {"transaction"},
    {"database", "batch_member", "batching", "lone", "pinned", "pooled", "thread_reader"},
    {"parameters"},
    {"contract"},
    {"plan"},
    {"lines"},
    {"execute", "body", "streams"},
    {"array_call"},
    {"crud"},
    {"steps"},
    {"rows"},
    {"client"},
    {"migrations"},
    {"demo"},
    {"tuning"},
    {"http"},
    {"cli", "testing"},
)
WEB = {"fastapi", "starlette", "granian", "uvicorn"}
DATABASE_LIBRARIES = {"databases", "sqlalchemy", "asyncpg", "aiosqlite", "sqlite3", "aiomysql"}
SYNCHRONOUS = (
    "sql/", "parameters/", "plan.py", "body.py", "query.py", "errors.py", "steps/draft.py", "steps/references.py",
)  # fmt: skip
DIALECT_NAMES = {"sqlite", "postgresql", "mysql"}


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def floor_of(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if module in names:
            return number
    raise AssertionError(f"{module} has no floor: add it to FLOORS and to service/README.md")


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST) -> list[tuple[str, int]]:
    """Dotted names of everything imported, anywhere in the file, with their lines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "sqlwright":
                found += [(f"sqlwright.{alias.name}", node.lineno) for alias in node.names]
            else:
                found.append((node.module, node.lineno))
    return found


def inner_rooms(tree: ast.AST) -> list[tuple[str, int]]:
    rooms = [(name.split(".")[1], line) for name, line in imports_of(tree) if name.startswith("sqlwright.")]
    return [(room, line) for room, line in rooms if not room.startswith("__")]


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


files = pytest.mark.parametrize("file", FILES, ids=name_of)


@files
def test_a_file_imports_only_from_floors_below(file: Path) -> None:
    if room_of(file) in ("__init__", "__main__"):
        return
    floor = floor_of(room_of(file))
    wrong = [
        f"{name_of(file)}:{line} imports {room}"
        for room, line in inner_rooms(parse(file))
        if floor_of(room) > floor or (floor_of(room) == floor and room not in (room_of(file), *FLOORS[floor]))
    ]
    assert not wrong


@files
def test_files_are_small(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= FILE_LINES_MAX


@files
def test_functions_are_short(file: Path) -> None:
    wrong = [
        f"{name_of(file)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(parse(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not wrong


@files
def test_only_http_knows_the_web(file: Path) -> None:
    if room_of(file) == "http":
        return
    assert not [name for name, _ in imports_of(parse(file)) if name.split(".")[0] in WEB]


@files
def test_only_engines_and_database_know_a_driver(file: Path) -> None:
    if room_of(file) in ("engines", "pooled", "transaction", "execute"):
        return
    known = {"sqlalchemy"} if room_of(file) == "crud" else set()  # tables are reflected with it
    assert not [name for name, _ in imports_of(parse(file)) if name.split(".")[0] in DATABASE_LIBRARIES - known]


@files
def test_pure_floors_never_await(file: Path) -> None:
    if not name_of(file).startswith(SYNCHRONOUS):
        return
    asynchronous = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    assert not [node.lineno for node in ast.walk(parse(file)) if isinstance(node, asynchronous)]  # type: ignore[attr-defined]


@files
def test_only_config_reads_the_environment(file: Path) -> None:
    if name_of(file) == "config.py":
        return
    reads = [
        node.lineno
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert not reads


@files
def test_no_branch_on_a_dialect_outside_its_record_and_its_engine(file: Path) -> None:
    if room_of(file) == "engines" or name_of(file) == "sql/dialect.py":
        return
    wrong = []
    for node in ast.walk(parse(file)):
        tests = []
        if isinstance(node, ast.Compare):
            tests = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            tests = [node.value]
        for test in tests:
            for part in ast.walk(test):
                if isinstance(part, ast.Constant) and part.value in DIALECT_NAMES:
                    wrong.append(f"{name_of(file)}:{node.lineno}")
                if isinstance(part, ast.Name) and part.id in ("SQLITE", "POSTGRESQL", "MYSQL"):
                    wrong.append(f"{name_of(file)}:{node.lineno}")
    assert not wrong


def test_names_say_what_is_inside() -> None:
    banned = ("utils", "helpers", "manager", "common", "misc")
    assert not [name_of(file) for file in FILES if any(word in file.stem for word in banned)]
