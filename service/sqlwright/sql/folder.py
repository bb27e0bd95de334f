"""Which files of a folder are query files, and what their names say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlwright.diagnostic import Diagnostic
from sqlwright.sql.dialect import DIALECTS, Dialect
from sqlwright.sql.header import query_name
from sqlwright.sql.report import near

FILES_MAX = 10_000
FILE_BYTES_MAX = 1024 * 1024
FOLDER_DEPTH_MAX = 32


@dataclass(frozen=True, slots=True)
class QueryFile:
    """A file to read. `namespace` is '' or ends in a dot; `variant` says that it is for this dialect only."""

    path: Path
    namespace: str
    stem: str
    variant: bool


class TooManyFiles(Exception):
    pass


class FolderWalk:
    """Finds the query files below `folder` for one dialect; what is wrong on the way is in `diagnostics`."""

    def __init__(self, folder: Path, dialect: Dialect) -> None:
        self.folder = folder
        self.dialect = dialect
        self.root = os.path.realpath(folder)
        self.diagnostics: list[Diagnostic] = []
        self.files: list[QueryFile] = []
        self.failed = False
        """The folder itself could not be read: what stands in it is unknown."""

    def run(self) -> list[QueryFile]:
        if not self.folder.is_dir():
            what = "is not a folder" if self.folder.exists() else "does not exist"
            self._error(
                self.folder, "folder", f"the folder of queries {what}", "make it, or name another: --queries DIR"
            )
            self.failed = True
            return []
        try:
            self._folder(self.folder, (), (self.root,))
        except TooManyFiles:
            message = f"more than {FILES_MAX:,} query files"
            self._error(self.folder, "too_many_files", message, "is this the folder that is meant? --queries DIR")
            self.failed = True
        return sorted(self.files, key=lambda file: file.path)

    def _error(self, path: Path, code: str, message: str, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic("error", str(path), 1, 1, code, message, hint))

    def _folder(self, path: Path, names: tuple[str, ...], real_chain: tuple[str, ...]) -> None:
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            self._error(path, "unreadable", f"this folder cannot be read: {error.strerror}", "mend its permissions")
            self.failed = True
            return
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            is_query = entry.name.lower().endswith(".sql")
            if entry.is_symlink() and not self._link_stays(entry, is_query):
                continue
            if is_query and entry.is_dir():
                self._error(path / entry.name, "file_name", "this is a folder, with the name of a file", "rename it")
            elif entry.is_dir():
                real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real_chain[-1], entry.name)  # noqa: PTH118 -- scandir gives strings, and this runs for every folder
                if real in real_chain:
                    self._error(
                        path / entry.name, "link", "this link makes the folder contain itself", "remove the link"
                    )
                elif len(real_chain) > FOLDER_DEPTH_MAX:
                    self._error(
                        path / entry.name, "link", f"more than {FOLDER_DEPTH_MAX} folders in one another", "move it up"
                    )
                else:
                    self._folder(path / entry.name, (*names, entry.name), (*real_chain, real))
            elif is_query and not entry.name.lower().endswith(".test.sql"):
                self._file(path / entry.name, entry, names)

    def _link_stays(self, entry: os.DirEntry[str], is_query: bool) -> bool:
        """A link may point to something else in the folder; others could serve any file of the machine."""
        if not is_query and not entry.is_dir():
            return False
        path = Path(entry.path)
        target = os.path.realpath(entry.path)
        if os.path.commonpath([target, self.root]) != self.root:
            self._error(path, "link", "this link leads out of the folder of queries", "copy the file into the folder")
            return False
        if not path.exists():
            self._error(path, "link", "this link leads to nothing", "remove it, or make the file that it names")
            return False
        return True

    def _file(self, path: Path, entry: os.DirEntry[str], folders: tuple[str, ...]) -> None:
        if len(self.files) >= FILES_MAX:
            raise TooManyFiles
        if not entry.is_file():
            return self._error(path, "unreadable", "this is not a regular file", "remove it")
        stem, *suffixes = entry.name[: -len(".sql")].split(".")
        variant = ""
        if suffixes and suffixes[-1].lower() in DIALECTS:
            variant = suffixes.pop().lower()
        if variant and variant != self.dialect.name:
            return None
        if suffixes:
            hint = near(suffixes[-1].lower(), DIALECTS) or f"only a dialect may follow a dot: {', '.join(DIALECTS)}"
            return self._error(path, "file_name", f"{suffixes[-1]!r} in this file's name is no dialect", hint)
        for part, what in [*((folder, "folder") for folder in folders), (stem, "file")]:
            if query_name(part) is None:
                hint = "a name is a letter, then letters, digits, _ and -; names that begin with _ or . are skipped"
                return self._error(path, "file_name", f"{part!r} is no name for a {what} of queries", hint)
        namespace = "".join(f"{query_name(folder)}." for folder in folders)
        self.files.append(QueryFile(path, namespace, query_name(stem) or stem, bool(variant)))
        return None


def read_text(path: Path, bytes_max: int = FILE_BYTES_MAX) -> str | tuple[Diagnostic, ...]:
    """A file's text as it is, line ends and all, without a byte order mark; or what is wrong with it."""

    def wrong(code: str, message: str, hint: str, line: int = 1, column: int = 1) -> tuple[Diagnostic, ...]:
        return (Diagnostic("error", str(path), line, column, code, message, hint),)

    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        return wrong("unreadable", f"this file cannot be read: {error.strerror}", "mend its permissions")
    if len(content) > bytes_max:
        return wrong(
            "too_large", f"this file is above {bytes_max:,} bytes", "load data by other means, or split the file"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return wrong("encoding", "this file is UTF-16, not UTF-8", "save it as UTF-8")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        line = content.count(b"\n", 0, error.start) + 1
        column = len(content[line_start : error.start].decode("utf-8")) + 1
        byte = f"0x{content[error.start]:02x}"
        return wrong("encoding", f"the byte {byte} is not UTF-8", "save the file as UTF-8", line, column)


def parents(name: str) -> Iterator[str]:
    """The namespaces around a query's name: `a.b.c` → `a`, `a.b`."""
    at = name.find(".")
    while at >= 0:
        yield name[:at]
        at = name.find(".", at + 1)
