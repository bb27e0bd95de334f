"""What a pool asks of an engine, and how large and patient it is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")


class Connector(ABC, Generic[C]):
    """How one engine opens, checks, mends and ends a driver's connection."""

    @abstractmethod
    async def open(self) -> C:
        """A new session with its settings in place. Errors are ours already (`DatabaseUnavailable` …)."""

    @abstractmethod
    def is_alive(self, connection: C) -> bool:
        """False once the driver knows that the connection is lost. Costs no round trip."""

    @abstractmethod
    def is_clean(self, connection: C) -> bool:
        """True when the session can be handed on as it is; False for one that is not alive. Costs no round trip."""

    @abstractmethod
    async def mend(self, connection: C) -> None:
        """Stop what still runs, roll back, reset the session. Raising throws the connection away."""

    @abstractmethod
    def terminate(self, connection: C) -> None:
        """End it now, without asking the server."""

    async def close(self, connection: C) -> None:
        """End it properly."""
        self.terminate(connection)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    size: int
    waiting_max: int = 1000
    acquire_timeout_seconds: float = 2.0
    mend_timeout_seconds: float = 1.5
    lifetime_seconds: float = math.inf
    """A connection that is older is closed when it is free, and another one opened when it is needed: what piles up in
    a session of the server, or behind a balancer, does not do so for ever."""
    idle_seconds: float = math.inf
    """A connection that was not needed for so long is closed, but for the last one."""

    @property
    def look_seconds(self) -> float:
        """How often to look for connections to close; infinity where there are none."""
        return max(0.05, min(self.idle_seconds, self.lifetime_seconds) / 4)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    size: int
    """Connections, in whatever state. Those being opened are not yet among them."""
    idle: int
    waiting: int
    mending: int
