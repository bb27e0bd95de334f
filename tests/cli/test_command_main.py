from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from item_shop import Cli

import sqlwright
from sqlwright.cli import list as list_command
from sqlwright.cli.main import COMMANDS, EXIT_CODES

NOT_FOR_LIST = (
    "databases",
    "sqlalchemy",
    "fastapi",
    "granian",
    "asyncpg",
    "aiosqlite",
    "rich",
    "starlette",
    "pypika",
    "prometheus_client",
)


def test_without_a_command_the_commands_are_listed(cli: Cli) -> None:
    answer = cli()
    assert answer.code == 2
    assert not answer.out
    for name in COMMANDS:
        assert f"\n  {name} " in answer.err


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    for words in (["--help"], *([name, "--help"] for name in COMMANDS)):
        answer = cli(*words)
        assert answer.code == 0
        assert EXIT_CODES in answer.out


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"sqlwright {sqlwright.__version__}\n"


def test_an_unknown_command_has_a_near_name(cli: Cli) -> None:
    answer = cli("lst")
    assert answer.code == 2
    assert answer.err == "sqlwright: there is no command 'lst'\n  hint: did you mean `sqlwright list`?\n"


@pytest.mark.parametrize("words", [["list", "--jsn"], ["run"], ["run", "x", "--format", "xml"], ["--nope"]])
def test_wrong_usage_is_2(cli: Cli, words: list[str]) -> None:
    answer = cli(*words)
    assert answer.code == 2
    assert "usage: sqlwright" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", ["serve", "dev", "check", "run", "show", "explain"])
def test_without_a_database_url_2_and_an_example(cli: Cli, command: str) -> None:
    Path("queries").mkdir()
    answer = cli(command, *(["x"] if command in ("run", "show", "explain") else []))
    assert answer.code == 2
    assert "DATABASE_URL" in answer.err
    assert "sqlite:///" in answer.err


@pytest.mark.parametrize("command", ["serve", "dev", "check", "run", "show", "list"])
def test_without_the_folder_2_and_its_name(cli: Cli, command: str) -> None:
    words = ["x"] if command in ("run", "show") else []
    answer = cli(command, *words, "--database-url", ":memory:", "--queries", "nowhere")
    assert answer.code == 2
    assert "there is no folder nowhere" in answer.err
    assert "SQLWRIGHT_QUERIES" in answer.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgre://u:secret@h/x", "unknown scheme 'postgre'"),
        ("sqlite:///missing/folder/x.db", "there is no folder missing/folder"),
        ("postgresql+aiopg://u:secret@h/x", "asyncpg"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "dev", "check"])
def test_a_wrong_url_is_one_line(cli: Cli, command: str, url: str, message: str) -> None:
    Path("queries").mkdir()
    answer = cli(command, "--database-url", url)
    assert answer.code == 2
    assert message in answer.err
    assert "secret" not in answer.err


def test_a_wrong_setting_stops_every_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLWRIGHT_PROT", "1")
    for command in ("serve", "check", "list"):
        answer = cli(command)
        assert answer.code == 2
        assert "environment variable SQLWRIGHT_PROT" in answer.err
        assert "SQLWRIGHT_PORT" in answer.err


def test_an_unexpected_error_is_one_line_and_says_how_to_see_more(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    Path("queries").mkdir()
    monkeypatch.setattr(list_command, "load_folder", fail)
    answer = cli("list")
    assert answer.code == 1
    assert answer.err.startswith("sqlwright: unexpected RuntimeError: first line\n")
    assert "--traceback" in answer.err
    assert "Traceback" not in answer.err
    assert "Traceback (most recent call last)" in cli("list", "--traceback").err


def test_list_imports_no_driver_and_no_web(files: object) -> None:
    Path("queries").mkdir()
    Path("queries/a.sql").write_text("SELECT 1")
    program = (
        "import json, sys; from sqlwright.cli.main import main; code = main(['list', '--json']);"
        f"print(json.dumps([code, [name for name in {NOT_FOR_LIST} if name in sys.modules]]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]


def test_the_command_and_the_module_are_the_same() -> None:
    command = Path(sys.executable).with_name("sqlwright")
    outs = [
        subprocess.run([*words, "--version"], capture_output=True, text=True, check=True).stdout
        for words in ([str(command)], [sys.executable, "-m", "sqlwright"])
    ]
    assert outs[0] == outs[1] == f"sqlwright {sqlwright.__version__}\n"


def test_a_reader_that_leaves_early_is_no_failure() -> None:
    Path("queries").mkdir()
    Path("queries/a.sql").write_text("".join(f"-- name: q{i}\nSELECT {i};\n" for i in range(3000)))
    words = [sys.executable, "-m", "sqlwright", "list", "--database-url", ":memory:"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
