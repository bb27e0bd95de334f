from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from item_shop import Cli

from reliability import Tally

CASES = Path(__file__).parent.parent / "cases" / "cli"
README = Path(__file__).parent.parent.parent / "README.md"

SLOW = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) AS n FROM c"


@pytest.mark.parametrize("format", ["table", "csv", "ndjson", "json"])
def test_every_format_of_many_rows(cli: Cli, shop: str, format: str) -> None:
    answer = cli("run", "items.all", "--format", format)
    assert answer.code == 0
    golden = CASES / f"run.{format}.txt"
    assert answer.out == golden.read_bytes().decode("utf-8")


def test_csv_is_read_back_by_a_csv_reader(cli: Cli, shop: str) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("run", "items.all", "--format", "csv").out, newline="")))
    assert rows[0] == {"item_id": "1", "name": "nail", "price": "0.05", "note": 'a "small" one,\nreally'}
    assert len(rows) == 3


@pytest.mark.reliability(11)
def test_csv_cells_are_what_is_stored(cli: Cli, shop: str, tally: Tally) -> None:
    """A program reads back what is there; that a spreadsheet may take it for a formula is documented."""
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "a,b", 'a"b', "a\nb", " a", ""]
    for number, name in enumerate(names):
        assert cli("run", "items.add", f"item_id={100 + number}", f"name={name}").code == 0
    out = cli("run", "items.all", "--format", "csv").out
    rows = {row["item_id"]: row["name"] for row in csv.DictReader(io.StringIO(out, newline=""))}
    assert [rows[str(100 + number)] for number in range(len(names))] == names
    assert "formula" in cli("run", "--help").out
    assert "formula" in README.read_text(encoding="utf-8")
    tally.inputs(11, len(names))


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["items.get", "item_id=2"], '{"item_id":2,"name":"saw","price":19.90,"note":null}'),
        (["items.find", "name=saw"], '{"item_id":2}'),
        (["items.find", "name=none"], "null"),
        (["items.count"], '{"value":3}'),
        (["items.named", "names=saw", "names=nail"], None),
        (["items.set_price", "price=1.10", "item_id=2"], '{"affected":1}'),
        (["items.add", "item_id=9", "name=axe"], '{"item_id":9,"name":"axe","note":null}'),
    ],
)
def test_the_body_of_each_kind(cli: Cli, shop: str, words: list[str], body: str | None) -> None:
    answer = cli("run", *words)
    assert answer.code == 0, answer.err
    if body is not None:
        assert answer.out == body + "\n"
    else:
        assert [row["item_id"] for row in json.loads(answer.out)["data"]] == [1, 2]


@pytest.mark.parametrize(
    ("words", "table", "lines"),
    [
        (["items.get", "item_id=2"], "column   value\nitem_id  2\nname     saw\nprice    19.90\nnote     null\n", 1),
        (["items.count"], "value\n3\n", 1),
        (["items.find", "name=none"], "", 0),
        (["items.set_price", "price=1", "item_id=77"], "affected\n0\n", 1),
    ],
)
def test_single_results_in_the_other_formats(cli: Cli, shop: str, words: list[str], table: str, lines: int) -> None:
    assert cli("run", *words, "--format", "table").out == table
    assert len(cli("run", *words, "--format", "ndjson").out.splitlines()) == lines
    assert len(cli("run", *words, "--format", "csv").out.splitlines()) == lines + 1


def test_every_row_and_no_pages(cli: Cli, shop: str) -> None:
    items = [{"item_id": number, "name": f"n{number}"} for number in range(10, 2510)]
    assert cli("run", "items.load", "--params", "-", stdin=json.dumps(items).encode()).out == '{"affected":2500}\n'
    body = json.loads(cli("run", "items.all").out)
    assert len(body["data"]) == 2503
    assert body["next"] is None


def test_params_are_json_with_json_types(cli: Cli, shop: str) -> None:
    Path("p.json").write_text('{"names": ["saw"]}')
    assert json.loads(cli("run", "items.named", "--params", "p.json").out)["data"] == [{"item_id": 2, "name": "saw"}]
    answer = cli("run", "items.get", "--params", "-", stdin=b'{"item_id": "2"}')
    assert answer.code == 1
    assert "  item_id: " in answer.err


