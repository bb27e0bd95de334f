from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from item_shop import FILES, Cli

CASES = Path(__file__).parent.parent / "cases" / "cli"


def test_the_table(cli: Cli, files: Callable[..., None]) -> None:
    files(FILES)
    answer = cli("list", "--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert answer == (0, (CASES / "list.txt").read_text(encoding="utf-8"), "")


def test_json(cli: Cli, files: Callable[..., None]) -> None:
    files(FILES)
    answer = cli("list", "--json", "--database-url", ":memory:")
    records = {record["name"]: record for record in json.loads(answer.out)}
    assert list(records) == sorted(records)
    assert records["items.set_price"] == {
        "name": "items.set_price",
        "cardinality": "exec",
        "access": "write",
        "parameters": ["price", "item_id"],
        "file": "queries/items/one.sql",
        "line": 12,
    }
    assert records["setup"]["access"] == "script"
    assert records["items.all"]["access"] == "read"


def test_only_the_dialect_of_the_url_counts(cli: Cli, files: Callable[..., None]) -> None:
    files({"a.sqlite.sql": "SELECT 1", "a.postgresql.sql": "SELECT 1, :p"})
    for url, parameters in (("sqlite:///no/such/folder.db", []), ("postgresql://nobody@127.0.0.1:1/x", ["p"])):
        answer = cli("list", "--json", "--database-url", url)
        assert answer.code == 0
        assert json.loads(answer.out)[0]["parameters"] == parameters


def test_without_a_url_the_dialect_that_suits_the_files_is_taken(cli: Cli, files: Callable[..., None]) -> None:
    files({"a.sql": "SELECT 1"})
    assert cli("list").err == "no DATABASE_URL: the files are read as postgresql's\n"
    files({"b.sql": "-- name: b<!\nINSERT INTO t (a) VALUES (1)"})
    answer = cli("list")
    assert answer.code == 0
    assert answer.err == "no DATABASE_URL: the files are read as sqlite's\n"


def test_a_wrong_file_hides_no_other(cli: Cli, files: Callable[..., None]) -> None:
    files({"good.sql": "SELECT 1", "bad.sql": "SELECT 'open", "worse.sql": "-- @iff x\nSELECT 1"})
    answer = cli("list", "--json", "--database-url", ":memory:")
    assert answer.code == 1
    assert [record["name"] for record in json.loads(answer.out)] == ["good"]
    assert "queries/bad.sql:1:8: error: " in answer.err
    assert "queries/worse.sql:1:" in answer.err


def test_an_empty_folder_says_what_a_query_is(cli: Cli) -> None:
    Path("queries").mkdir()
    answer = cli("list", "--json", "--database-url", ":memory:")
    assert answer.code == 0
    assert json.loads(answer.out) == []
