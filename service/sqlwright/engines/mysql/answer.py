"""What the server sends in answer to a statement, read from the bytes as they come.

Nothing here waits: `Answer.take` reads what is there and can go on whenever there is more, so whoever reads an answer
may be cancelled between two pieces of it. A packet is three bytes of length, one of its number, and so many bytes; a
row is a packet of values, each its length and its bytes.
"""

from __future__ import annotations

import struct
from typing import Any

from pymysql.constants import SERVER_STATUS
from pymysql.protocol import FieldDescriptorPacket

from sqlwright.query import UNBOUNDED

Values = list[bytes | None]

PACKET_MAX = 0xFFFFFF
"""A packet of this length is continued by the next one."""
_HEAD = 4
_NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
_END = 0xFE
"""Begins the last packet of columns or rows, which is shorter than a value of that many bytes could be."""
_END_LENGTH_MAX = 8
_head = struct.Struct("<I").unpack_from
_two = struct.Struct("<H").unpack_from
_three = struct.Struct("<HB").unpack_from
_eight = struct.Struct("<Q").unpack_from
_command = struct.Struct("<IB").pack
_ending = struct.Struct("<HH").unpack_from


class OutOfOrder(Exception):
    """A packet with the wrong number: this is not the answer to what was sent."""


class Answer:
    """One answer, or the part of one that has no more than so many rows or bytes.

    `take` until `is_whole`, or until `is_full`: then the rows so far can be taken away, and more read.
    """

    __slots__ = (
        "_bytes_max", "_number", "_rows_max", "affected", "columns", "error", "insert_id", "is_full", "is_whole",
        "missing", "size", "status", "values", "warnings", "width",
    )  # fmt: skip

    def __init__(self, bytes_max: int = UNBOUNDED, rows_max: int = UNBOUNDED, number: int = 1) -> None:
        self._bytes_max = bytes_max
        self._rows_max = rows_max
        self._number = number
        """Of the next packet."""
        self.values: Values = []
        """Those of all rows, one after the other."""
        self.width = 0
        """Columns; 0 where there are no rows to come."""
        self.columns = b""
        """Their descriptions as they came, for `fields_of`."""
        self.size = 0
        """Bytes of the rows."""
        self.is_whole = False
        self.is_full = False
        self.error = b""
        """The packet that says what is wrong; it is the last one."""
        self.missing = 1
        """Bytes, at least, to go on with."""
        self.affected = self.insert_id = self.status = self.warnings = 0

    @property
    def has_next(self) -> bool:
        return bool(self.status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)

    def next(self) -> Answer:
        """To the next statement of a procedure."""
        return Answer(self._bytes_max, self._rows_max, self._number)

    def more(self, rows_max: int, bytes_max: int = UNBOUNDED) -> Values:
        """Take the values away that were read, to read so many more."""
        taken, self.values = self.values, []
        self._rows_max, self._bytes_max, self.is_full, self.size = rows_max, bytes_max, False, 0
        return taken

    def take(self, data: bytes, at: int) -> int:
        """Read `data` from `at` on, as far as it goes; returns where that is. Raises `OutOfOrder`."""
        if not self.width:
            at = self._begin(data, at)
        if self.width and not self.columns:
            at = self._describe(data, at)
        return self._rows(data, at) if self.columns else at

    def _begin(self, data: bytes, at: int) -> int:
        start, after = at + _HEAD, self._after(data, at)
        if not after:
            return at
        if data[at + 3] != self._number:
            raise OutOfOrder(data[at + 3])
        self._number = (self._number + 1) & 0xFF
        mark = data[start]
        if mark == _ERROR:
            self._fail(data, start, after)
        elif mark == 0:
            self.affected, place = _number_at(data, start + 1)
            self.insert_id, place = _number_at(data, place)
            self.status, self.warnings = _ending(data, place)
            self.is_whole = True
        elif mark == _NULL:
            raise OutOfOrder(0)  # it wants a file of ours, which nobody has offered
        else:
            self.width, _ = _number_at(data, start)
        return after

    def _describe(self, data: bytes, at: int) -> int:
        place = at
        for _ in range(self.width + 1):
            end, place = place, self._after(data, place)
            if not place:
                return at
        self.columns = data[at:end]
        self._number = (self._number + self.width + 1) & 0xFF
        return place

    def _rows(self, data: bytes, at: int) -> int:
        """The loop that all rows go through: what would read better as functions stands in line."""
        values, add = self.values, self.values.append
        there, size, rows = len(data), self.size, len(self.values) // self.width
        first, bytes_max, rows_max = rows, self._bytes_max, self._rows_max
        while rows < rows_max:
            place = at + _HEAD
            if place >= there:
                self.missing = place + 1 - there
                break
            length: int = _head(data, at)[0] & 0xFFFFFF
            after = place + length
            if after > there or length == PACKET_MAX:
                row, after = self._joined(data, at)
                if not after:
                    break
                values += _row(row)
                length = len(row)
            elif data[place] == _ERROR:
                self._fail(data, place, after)
                return after
            elif data[place] == _END and length <= _END_LENGTH_MAX:
                self.warnings, self.status = _ending(data, place + 1)
                self.is_whole = True
                if data[at + 3] != (self._number + rows - first) & 0xFF:
                    raise OutOfOrder(data[at + 3])
                at = after
                break
            else:
                while place < after:
                    count = data[place]
                    place += 1
                    if count < _NULL:
                        end = place + count
                        add(data[place:end])
                        place = end
                    elif count == _NULL:
                        add(None)
                    else:
                        count, place = _number_at(data, place - 1)
                        end = place + count
                        add(data[place:end])
                        place = end
            rows += 1
            at = after
            size += length
            if size > bytes_max:
                self.is_full = True
                break
        else:
            self.is_full = True
        self.size = size
        self._number = (self._number + rows - first + self.is_whole) & 0xFF
        return at

    def _joined(self, data: bytes, at: int) -> tuple[bytes, Any]:
        """A row that may be several packets, and where it ends; 0 when it is not all there."""
        pieces, length = [], PACKET_MAX
        while length == PACKET_MAX:
            after = self._after(data, at)
            if not after:
                return b"", 0
            length = after - at - _HEAD
            pieces.append(data[at + _HEAD : after])
            at = after
        self._number += len(pieces) - 1
        return b"".join(pieces), at

    def _after(self, data: bytes, at: int) -> int:
        """Where the packet at `at` ends; 0 when it is not all there."""
        there = len(data)
        if at + _HEAD > there:
            self.missing = at + _HEAD - there
            return 0
        after: int = at + _HEAD + (_head(data, at)[0] & 0xFFFFFF)
        if after > there:
            self.missing = after - there
            return 0
        return after

    def _fail(self, data: bytes, start: int, after: int) -> None:
        self.error = data[start:after]
        self.is_whole = True
        self.status = 0