def test_bulk_takes_lines_of_json_too(cli: Cli, shop: str) -> None:
    answer = cli(
        "run", "items.load", "--params", "-", stdin=b'{"item_id": 5, "name": "a"}\n\n{"item_id": 6, "name": "b"}'
    )
    assert answer.out == '{"affected":2}\n'
    answer = cli("run", "items.load", "--params", "-", stdin=b'{"item_id": 7, "name": "c"}\n{"item_id": 8, }')
    assert answer.code == 1
    assert "line 2 of --params" in answer.err
    assert cli("run", "items.count").out == '{"value":5}\n'


def test_bulk_faults_name_their_item_and_nothing_is_written(cli: Cli, shop: str) -> None:
    items = [{"item_id": 5, "name": "a"}, {"item_id": "x", "nam": "b"}]
    answer = cli("run", "items.load", "--params", "-", stdin=json.dumps(items).encode())
    assert answer.code == 1
    assert "  item 2: item_id: " in answer.err
    assert "  item 2: nam: " in answer.err
    assert cli("run", "items.count").out == '{"value":3}\n'


def test_bulk_without_params_says_how(cli: Cli, shop: str) -> None:
    answer = cli("run", "items.load", "item_id=1")
    assert answer.code == 2
    assert "--params" in answer.err


def test_all_faults_at_once(cli: Cli, shop: str) -> None:
    answer = cli("run", "items.set_price", "price=-1", "item_id=x", "itm=1")
    assert answer.code == 1
    assert not answer.out
    assert [line.split(":")[0].strip() for line in answer.err.splitlines()[1:]] == ["price", "item_id", "itm"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["items.gte"], 1, "did you mean items.get"),
        (["zzzzzz"], 1, "`sqlwright list` lists the queries"),
        (["items.get", "item_id"], 2, "'item_id' is not key=value"),
        (["items.get", "=5"], 2, "'=5' is not key=value"),
        (["items.get", "item_id=5", "--params", "-"], 2, "cannot be mixed"),
        (["items.get", "--params", "nowhere.json"], 2, "--params nowhere.json: No such file"),
        (["items.get", "item_id=99"], 1, "no row"),
        (["items.add", "item_id=1", "name=x"], 1, "sqlwright: "),
    ],
)
def test_refusals(cli: Cli, shop: str, words: list[str], code: int, message: str) -> None:
    answer = cli("run", *words)
    assert answer.code == code
    assert not answer.out
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_options_may_stand_between_values(cli: Cli, shop: str) -> None:
    assert cli("run", "items.set_price", "price=1", "--format", "json", "item_id=1").out == '{"affected":1}\n'


def test_a_text_may_hold_anything(cli: Cli, shop: str) -> None:
    text = "a=b 'c' \"d\" ; -- \\ é 𝄞"
    answer = cli("run", "items.add", "item_id=4", f"name={text}")
    assert json.loads(answer.out)["name"] == text


def test_a_value_cannot_drive_the_terminal(cli: Cli, shop: str) -> None:
    cli("run", "items.add", "item_id=4", "name=\x1b[2Jx")
    assert "\\x1b[2Jx" in cli("run", "items.all", "--format", "table").out


def test_another_wrong_file_is_told_and_stops_nothing(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    files({"bad.sql": "SELECT 'open"})
    answer = cli("run", "items.count")
    assert answer.out == '{"value":3}\n'
    assert "queries/bad.sql is wrong and left out" in answer.err
    answer = cli("run", "bad")
    assert answer.code == 1
    assert "queries/bad.sql:1:8: error: " in answer.err


def test_what_the_database_refuses_is_shown_with_its_place(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    files({"bad.sql": "SELECT *\nFROM missing"})
    answer = cli("run", "bad")
    assert answer.code == 1
    assert "queries/bad.sql:" in answer.err
    assert "missing" in answer.err


def test_an_unreachable_database_is_3(cli: Cli, files: Callable[..., None]) -> None:
    files({"a.sql": "SELECT 1 AS n"})
    answer = cli("run", "a", "--database-url", "postgresql://u:secret@127.0.0.1:1/x")
    assert answer.code == 3
    assert not answer.out
    assert "secret" not in answer.err


def test_a_script_runs_and_says_how_much(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    files({"more.sql": "-- name: more#\nCREATE TABLE more (a int);\nINSERT INTO more VALUES (1), (2);"})
    answer = cli("run", "more")
    assert answer.code == 0
    assert "affected" in json.loads(answer.out)


def test_interrupted_is_130(cli: Cli, shop: str, files: Callable[..., None]) -> None:
    files({"slow.sql": SLOW})
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    answer = cli("run", "slow")
    timer.join()
    assert answer.code == 130
    assert answer.err.endswith("interrupted\n")
