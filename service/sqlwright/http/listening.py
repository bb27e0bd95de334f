"""Where to listen: the address behind a host name, whether it may be listened on, and whether it is free."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time

from sqlwright.config import Settings, variable
from sqlwright.errors import SettingsError

_ANNOUNCE_SECONDS = 30.0
_POLL_SECONDS = 0.02


def choose_address(settings: Settings) -> tuple[str, int]:
    """Address and port to listen on (a free port for 0). Raises `SettingsError`, in one line each."""
    address = _resolve(settings.host or "0.0.0.0")  # noqa: S104 - only with allow_anonymous, which is checked next
    if not ipaddress.ip_address(address).is_loopback and not settings.allow_anonymous:
        raise SettingsError(
            f"host {settings.host!r} can be reached from other machines, and there is no authentication",
            hint=f"listen on 127.0.0.1, or set {variable('allow_anonymous')}=true if everybody may call",
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # The server's own sockets share their port among workers, and so would also share it with another service:
        # this one does not, and finds out.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, settings.port))
        except OSError as error:
            raise _refused(error, settings) from None
        return address, probe.getsockname()[1]


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


def wait_until_listening(address: str, port: int) -> bool:
    """Block until somebody takes connections there."""
    address = _reachable(address)
    deadline = time.monotonic() + _ANNOUNCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), timeout=1):
                return True
        except OSError:
            time.sleep(_POLL_SECONDS)
    return False
