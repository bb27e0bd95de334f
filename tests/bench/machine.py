"""Where and with what it was measured."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("granian", "uvloop", "asyncpg", "aiosqlite", "aiomysql", "starlette", "orjson", "fastapi", "sqlalchemy")


def machine() -> dict[str, str]:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": packages,
    }


def today() -> str:
    now = datetime.now(UTC)
    return f"{now.day} {now:%B %Y}"


def _processor() -> str:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return " ".join(model[1].split()) if model else platform.machine()
