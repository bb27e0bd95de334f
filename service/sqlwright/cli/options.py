"""What commands share: their flags, the settings they make, and the queries those name."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Sequence
from typing import Any

from pydantic.fields import FieldInfo

from sqlwright.address import parse_address
from sqlwright.cli import output
from sqlwright.config import Settings, flag, load_settings, variable
from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import SettingsError
from sqlwright.sql.dialect import Dialect

EVERYWHERE = ("database_url", "queries")


def add_common(parser: argparse.ArgumentParser) -> None:
    """--database-url, --queries and --traceback, which every command takes."""
    for key in EVERYWHERE:
        _add_setting(parser, key, Settings.model_fields[key])
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")


def add_settings(parser: argparse.ArgumentParser, *, without: Sequence[str] = ()) -> None:
    """A flag for every other setting."""
    parser.usage = f"{parser.prog} [--database-url URL] [--queries DIR] [settings]"
    group = parser.add_argument_group(
        "settings", "each is also a variable, and an entry of sqlwright.toml or [tool.sqlwright] in pyproject.toml"
    )
    for key, field in Settings.model_fields.items():
        if key not in EVERYWHERE and key not in without:
            _add_setting(group, key, field)


def _add_setting(parser: argparse._ActionsContainer, key: str, field: FieldInfo) -> None:
    # Values stay text here: Settings checks them all, whichever source they come from.
    text = f"{field.description}{_default(field)} [{variable(key)}]".replace("%", "%%")
    if field.annotation is bool:
        parser.add_argument(flag(key), dest=key, action=argparse.BooleanOptionalAction, default=None, help=text)
    else:
        parser.add_argument(flag(key), dest=key, metavar=_metavar(key, field), help=text)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default in (None, "", ()) or isinstance(field.default, bool):
        return ""
    value = field.default
    return f" ({value:g})" if isinstance(value, float) else f" ({value})"


def _metavar(key: str, field: FieldInfo) -> str:
    if typing.get_origin(field.annotation) is typing.Literal:
        return "|".join(typing.get_args(field.annotation))
    if field.annotation is int or type(None) in typing.get_args(field.annotation):
        return "N"
    if field.annotation is float:
        return "SECONDS"
    return {"queries": "DIR", "host": "ADDRESS", "database_url": "URL", "read_urls": "URLS"}.get(key, "TEXT")


def settings_of(arguments: argparse.Namespace, **given: Any) -> Settings:
    """The settings of a command line; `given` stands above all other sources but the command line itself."""
    flags = {key: value for key, value in vars(arguments).items() if key in Settings.model_fields and value is not None}
    return load_settings({**given, **flags})


def check_folder(settings: Settings) -> None:
    if not settings.queries.is_dir():
        raise SettingsError(
            f"there is no folder {settings.queries} of queries",
            hint=f"create it, or name another with --queries or {variable('queries')}",
        )


def dialect_of(settings: Settings, *, opens: bool = True) -> Dialect:
    """The dialect of DATABASE_URL. Raises `SettingsError` when there is none, or no place for what will be opened."""
    return parse_address(settings.database_url, check_path=opens).dialect


def tell_of_errors(found: Sequence[Diagnostic]) -> None:
    """One line: for commands that can do their work although some other file is wrong."""
    files = {diagnostic.file for diagnostic in found if diagnostic.severity == "error"}
    if files:
        some = f"{len(files)} files are" if len(files) > 1 else f"{files.pop()} is"
        output.message(f"{some} wrong and left out; `sqlwright check` tells more")
