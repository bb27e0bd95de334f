"""An answer of MariaDB's is the same in however many pieces it comes, and however large its packets are."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from sqlwright.engines.mysql.answer import PACKET_MAX, Answer, OutOfOrder, fields_of, packet
from sqlwright.engines.mysql.fetched import tuples

END = b"\xfe\x00\x00\x02\x00"
ROWS = [
    (b"1", None, b""),
    (b"\xfb\xfe\xff", b"x" * 250, b"x" * 251),
    (None, None, None),
    (b"\xfe" * 9, b"x" * 70_000, b"\xff"),
]


def number(value: int) -> bytes:
    if value < 251:
        return bytes([value])
    return b"\xfc" + struct.pack("<H", value) if value < 2**16 else b"\xfd" + value.to_bytes(3, "little")


def text(value: bytes | None) -> bytes:
    return b"\xfb" if value is None else number(len(value)) + value


def field(name: bytes) -> bytes:
    names = b"".join(map(text, (b"def", b"db", b"t", b"t", name, name)))
    return names + struct.pack("<BHIBHBH", 12, 45, 80, 253, 0, 0, 0)


def packets(*payloads: bytes) -> bytes:
    """As a server numbers them, those that are too long in pieces."""
    found, count = b"", 1
    for payload in payloads:
        at = 0
        while True:
            piece = payload[at : at + PACKET_MAX]
            found += len(piece).to_bytes(3, "little") + bytes([count & 0xFF]) + piece
            at, count = at + len(piece), count + 1
            if len(piece) < PACKET_MAX:
                break
    return found


def rows_as_packets(rows: Sequence[Sequence[bytes | None]], *last: bytes) -> bytes:
    columns = [field(b"c%d" % index) for index in range(len(rows[0]))]
    return packets(number(len(columns)), *columns, END, *(b"".join(map(text, row)) for row in rows), *(last or (END,)))


def in_pieces(answer: Answer, data: bytes, size: int) -> int:
    """Give the data piece by piece, as a reader does; returns where the answer ends."""
    kept, at, given = b"", 0, 0
    while not (answer.is_whole or answer.is_full):
        kept, at = kept[at:] + data[given : given + size], 0
        assert given < len(data)
        given = min(given + size, len(data))
        at = answer.take(kept, at)
    return given - len(kept) + at


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 1000, 65_536, 10**6])
def test_rows_in_pieces(size: int) -> None:
    rows = ROWS if size > 7 else ROWS[:3]
    data = rows_as_packets(rows)
    answer = Answer()
    assert in_pieces(answer, data + b"next", size) == len(data)
    assert tuples(answer.values, answer.width) == rows
    assert [f.name for f in fields_of(answer.columns)] == ["c0", "c1", "c2"]
    assert (answer.error, answer.status) == (b"", 2)
    assert answer.size == sum(len(text(value)) for row in rows for value in row)


def test_more_rows_than_numbers_of_packets() -> None:
    rows = [(b"%d" % n,) for n in range(1000)]
    answer = Answer()
    in_pieces(answer, rows_as_packets(rows), 333)
    assert tuples(answer.values, 1) == rows


@pytest.mark.parametrize("length", [PACKET_MAX - 5, PACKET_MAX - 4, PACKET_MAX, 2 * PACKET_MAX - 4])
def test_a_row_of_several_packets(length: int) -> None:
    rows = [(b"a",), (b"\xff" * length,), (b"b",)]
    payloads = [b"\xfe" + struct.pack("<Q", length) + rows[1][0] if row is rows[1] else text(row[0]) for row in rows]
    data = packets(number(1), field(b"c0"), END, *payloads, END)
    answer = Answer()
    in_pieces(answer, data, 5_000_000)
    assert tuples(answer.values, 1) == rows


def test_rows_are_taken_piece_by_piece() -> None:
    data = rows_as_packets(ROWS)
    answer = Answer(rows_max=0)
    at = answer.take(data, 0)
    found = []
    while not answer.is_whole:
        answer.more(1)
        at = answer.take(data, at)
        found += tuples(answer.more(0), answer.width)
    assert (found, at) == (ROWS, len(data))


def test_it_stops_behind_the_row_that_has_no_room() -> None:
    answer = Answer(bytes_max=10)
    answer.take(rows_as_packets(ROWS), 0)
    assert (answer.is_full, answer.is_whole) == (True, False)
    assert tuples(answer.values, 3) == ROWS[:2]


def test_an_error_among_the_rows() -> None:
    wrong = b"\xff\xb1\x07#70100stopped"
    answer = Answer()
    data = rows_as_packets(ROWS[:1], wrong)
    assert in_pieces(answer, data, 3) == len(data)
    assert answer.error == wrong


def test_what_gives_no_rows() -> None:
    answer = Answer()
    data = packets(b"\x00" + number(70_000) + number(300) + b"\x0b\x00\x01\x00and more")
    assert answer.take(data[:6], 0) == 0
    assert answer.take(data, 0) == len(data)
    assert (answer.affected, answer.insert_id, answer.status, answer.warnings) == (70_000, 300, 11, 1)
    assert (answer.is_whole, answer.has_next, answer.width) == (True, True, 0)


@pytest.mark.parametrize("data", [b"\x01\x00\x00\x00\xff", b"\x01\x00\x00\x01\xfb", b"\x01\x00\x00\x07\x01"])
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(OutOfOrder):
        Answer().take(data, 0)


@pytest.mark.parametrize("length", [0, 1, PACKET_MAX - 2, PACKET_MAX - 1, PACKET_MAX, 2 * PACKET_MAX - 1])
def test_a_command_of_any_length(length: int) -> None:
    sent = packet(3, b"x" * length)
    payload, at, count = b"", 0, 0
    while True:
        size = int.from_bytes(sent[at : at + 3], "little")
        assert sent[at + 3] == count
        payload += sent[at + 4 : at + 4 + size]
        at, count = at + 4 + size, count + 1
        if size < PACKET_MAX:
            break
    assert (at, payload) == (len(sent), b"\x03" + b"x" * length)
