from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from item_shop import Cli


@pytest.mark.parametrize("analyze", [[], ["--analyze"]])
def test_the_plan_of_a_read(cli: Cli, shop: str, analyze: list[str]) -> None:
    answer = cli("explain", "items.get", "item_id=2", *analyze)
    assert answer.code == 0, answer.err
    assert "item" in answer.out
    assert answer.err == ""
    assert cli("explain", "items.get", "item_id=2", "--json", *analyze).code == 0


def test_json(cli: Cli, shop: str) -> None:
    explained = json.loads(cli("explain", "items.all", "--json").out)
    assert (explained["name"], explained["analyzed"]) == ("items.all", False)
    assert "item" in json.dumps(explained["plan"])
    explained = json.loads(cli("explain", "items.all", "--json", "--analyze").out)
    assert explained["analyzed"] is True


def test_people_see_their_own_statement_and_not_its_frame(cli: Cli, shop: str) -> None:
    text = cli("explain", "items.all").out + cli("explain", "items.add", "item_id=9", "name=x").out
    assert "json" not in text.lower()
    assert "__sqlwright" not in text


WRITES = [
    (["items.add", "item_id=9", "name=x"], b""),
    (["items.set_price", "item_id=1", "price=5"], b""),
    (["items.load", "--params", "-"], b'[{"item_id": 9, "name": "x"}, {"item_id": 10, "name": "y"}]'),
]


@pytest.mark.parametrize("analyze", [[], ["--analyze"]])
@pytest.mark.parametrize(("words", "stdin"), WRITES)
def test_a_write_leaves_nothing(cli: Cli, shop: str, words: list[str], stdin: bytes, analyze: list[str]) -> None:
    before = cli("run", "items.all").out
    answer = cli("explain", *words, *analyze, stdin=stdin)
    assert answer.code == 0, answer.err
    assert ("rolled back" in answer.err) is bool(analyze)
    assert cli("run", "items.all").out == before


def test_without_analyze_nothing_runs(cli: Cli, shop: str) -> None:
    """A row that is there already would be refused if the statement ran."""
    assert cli("explain", "items.add", "item_id=1", "name=nail").code == 0
    refused = cli("explain", "items.add", "item_id=1", "name=nail", "--analyze")
    assert refused.code == 1
    assert refused.err.startswith("sqlwright: ")
    assert cli("run", "items.count").out == '{"value":3}\n'


@pytest.mark.parametrize("words", [["item_id=x"], [], ["item_id=1", "nope=2"]])
def test_wrong_parameters_say_what_run_says(cli: Cli, shop: str, words: list[str]) -> None:
    explained, run = cli("explain", "items.get", *words), cli("run", "items.get", *words)
    assert (explained.code, explained.out, explained.err) == (1, "", run.err)


def test_lists_and_nulls_are_bound(cli: Cli, shop: str) -> None:
    for words in (["names=nail", "names=saw"], ["names=" + "'; DROP TABLE item; --"]):
        assert cli("explain", "items.named", *words, "--analyze").code == 0
    assert cli("explain", "items.add", "--params", "-", stdin=b'{"item_id": 9, "name": "x", "note": null}').code == 0
    assert cli("run", "items.count").out == '{"value":3}\n'


def test_a_script_has_no_plan(cli: Cli, shop: str) -> None:
    for words in ([], ["--analyze"]):
        answer = cli("explain", "setup", *words)
        assert (answer.code, answer.out) == (1, "")
        assert "setup is a script" in answer.err


def test_a_bulk_query_without_items(cli: Cli, shop: str) -> None:
    answer = cli("explain", "items.load", "--params", "-", stdin=b"[]")
    assert answer.code == 1
    assert "none is given" in answer.err


def test_a_paged_query_says_that_all_rows_are_planned_for(cli: Cli, shop: str) -> None:
    assert "the plan for all rows" in cli("explain", "items.all").err
    assert cli("explain", "items.count").err == ""


def test_unknown_and_unreachable(cli: Cli, shop: str) -> None:
    assert cli("explain", "items.gett").code == 1
    answer = cli("explain", "items.get", "item_id=1", "--database-url", "postgresql://u:secret@127.0.0.1:1/x")
    assert answer.code == 3
    assert "secret" not in answer.err


def test_the_timeout_of_the_query_holds(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    # A product of many rows with itself, which no engine can count in this time.
    slow = """-- :result :value
-- @timeout 0.2s
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
SELECT sum(a.i * b.i + c.i) FROM n a CROSS JOIN n b CROSS JOIN n c
"""
    files({"slow.sql": slow})
    assert cli("explain", "slow").code == 0
    answer = cli("explain", "slow", "--analyze")
    assert answer.code == 1
    assert "took too long" in answer.err or "in time" in answer.err
