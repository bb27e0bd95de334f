"""What is proven of a query that reads: that it leaves nothing in its session, and gives the same alone as in company.

The proof goes by names. Every name in the statement is looked up, whatever it stands for there: as a function, as a
relation, as a schema; so are the names in the views, the functions of LANGUAGE sql and the checks of domains that this
finds. A name too many makes a proof fail that could be had; none is too few. What runs without any name (casts, types,
operator classes) is looked at as a whole.

A proof is one of its moment: whoever replaces a view or a function must let queries be described anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from sqlwright.engines.postgres.names import Names, names_in, only_reads, together
from sqlwright.engines.postgres.proof_catalogue import catalogue
from sqlwright.engines.postgres.session import Session

_DEPTH_MAX = 8
_TEXTS_MAX = 200
"""Views, functions and checks that are looked into."""

_BUILT_IN = "built in"
_TRUSTED_EXTENSIONS = frozenset(
    """
    btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch hstore intarray ltree pg_trgm
    pgcrypto postgis seg unaccent uuid-ossp vector
    """.split()  # noqa: SIM905 - a list of quoted words would fill the page
)
"""Their C functions do what their volatility says, and run no SQL that they are given."""
_HARMLESS = frozenset(
    """
    array_sample array_shuffle clock_timestamp gen_random_bytes gen_random_uuid gen_salt pg_sleep pg_sleep_for
    pg_sleep_until random random_normal timeofday uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7
    """.split()  # noqa: SIM905
)
"""Volatile functions that leave nothing behind."""
_STEADY = frozenset({"pg_typeof", "pg_column_size", "pg_client_encoding", "pg_get_serial_sequence"})
"""Stable functions named pg_… that tell the same to everybody. The others may tell of the session or the server."""
_OF_THE_SESSION = frozenset(
    """
    current_setting inet_client_addr inet_client_port txid_current txid_current_if_assigned txid_current_snapshot
    """.split()  # noqa: SIM905
)
_RUNS_TEXT = ("_to_xml", "_to_xmlschema", "_to_xml_and_xmlschema")
"""Endings of built-in functions that run what their arguments name: `table_to_xml('a_view', …)`."""
_UNWRITTEN_OPERATORS = frozenset(["=", "<>", "!=", "<", ">", "<=", ">=", "~", "!~", "~~", "!~~", "~~*", "!~~*"])
"""What IN, BETWEEN, LIKE, USING, CASE, NULLIF, DISTINCT and their like mean."""


@dataclass(frozen=True, slots=True)
class Proof:
    keeps_session: bool = False
    """It leaves nothing in the session, whatever its parameters."""
    independent: bool = False
    """It gives the same to everybody at one moment: no chance, no clock, nothing of the session's."""

    def __and__(self, other: Proof) -> Proof:
        return Proof(self.keeps_session and other.keeps_session, self.independent and other.independent)


NOTHING = Proof()
_KEEPS = Proof(keeps_session=True)
_ALL = Proof(keeps_session=True, independent=True)


def is_momentary(error: asyncpg.PostgresError) -> bool:
    """The server's trouble of the moment (connection, resources, locks, a timeout): it says nothing of a statement."""
    return error.sqlstate[:2] in ("08", "53", "57") or error.sqlstate == "55P03"


async def prove(session: Session, text: str) -> Proof:
    """`text` is a statement that reads. A database that does not answer as PostgreSQL does proves nothing."""
    question = catalogue(session.get_server_version().major)
    proof, texts, seen = _ALL, {text}, {text}
    for _ in range(_DEPTH_MAX):
        names = together(names_in(text) for text in texts)
        if not names.legible:
            return NOTHING
        try:
            rows = await session.fetch(question, sorted(names.words), sorted(names.called))
        except asyncpg.PostgresError as error:
            if is_momentary(error):
                raise
            return NOTHING
        for row in rows:
            proof &= _judge(row, names)
        texts = {row["body"] for row in rows if row["body"]} - seen
        seen |= texts
        if not texts or not proof.keeps_session:
            return proof
        if len(seen) > _TEXTS_MAX:
            break
    return NOTHING


def _judge(row: Any, names: Names) -> Proof:
    what, name = row["what"], row["name"]
    if what == "function":
        return _judge_function(row)
    if what == "relation":
        if row["doubtful"] or row["kind"] == "f" or (row["body"] and not only_reads(row["body"])):
            return NOTHING
        # What a sequence says is of no moment, and views of the system tell of the session.
        return _KEEPS if row["kind"] == "S" or row["source"] == _BUILT_IN else _ALL
    if what == "operator":
        met = name in _UNWRITTEN_OPERATORS or any(name in run for run in names.operators)
        return NOTHING if met else _ALL
    return _ALL if what == "text" else NOTHING


def _judge_function(row: Any) -> Proof:
    name, source, volatile = row["name"], row["source"], row["volatility"] == "v"
    if row["kind"] == "a":
        return _ALL  # its parts have rows of their own
    if row["doubtful"] or row["kind"] == "p":
        return NOTHING
    if source == _BUILT_IN:
        if volatile:
            return _KEEPS if name in _HARMLESS else NOTHING
        if name.endswith(_RUNS_TEXT):
            return NOTHING
        told = name in _OF_THE_SESSION or (name.startswith("pg_") and row["volatility"] == "s" and name not in _STEADY)
        return _KEEPS if told else _ALL
    if row["language"] == "sql":
        if not only_reads(row["body"]):
            return NOTHING
        return _KEEPS if volatile else _ALL
    if row["language"] != "c" or source not in _TRUSTED_EXTENSIONS:
        return NOTHING if not (row["language"] == "internal" and source in _TRUSTED_EXTENSIONS) else _ALL
    if volatile:
        return _KEEPS if name in _HARMLESS else NOTHING
    return _ALL
