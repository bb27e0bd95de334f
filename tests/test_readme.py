"""The README is run: every command of its `console` blocks, in order, against the demo; every setting is documented.

In the expected output `…` stands for anything. `python tests/test_readme.py` writes the table of settings.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlwright.config import Settings, variable

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BIN = Path(sys.executable).parent
TABLE = re.compile(r"(<!-- settings: [^\n]* -->\n)(.*?)(<!-- end of settings -->)", re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Every `$ command` of the README with the output it promises."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def matches(expected: str, output: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder like a clone's, with the demo being served from it."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "queries", folder / "queries")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [BIN / "sqlwright", "demo", "--queries", "queries", "--port", str(port)]
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(arguments, cwd=folder, stdout=log, stderr=log)
        try:
            wait_until_ready(server, port)
            yield folder, port
        finally:
            server.terminate()
            assert server.wait(30) == 0, (folder / "log.txt").read_text()


def wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(300):
        assert server.poll() is None, "the demo ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the demo did not become ready")


def test_every_command_gives_what_the_readme_says(demo: tuple[Path, int]) -> None:
    folder, port = demo
    assert len(commands()) >= 10
    marker = "----- end of command -----"
    curl = "" if shutil.which("curl") else f'curl() {{ {sys.executable} {ROOT / "tests" / "readme_curl.py"} "$@"; }}\n'
    # One shell for all, because what one command exports the next one needs.
    script = curl + "".join(f"{command}\necho; echo '{marker}'\n" for command, _ in commands())
    ran = subprocess.run(
        ["bash", "-c", script.replace(":8000/", f":{port}/")],
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "SQLWRIGHT_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    outputs = ran.stdout.replace(f":{port}", ":8000").split(marker)
    wrong = [
        f"$ {command}\n{output.strip()}\n--- the README says\n{expected}"
        for (command, expected), output in zip(commands(), outputs, strict=False)
        if not matches(expected, output)
    ]
    assert not wrong, "\n\n".join(wrong)


def settings_table() -> str:
    rows = ["| key | variable | default | what |", "|---|---|---|---|"]
    for key, field in Settings.model_fields.items():
        default = None if field.default_factory else field.default
        shown = (
            "" if default in (None, "", ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        )
        rows.append(f"| `{key}` | `{variable(key)}` | {shown} | {field.description} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"


def test_every_setting_is_documented() -> None:
    found = TABLE.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found[2].strip() == settings_table().strip(), "run: python tests/test_readme.py"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda m: f"{m[1]}\n{settings_table()}\n{m[3]}", text), encoding="utf-8")
