from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from item_shop import Cli

TABLE = "CREATE TABLE item (item_id integer PRIMARY KEY, name varchar(40) NOT NULL);\n"


@pytest.fixture(autouse=True)
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def write(files: dict[str, str], folder: str = "migrations") -> None:
    Path(folder).mkdir(exist_ok=True)
    for name, text in files.items():
        (Path(folder) / name).write_text(text, encoding="utf-8")


def states(cli: Cli, *words: str) -> dict[str, str]:
    return {m["name"]: m["state"] for m in json.loads(cli("migrate", "--json", *words).out)["migrations"]}


def test_init_is_idempotent(cli: Cli) -> None:
    assert json.loads(cli("init", "--json").out) == {"ok": True, "created": True}
    assert json.loads(cli("init", "--json").out) == {"ok": True, "created": False}
    answer = cli("init")
    assert (answer.code, answer.out) == (0, "nothing to do: all is there\n")


def test_what_was_run_and_what_was_there(cli: Cli) -> None:
    write({"001_table.sql": TABLE})
    answer = cli("migrate")
    assert answer.code == 0, answer.err
    heading, line = answer.out.splitlines()
    assert heading.split() == ["migration", "state", "applied", "at"]
    assert line.startswith("001_table  applied now  2")
    assert cli("migrate").out.splitlines()[1].startswith("001_table  applied  2")
    write({"002_add.sql": "INSERT INTO item VALUES (1, 'x')"})
    record = json.loads(cli("migrate", "--json").out)
    assert record["ok"] is True
    assert record["applied"] == ["002_add"]
    assert list(record["migrations"][1]) == ["number", "name", "file", "state", "applied_at"]
    assert record["migrations"][1]["file"] == "migrations/002_add.sql"


def test_a_dry_run_changes_nothing(cli: Cli) -> None:
    write({"001_table.sql": TABLE, "002_add.sql": "INSERT INTO item VALUES (1, 'x')"})
    answer = cli("migrate", "--dry-run")
    assert answer.code == 0
    assert [line.split()[:3] for line in answer.out.splitlines()[1:]] == [
        ["001_table", "would", "run"],
        ["002_add", "would", "run"],
    ]
    assert states(cli, "--dry-run") == {"001_table": "pending", "002_add": "pending"}
    assert json.loads(cli("init", "--json").out)["created"] is True  # not even the history was made


def test_a_dry_run_tells_what_would_stop_it(cli: Cli) -> None:
    write({"001_table.sql": TABLE})
    cli("migrate")
    write({"001_table.sql": TABLE + "-- more", "002_add.sql": "INSERT INTO item VALUES (1, 'x')"})
    answer = cli("migrate", "--dry-run")
    assert answer.code == 1
    assert "migrations/001_table.sql:1:1: error: this migration was applied at 2" in answer.err


def test_a_failure_is_shown_where_it_is(cli: Cli) -> None:
    write({"001_table.sql": TABLE, "002_bad.sql": "\nINSERT INTO itm VALUES (1);\n", "003_late.sql": "SELECT 1;"})
    answer = cli("migrate")
    assert answer.code == 1
    assert [line.split()[:2] for line in answer.out.splitlines()[1:]] == [
        ["001_table", "applied"],
        ["002_bad", "failed"],
        ["003_late", "pending"],
    ]
    head, line, caret, hint = answer.err.strip().splitlines()
    assert head.startswith("migrations/002_bad.sql:2:")
    assert line == "  2 | INSERT INTO itm VALUES (1);"
    assert "^" in caret
    assert hint.endswith("nothing of this file is applied: mend it, and run `sqlwright migrate` again")
    record = json.loads(cli("migrate", "--json").out)
    assert record["ok"] is False
    assert record["applied"] == []
    assert [(d["file"], d["line"]) for d in record["diagnostics"]] == [("migrations/002_bad.sql", 2)]


def test_by_hand(cli: Cli) -> None:
    write({"001_table.sql": "this is older than the history", "002_table.sql": TABLE})
    assert cli("migrate", "--mark-applied", "1").code == 0
    assert states(cli, "--dry-run") == {"001_table": "applied", "002_table": "pending"}
    assert cli("migrate").code == 0
    assert cli("migrate", "--forget", "1").code == 0
    assert states(cli, "--dry-run") == {"001_table": "pending", "002_table": "applied"}
    assert cli("migrate", "--forget", "7").code == 2


def test_another_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"1_table.sql": TABLE}, "schema")
    assert states(cli, "schema", "--dry-run") == {"1_table": "pending"}
    monkeypatch.setenv("SQLWRIGHT_MIGRATIONS", "schema")
    assert states(cli) == {"1_table": "applied"}


def test_each_of_two_at_once_tells_what_it_has_run(cli: Cli) -> None:
    names = [f"{number:03}_add" for number in range(2, 12)]
    write({"001_table.sql": TABLE, **{f"{name}.sql": f"INSERT INTO item VALUES ({name[:3]}, 'x')" for name in names}})
    command = [sys.executable, "-m", "sqlwright", "migrate", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    told = [json.loads(runner.communicate()[0]) for runner in both]
    assert sorted(told[0]["applied"] + told[1]["applied"]) == ["001_table", *names]


def test_what_was_run_before_a_failure_is_told(cli: Cli) -> None:
    write({"001_table.sql": TABLE, "002_bad.sql": "INSERT INTO itm VALUES (1);"})
    assert json.loads(cli("migrate", "--json").out)["applied"] == ["001_table"]


def test_the_folder_is_a_setting_like_any_other(cli: Cli) -> None:
    write({"001_table.sql": TABLE}, "elsewhere")
    assert states(cli, "--migrations", "elsewhere") == {"001_table": "applied"}
    assert states(cli, "elsewhere") == {"001_table": "applied"}
    assert cli("migrate", "one", "--migrations", "another").code == 2


def test_wrong_usage(cli: Cli) -> None:
    answer = cli("migrate")
    assert answer.code == 2
    assert "there is no folder migrations" in answer.err
    write({})
    answer = cli("migrate")
    assert answer.code == 0
    assert "there are no migrations" in answer.err
    assert cli("migrate", "--wait", "-1").code == 2


@pytest.mark.parametrize("command", ["init", "migrate"])
def test_the_database_is_away(cli: Cli, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"1_table.sql": TABLE})
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert cli(command).code == 3
    monkeypatch.setenv("DATABASE_URL", "")
    assert cli(command).code == 2
