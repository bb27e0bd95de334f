"""The pytest plugin. It does nothing in a run that uses none of its fixtures and options.

Fixtures of a test (`db`, `api` and `seed` unless another plugin has these names, and always with `sqlwright_` before):

- `db`: a `sqlwright.Client` whose every statement is rolled back after the test.
- `api`: an `httpx.AsyncClient` of the application without a socket, over the same connection.
- `seed`: `await seed("customers.create", [{…}, {…}])`.

Fixtures to override, of the session:

- `sqlwright_settings`: the `Settings` under test; made from the project's own and the throwaway database.
- `sqlwright_prepare`: None, or `async def prepare(db)`, which fills the database once.
- `sqlwright_app`: the application of `api`; yours, with `sqlwright.router(…)`, in the place of `create_app`'s.

Options, each also an ini entry with `_` for `-`: `--sqlwright-database` (sqlite, postgresql, or a URL),
`--sqlwright-queries`, `--sqlwright-migrations` (folders, from the root of the tests), `--sqlwright-coverage-min`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sqlwright.testing.coverage import Coverage

_OPTIONS = {
    "sqlwright_database": "the throwaway database: sqlite (the default), postgresql, or a URL",
    "sqlwright_queries": "the folder of queries",
    "sqlwright_migrations": "the folder of migrations",
    "sqlwright_coverage_min": "fail when fewer percent of the queries were called",
}
SHORT_NAMES = ("db", "api", "seed")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sqlwright")
    for name, description in _OPTIONS.items():
        group.addoption(f"--{name.replace('_', '-')}", metavar="VALUE", default=None, help=description)
        parser.addini(name, description, default="")


def option(config: pytest.Config, name: str) -> str:
    """From the command line, else from the ini file, else empty."""
    given = config.getoption(name)
    return str(config.getini(name) if given is None else given).strip()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    _least(config)
    from sqlwright.testing import fixtures, short_names  # after pytest-asyncio is there, or is not

    plugins = config.pluginmanager.get_plugins()
    taken = any(_is_fixture(getattr(plugin, name, None)) for plugin in plugins for name in SHORT_NAMES)
    config.pluginmanager.register(fixtures, "sqlwright_fixtures")
    if not taken:
        config.pluginmanager.register(short_names, "sqlwright_short_names")


def _is_fixture(found: object) -> bool:
    """Not everything of that name in a plugin's module is one: some import a function `seed`."""
    # A class since pytest 8.4, a mark on the function before.
    return type(found).__name__ == "FixtureFunctionDefinition" or hasattr(found, "_pytestfixturefunction")


def _least(config: pytest.Config) -> float | None:
    """The least percentage asked for."""
    text = option(config, "sqlwright_coverage_min")
    if not text:
        return None
    try:
        least = float(text)
    except ValueError:
        least = -1.0
    if not 0 <= least <= 100:
        raise pytest.UsageError(f"--sqlwright-coverage-min {text}: a percentage is a number from 0 to 100")
    return least


# --- query coverage ---------------------------------------------------------------------------------------------

_coverage = pytest.StashKey["Coverage"]()


def coverage_of(config: pytest.Config) -> Coverage:
    """What this process, and with pytest-xdist its workers, have called."""
    from sqlwright.testing.coverage import Coverage  # for runs that use it

    if _coverage not in config.stash:
        config.stash[_coverage] = Coverage()
    return config.stash[_coverage]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:  # noqa: ARG001 - the hook's signature
    """A worker of pytest-xdist is done: add what it has called."""
    told = getattr(node, "workeroutput", {}).get("sqlwright_coverage")
    if told is not None:
        coverage = coverage_of(node.config)
        coverage.known.update(told[0])
        coverage.called.update(told[1])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    workeroutput = getattr(config, "workeroutput", None)
    if workeroutput is not None:
        if _coverage in config.stash:
            coverage = config.stash[_coverage]
            workeroutput["sqlwright_coverage"] = [sorted(coverage.known), sorted(coverage.called)]
        return
    if exitstatus == pytest.ExitCode.OK and _is_too_little(config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_too_little(config: pytest.Config) -> bool:
    least = _least(config)
    if least is None or config.option.collectonly:
        return False
    return _coverage not in config.stash or config.stash[_coverage].percent < least


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if _coverage in config.stash:
        terminalreporter.write_line(config.stash[_coverage].line())
    if _is_too_little(config):
        least = option(config, "sqlwright_coverage_min")
        terminalreporter.write_line(f"sqlwright: FAILED, at least {least} % of the queries must be called", red=True)
