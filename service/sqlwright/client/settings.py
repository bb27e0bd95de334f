"""Settings of a program: those of its surroundings or its own, and what a call says by keyword."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlwright.config import Settings, load_settings, override
from sqlwright.errors import SettingsError


def settings_of(settings: Settings | None, arguments: Mapping[str, Any]) -> Settings:
    """`arguments` (but those that are None) win. Raises `SettingsError` naming every wrong key, or that no database is
    named."""
    made = load_settings(arguments=arguments) if settings is None else override(settings, arguments)
    if not made.database_url:
        hint = "connect('sqlite:///music.db'), or set the environment variable DATABASE_URL"
        raise SettingsError("no database is named", hint=hint)
    return made
