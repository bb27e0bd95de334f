from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from item_shop import Cli

CASES = Path(__file__).parent.parent / "cases" / "cli"


def test_the_statement_and_its_values(cli: Cli, shop: str) -> None:
    answer = cli("show", "items.set_price", "price=1.50", "item_id=2")
    engine = shop.split(":", maxsplit=1)[0]
    assert answer.code == 0, answer.err
    assert answer.out == (CASES / f"show.{engine}.txt").read_text(encoding="utf-8")


def test_it_runs_nothing(cli: Cli, shop: str) -> None:
    cli("show", "items.add", "item_id=9", "name=x")
    assert cli("run", "items.count").out == '{"value":3}\n'


def test_json(cli: Cli, shop: str) -> None:
    shown = json.loads(cli("show", "items.get", "item_id=2", "--json").out)
    assert shown["name"] == "items.get"
    (value,) = shown["values"]
    assert value == {"placeholder": 1, "name": "item_id", "type": "integer", "value": 2}
    assert "FROM item WHERE item_id =" in shown["sql"]


def test_without_values_the_statement_and_what_it_needs(cli: Cli, shop: str) -> None:
    answer = cli("show", "items.get")
    assert answer.code == 0
    assert "FROM item" in answer.out
    assert answer.err == "no values given; it needs item_id\n"


def test_wrong_values_are_refused(cli: Cli, shop: str) -> None:
    answer = cli("show", "items.get", "item_id=x")
    assert answer.code == 1
    assert "  item_id: " in answer.err


def test_of_a_bulk_query_the_first_item(cli: Cli, shop: str) -> None:
    answer = cli("show", "items.load", "--params", "-", "--json", stdin=b'[{"item_id": 7, "name": "a"}]')
    assert [value["value"] for value in json.loads(answer.out)["values"]] == [7, "a"]


@pytest.mark.parametrize("words", [["item_id=2"], []])
def test_without_a_database_what_the_file_tells(cli: Cli, files: Callable[..., None], words: list[str]) -> None:
    files({"get.sql": "-- @param item_id integer\nSELECT name FROM item WHERE item_id = :item_id"})
    answer = cli("show", "get", *words, "--database-url", "postgresql://u:secret@127.0.0.1:1/x")
    assert answer.code == 0
    assert answer.out.startswith("SELECT name FROM item WHERE item_id = $1\n")
    assert "as the file alone tells it" in answer.err
    assert "secret" not in answer.err
