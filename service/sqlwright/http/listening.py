"""The listening sockets: where they are, whether they may be there, and how they stop taking connections.

The parent opens one for each worker's place, so the system spreads connections over the workers. What waits in a queue
belongs to the place and not to its worker, so nothing is lost when one worker ends and another takes over.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import math
import os
import select
import socket
import struct
from collections.abc import Sequence

from sqlwright.config import Settings, variable
from sqlwright.errors import SettingsError

BACKLOG = 1024
"""Connections that may wait for a worker to take them; the system may allow less."""

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_SO_ATTACH_FILTER = 26
_SO_ATTACH_REUSEPORT_CBPF = 51
_RETURN, _LOAD_BYTE, _MODULO, _JUMP_IF_EQUAL, _JUMP_IF_SET = 0x06, 0x30, 0x94, 0x15, 0x45
_LOAD_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)
_DROP_SYN = [(_LOAD_BYTE, 0, 0, 13), (_JUMP_IF_SET, 0, 1, 2), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF)]
"""BPF: load the TCP flags, drop the packet when SYN is among them, else let it pass."""


def open_listeners(settings: Settings) -> list[socket.socket]:
    """One for each worker, on the host and port of the settings (a free port for 0).

    Raises `SettingsError`, in one line each.
    """
    address = _resolve(settings.host or "0.0.0.0")  # noqa: S104 - only with allow_anonymous, which is checked next
    if not ipaddress.ip_address(address).is_loopback and not settings.allow_anonymous:
        raise SettingsError(
            f"host {settings.host!r} can be reached from other machines, and there is no authentication",
            hint=f"listen on 127.0.0.1, or set {variable('allow_anonymous')}=true if everybody may call",
        )
    patience = math.ceil(settings.send_timeout_seconds * 1000)
    try:
        if settings.workers == 1:
            return [_open(address, settings.port, patience, shared=False)]
        # Sockets that share their port would share it with another service as well: this one does not, and finds out.
        with _open(address, settings.port, patience, shared=False) as probe:
            port = probe.getsockname()[1]
        return [_open(address, port, patience, shared=True) for _ in range(settings.workers)]
    except OSError as error:
        raise _refused(error, settings) from None


def _open(address: str, port: int, send_timeout_ms: int, *, shared: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Every connection inherits these.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: the kernel ends a connection whose reader takes nothing
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, send_timeout_ms)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def spread_over(listeners: Sequence[socket.socket], places: Sequence[int]) -> None:
    """New connections go to these places, at random: those whose worker serves. To all of them when there is none.

    Elsewhere than on Linux they go to all of them, and wait where nobody serves until somebody does.
    """
    chosen = places or range(len(listeners))
    program = [_LOAD_RANDOM, (_MODULO, 0, 0, len(chosen))]
    for number, place in enumerate(chosen):
        program += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, place)]
    _attach(listeners[0], _SO_ATTACH_REUSEPORT_CBPF, [*program, (_RETURN, 0, 0, chosen[0])])


def _attach(target: socket.socket, option: int, program: Sequence[tuple[int, int, int, int]]) -> None:
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    kept = ctypes.create_string_buffer(instructions, len(instructions))
    try:
        target.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", len(program), ctypes.addressof(kept)))
    except OSError:
        pass  # another system, or one that does not allow it: its own way will do


def _resolve(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SettingsError(f"{variable('host')}: no address is known for {host!r}") from None
    # IPv4 first: `localhost` is both, and most clients try 127.0.0.1.
    return str(min(found, key=lambda item: item[0] != socket.AF_INET)[4][0])


def _refused(error: OSError, settings: Settings) -> SettingsError:
    where = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return SettingsError(f"{where} is in use", hint=f"choose another with --port or {variable('port')}")
    if error.errno == errno.EACCES:
        return SettingsError(f"{where} needs more rights", hint=f"ports from 1024 on do not ({variable('port')})")
    return SettingsError(f"cannot listen on {where}: {error.strerror}", hint=f"{variable('host')} names the address")


def reachable_url(address: str, port: int) -> str:
    """A URL that opens here: a wildcard address is reached by loopback."""
    address = _reachable(address)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _reachable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host


def refuse_newcomers(listener: socket.socket) -> None:
    """No new handshake; those that have begun are completed and can still be taken.

    Closing a listener resets what waits in its queue, and a connection may come between the last look and the close.
    A caller whose first packet is dropped sends it again a second later, and is refused then. Elsewhere than on Linux
    this does nothing.
    """
    _attach(listener, _SO_ATTACH_FILTER, _DROP_SYN)


def has_waiting(listener: socket.socket) -> bool:
    """A connection waits to be taken."""
    return bool(select.select([listener], [], [], 0)[0])


def deafen(listener: socket.socket) -> None:
    """Take no more connections from it in this process; the others go on. What was taken is untouched.

    The server cannot be told to stop taking connections without closing those that have not sent anything yet. So its
    descriptor is made to mean another socket, to which nobody can connect: one step, whatever the server is doing.
    """
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        refuse_newcomers(dead)
        dead.listen(1)
        dead.setblocking(False)
        os.dup2(dead.fileno(), listener.fileno(), inheritable=False)


def connections(port: int) -> int:
    """Open connections of this process to its own port.

    No descriptor is copied for it: closing a copy of the one that SQLite has of its file would drop SQLite's locks.
    """
    found = 0
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers, not paths
        try:
            each = socket.socket(fileno=int(name))
        except OSError:
            continue  # not a socket
        try:
            found += each.family in _INTERNET and each.getsockname()[1] == port and bool(each.getpeername())
        except OSError:
            pass  # a listening one has no peer
        finally:
            each.detach()
    return found
