"""The listening sockets, without a server."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from sqlwright.config import Settings
from sqlwright.http.listening import (
    connections,
    deafen,
    has_waiting,
    open_listeners,
    refuse_newcomers,
    spread_over,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")


def _wait_for(listener: socket.socket) -> bool:
    end = time.monotonic() + 5
    while not has_waiting(listener) and time.monotonic() < end:
        time.sleep(0.01)
    return has_waiting(listener)


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.mark.reliability(38)
def test_who_is_deaf_takes_nothing_and_the_other_takes_all() -> None:
    (listener,) = open_listeners(Settings(port=0))
    with listener, listener.dup() as leaving, socket.create_connection(("127.0.0.1", _port(listener))):
        assert _wait_for(leaving)
        deafen(leaving)
        with pytest.raises(BlockingIOError):
            leaving.accept()
        assert _wait_for(listener)
        listener.accept()[0].close()


@LINUX
@pytest.mark.reliability(38)
def test_newcomers_are_refused_and_who_waits_is_not() -> None:
    (listener,) = open_listeners(Settings(port=0))
    with listener, socket.create_connection(("127.0.0.1", _port(listener))) as early:
        early.sendall(b"hello")
        refuse_newcomers(listener)
        with socket.socket() as late:
            late.settimeout(0.3)
            with pytest.raises(TimeoutError):  # tried again after a second, and refused then
                late.connect(("127.0.0.1", _port(listener)))
        assert _wait_for(listener)
        taken, _ = listener.accept()
        with taken:
            assert taken.recv(5) == b"hello"
        assert not has_waiting(listener)


@LINUX
@pytest.mark.reliability(39)
@pytest.mark.parametrize(("places", "used"), [([], {0, 1, 2}), ([1], {1}), ([0, 2], {0, 2}), ([0, 1, 2], {0, 1, 2})])
def test_connections_go_where_somebody_serves(places: list[int], used: set[int]) -> None:
    with ExitStack() as closing:
        listeners = [closing.enter_context(each) for each in open_listeners(Settings(port=0, workers=3))]
        spread_over(listeners, places)
        for _ in range(60):
            closing.enter_context(socket.create_connection(("127.0.0.1", _port(listeners[0]))))
        found: Counter[int] = Counter()
        for place, listener in enumerate(listeners):
            while has_waiting(listener):
                listener.accept()[0].close()
                found[place] += 1
        assert found.total() == 60
        assert set(found) == used


def test_own_connections_are_counted_and_no_descriptor_is_touched() -> None:
    (listener,) = open_listeners(Settings(port=0))
    with listener:
        assert connections(_port(listener)) == 0
        with socket.create_connection(("127.0.0.1", _port(listener))):
            assert _wait_for(listener)
            taken, _ = listener.accept()
            before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - numbers
            with taken:
                assert connections(_port(listener)) == 1
                assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
            assert connections(_port(listener)) == 0
