"""Where settings come from, which wins, and that every mistake is named with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sqlwright.config import PREFIX, Settings, flag, load_settings, variable
from sqlwright.errors import SettingsError

CASES = json.loads((Path(__file__).parent / "cases" / "settings.json").read_text(encoding="utf-8"))
FILES = ("sqlwright.toml", "pyproject.toml")


def load(case: dict[str, Any], folder: Path) -> Settings:
    for name in FILES:
        if name in case:
            (folder / name).write_text(case[name], encoding="utf-8")
    return load_settings(case.get("flags"), case.get("environment", {}), folder)


@pytest.mark.parametrize("case", CASES["right"], ids=lambda case: case["name"])
def test_right(case: dict[str, Any], tmp_path: Path) -> None:
    settings = json.loads(load(case, tmp_path).model_dump_json())
    assert {key: settings[key] for key in case["expect"]} == case["expect"]


@pytest.mark.parametrize("case", CASES["wrong"], ids=lambda case: case["name"])
def test_wrong(case: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(case, tmp_path)
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert case["message"] in message
    assert "hint" not in case or caught.value.hint == case["hint"]
    assert not case.get("whole") or message == case["message"]
    assert "secret" not in message + caught.value.hint


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "sqlwright.toml").write_bytes(b"host = '\xff'")
    with pytest.raises(SettingsError, match=r"sqlwright\.toml: "):
        load_settings({}, {}, tmp_path)


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_key_is_described_and_has_a_flag_and_a_variable(key: str) -> None:
    assert Settings.model_fields[key].description
    assert flag(key) == "--" + key.replace("_", "-")
    assert variable(key) == ("DATABASE_URL" if key == "database_url" else PREFIX + key.upper())


def test_settings_are_frozen_and_go_through_json() -> None:
    settings = Settings(database_url="postgresql://u:p@h/x", read_urls=("postgresql://r/x",), page_rows_max=7)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
