from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from item_shop import Cli

CASES = Path(__file__).parent.parent / "cases" / "cli"

WRONG = {
    "broken/bad.sql": "-- Never closed.\nSELECT 'open\n",
    "broken/iff.sql": "-- @iff x\nSELECT 1 AS n;\n",
    "missing.sql": "SELECT item_id\nFROM itm\nWHERE item_id = :item_id;\n",
    "loose.sql": "SELECT item_id, name FROM item;\n",
}


def test_a_right_folder(cli: Cli, shop: str) -> None:
    answer = cli("check")
    assert answer.code == 0, answer.out
    assert answer.out.endswith("9 queries are right, 0 errors, 0 warnings\n")


def test_json(cli: Cli, shop: str) -> None:
    report = json.loads(cli("check", "--json").out)
    assert report["ok"] is True
    queries = {query["name"]: query for query in report["queries"]}
    price, item_id = queries["items.set_price"]["parameters"]
    assert (price["name"], price["nullable"], price["required"]) == ("price", False, True)
    assert price["type"].startswith("numeric")
    assert item_id["type"].startswith("int")
    note = queries["items.add"]["parameters"][2]
    assert (note["name"], note["nullable"], note["required"]) == ("note", True, False)
    assert [column["name"] for column in queries["items.all"]["columns"]] == ["item_id", "name", "price", "note"]
    assert {"name", "type", "nullable"} == set(queries["items.all"]["columns"][0])
    assert queries["items.named"]["parameters"][0]["type"] == "text[]"


def test_every_error_is_told_and_hides_no_query(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    files(WRONG)
    answer = cli("check", "--json")
    assert answer.code == 1
    report = json.loads(answer.out)
    assert report["ok"] is False
    assert {"items.all", "loose", "missing"} <= {query["name"] for query in report["queries"]}
    found = {(d["severity"], d["file"], d["line"]) for d in report["diagnostics"]}
    assert {
        ("error", "queries/broken/bad.sql", 2),
        ("error", "queries/broken/iff.sql", 1),
        ("warning", "queries/loose.sql", 1),
    } <= found
    assert [d for d in report["diagnostics"] if d["file"] == "queries/missing.sql" and "itm" in d["message"]]
    keys = ["severity", "file", "line", "column", "code", "message", "hint"]
    assert all(list(diagnostic) == keys for diagnostic in report["diagnostics"])


def test_the_messages(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    files(WRONG)
    answer = cli("check")
    assert answer.code == 1
    engine = shop.split(":", maxsplit=1)[0]
    database = shop.rpartition("/")[2]
    assert answer.out.replace(f"{database}.", "") == (CASES / f"check.{engine}.txt").read_text(encoding="utf-8")


def test_a_type_that_nothing_tells_is_a_warning(cli: Cli, sqlite_url: str, files: Callable[..., None]) -> None:
    files({"a.sql": "SELECT :value AS v ORDER BY 1;\n"})
    answer = cli("check", "--json", "--database-url", sqlite_url)
    report = json.loads(answer.out)
    assert answer.code == 0
    assert report["queries"][0]["parameters"][0]["type"] is None
    (warning,) = report["diagnostics"]
    assert (warning["severity"], warning["line"], warning["column"]) == ("warning", 1, 8)
    assert "@param value TYPE" in warning["hint"]


def test_an_unreachable_database_is_3_and_files_are_told(cli: Cli, files: Callable[..., None]) -> None:
    files({"a.sql": "SELECT 1", "b.sql": "SELECT 'open"})
    answer = cli("check", "--json", "--database-url", "postgresql://u:secret@127.0.0.1:1/x")
    assert answer.code == 3
    report = json.loads(answer.out)
    assert report["ok"] is False
    assert report["diagnostics"][0]["file"] == "queries/b.sql"
    assert "secret" not in answer.err + answer.out