def packet(command: int, data: bytes) -> bytes:
    """What is sent for a command; with more data than one packet has, several."""
    if len(data) + 1 < PACKET_MAX:
        return _command(len(data) + 1, command) + data
    payload = bytes([command]) + data
    pieces = [payload[at : at + PACKET_MAX] for at in range(0, len(payload), PACKET_MAX)]
    if len(pieces[-1]) == PACKET_MAX:
        pieces.append(b"")
    return b"".join(len(p).to_bytes(3, "little") + bytes([n & 0xFF]) + p for n, p in enumerate(pieces))


def fields_of(columns: bytes) -> list[FieldDescriptorPacket]:
    """What `Answer.columns` says: `name`, `type_code`, `flags`, `charsetnr`, `length`, `scale`, `db`, … a column."""
    fields, at = [], 0
    while at < len(columns):
        after = at + _HEAD + (_head(columns, at)[0] & 0xFFFFFF)
        fields.append(FieldDescriptorPacket(columns[at + _HEAD : after], "utf-8"))
        at = after
    return fields


def without_last(columns: bytes, count: int) -> bytes:
    """`Answer.columns` but for the last ones."""
    ends, at = [0], 0
    while at < len(columns):
        at += _HEAD + (_head(columns, at)[0] & 0xFFFFFF)
        ends.append(at)
    return columns[: ends[-1 - count]]


def _row(data: bytes) -> Values:
    values: Values = []
    at = 0
    while at < len(data):
        if data[at] == _NULL:
            values.append(None)
            at += 1
        else:
            count, at = _number_at(data, at)
            values.append(data[at : at + count])
            at += count
    return values


def _number_at(data: bytes, at: int) -> tuple[int, Any]:
    """A number of one to nine bytes, and where it ends."""
    first = data[at]
    if first < _NULL:
        return first, at + 1
    if first == _TWO_BYTES:
        return _two(data, at + 1)[0], at + 3
    if first == _THREE_BYTES:
        low, high = _three(data, at + 1)
        return low + (high << 16), at + 4
    return _eight(data, at + 1)[0], at + 9
