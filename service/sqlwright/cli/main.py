"""The command `sqlwright`: finds the command asked for, imports only that one, and turns errors into exit codes.

0   fine
1   what was asked for failed: wrong files, a refused call, a failing check
2   wrong usage or wrong settings
3   the database (for `stats`, the service) cannot be reached
130 interrupted
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from sqlwright import __version__
from sqlwright.cli import output
from sqlwright.errors import DatabaseUnavailable, SettingsError, SqlwrightError

FINE, FAILED, WRONG_USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """\
exit codes:
  0    fine
  1    what was asked for failed: wrong files, a refused call, a failing check
  2    wrong usage or wrong settings
  3    the database (for `stats`, the service) cannot be reached
  130  interrupted

Results go to standard output, messages to standard error."""

COMMANDS = {
    "demo": "try it: a music shop on an embedded SQLite database, with reload",
    "dev": "develop: reload on save, full messages, the last good version of each query",
    "serve": "serve the queries as a JSON API",
    "check": "every query against the live database",
    "list": "names, what they give, parameters; opens no database",
    "run": "call one query and print its result",
    "show": "the exact statement that would be sent, and its values",
    "explain": "the plan of a call; with --analyze what really happened, rolled back",
    "stats": "what the calls of a running service took, by query",
    "init": "create what sqlwright itself keeps in the database",
    "migrate": "run the numbered .sql files that have not run yet, each once, in order",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    output.prepare()
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # `sqlwright list | head -1`: a reader that has seen enough is no failure
        # What is still buffered would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    return code


def _run(words: Sequence[str]) -> int:
    try:
        return _dispatch(words)
    except SystemExit as leaving:  # argparse has printed what it had to say
        return leaving.code if isinstance(leaving.code, int) else WRONG_USAGE
    except KeyboardInterrupt:
        output.message("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _failed(error, with_traceback="--traceback" in words)


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0].startswith("-"):
        _overview().parse_args(words)
        _overview().print_help(sys.stderr)
        return WRONG_USAGE
    name = words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `sqlwright {near[0]}`?" if near else f"commands are {', '.join(COMMANDS)}"
        output.message(f"there is no command {name!r}", hint=hint)
        return WRONG_USAGE
    command = import_module(f"sqlwright.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"sqlwright {name}",
        description=command.__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    code: int = command.run(parser.parse_intermixed_args(words[1:]))
    return code


def _overview() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<7} {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="sqlwright",
        usage="sqlwright COMMAND [options]",
        description="Put SQL in files. Get a typed, fast, safe JSON API.",
        epilog=f"commands:\n{commands}\n\n`sqlwright COMMAND --help` tells more.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sqlwright {__version__}")
    return parser


def _failed(error: Exception, *, with_traceback: bool) -> int:
    if with_traceback:
        traceback.print_exception(error)
    if isinstance(error, SqlwrightError):
        output.error(error)
        if isinstance(error, SettingsError):
            return WRONG_USAGE
        return UNREACHABLE if isinstance(error, DatabaseUnavailable) else FAILED
    hint = "" if with_traceback else "this is a fault of sqlwright; --traceback shows where"
    first_line = str(error).partition("\n")[0]
    output.message(f"unexpected {type(error).__name__}: {first_line}", hint=hint)
    return FAILED
