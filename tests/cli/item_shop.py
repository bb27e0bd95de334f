"""The item shop: its query files, and how the tests of commands call them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

FILES = {
    "setup.sql": """\
-- name: setup#
-- Makes the table.
CREATE TABLE item (item_id integer PRIMARY KEY, name text NOT NULL UNIQUE, price numeric(10, 2), note text);
INSERT INTO item VALUES (1, 'nail', 0.05, 'a "small" one,
really'), (2, 'saw', 19.90, NULL), (3, '=Σ', 100.25, '');
""",
    "items/all.sql": "-- Everything in the shop.\nSELECT item_id, name, price, note FROM item ORDER BY item_id;\n",
    "items/one.sql": """\
-- name: get(item_id)^
-- One item.
-- @param item_id integer - the key
SELECT item_id, name, price, note FROM item WHERE item_id = :item_id;
-- name: find(name) :one?
SELECT item_id FROM item WHERE name = :name;
-- name: count $
SELECT count(*) FROM item;
-- name: named
-- @param names text[]
SELECT item_id, name FROM item WHERE name IN (:names) ORDER BY name, item_id;
-- name: set_price!
-- @param price numeric min 0
UPDATE item SET price = :price WHERE item_id = :item_id;
-- name: add<!
-- @param note text? = null
INSERT INTO item (item_id, name, note) VALUES (:item_id, :name, :note) RETURNING item_id, name, note;
-- name: load*!
INSERT INTO item (item_id, name) VALUES (:item_id, :name);
""",
}


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Cli(Protocol):
    def __call__(self, *words: str, stdin: bytes = b"") -> Answer: ...


def write(files: dict[str, str], folder: str = "queries") -> None:
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
