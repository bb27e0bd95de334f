"""A folder of migrations → what each file is to run. Pure but for reading the files.

`001_tables.sql`, `0002-seed.postgresql.sql`: a number, a name, and the dialect where the file is for one only; the
more exact file stands for the other of its name. What is wrong with the files is told all at once, before any runs.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import LoadError, SettingsError
from sqlwright.migrations.statements import Script, read_script
from sqlwright.query import SourceFile
from sqlwright.sql.dialect import DIALECTS, Dialect
from sqlwright.sql.folder import FILES_MAX, read_text
from sqlwright.sql.report import near

FILE_BYTES_MAX = 16 * 1024 * 1024
"""A dump of a schema with its first rows may be large; a query file may not."""

_NAME = re.compile(r"(\d{1,18})(?:[_-].*)?", re.DOTALL)
"""Up to 18 digits: a time stamp to the microsecond is a number too, and it fits into a bigint."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, ready to run."""

    number: int
    name: str
    """The file's name without its dialect and `.sql`."""
    source: SourceFile
    checksum: str
    script: Script


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    number: int
    stem: str
    exact: bool


def read_migrations(folder: Path, dialect: Dialect) -> list[Migration]:
    """The migrations for this dialect, by number.

    Raises `SettingsError` without a folder, and `LoadError` with everything that is wrong with its files.
    """
    wrong: list[Diagnostic] = []
    found = []
    for file in _chosen(_files(folder, dialect, wrong), wrong):
        text = read_text(file.path, FILE_BYTES_MAX)
        if not isinstance(text, str):
            wrong += text
            continue
        source = SourceFile(str(file.path), text)
        script = read_script(source, dialect)
        if isinstance(script, Script):
            found.append(Migration(file.number, file.stem, source, checksum(text), script))
        else:
            wrong += script
    if wrong:
        raise LoadError(wrong)
    return found


def checksum(text: str) -> str:
    """Of what the file says: line ends differ between systems and checkouts, and change nothing."""
    return hashlib.sha256(text.replace("\r\n", "\n").replace("\r", "\n").encode()).hexdigest()


def _files(folder: Path, dialect: Dialect, wrong: list[Diagnostic]) -> list[_File]:
    """Files for this dialect or for any. Names that begin with `.` or `_` are skipped, as among the queries."""
    if not folder.is_dir():
        raise SettingsError(
            f"there is no folder {folder} of migrations",
            hint="create it, or name another: `sqlwright migrate FOLDER`",
        )
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or not path.name.lower().endswith(".sql") or path.is_dir():
            continue
        stem, *suffixes = path.name[: -len(".sql")].split(".")
        named = suffixes.pop().lower() if suffixes and suffixes[-1].lower() in DIALECTS else ""
        number = _NAME.fullmatch(stem)
        if suffixes:
            hint = near(suffixes[-1].lower(), DIALECTS) or f"only a dialect may follow a dot: {', '.join(DIALECTS)}"
            wrong.append(_about(path, "file_name", f"{suffixes[-1]!r} in this file's name is no dialect", hint))
        elif number is None or not number[1].isascii():
            hint = "name it like 001_what_it_does.sql, or begin its name with _ to skip it"
            wrong.append(_about(path, "file_name", "a migration's name begins with its number", hint))
        elif named in ("", dialect.name):
            found.append(_File(path, int(number[1]), stem, exact=bool(named)))
    if len(found) > FILES_MAX:
        wrong.append(_about(folder, "too_many_files", f"more than {FILES_MAX:,} migrations"))
        return []
    return found


def _chosen(files: list[_File], wrong: list[Diagnostic]) -> list[_File]:
    """One file a number, in their order."""
    numbered: dict[int, list[_File]] = defaultdict(list)
    for file in files:
        numbered[file.number].append(file)
    chosen = []
    for number, same in sorted(numbered.items()):
        best = [file for file in same if file.exact] or same
        if len({file.stem for file in same}) > 1 or len(best) > 1:
            names = " and ".join(file.path.name for file in same)
            message = f"the number {number} is there twice: {names}"
            wrong.append(_about(same[-1].path, "duplicate_number", message, "give one of them the next free number"))
        else:
            chosen.append(best[0])
    return chosen


def _about(path: Path, code: str, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic("error", str(path), 1, 1, code, message, hint)
