"""Fixtures of real tests: one embedded stack for the whole session."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from chaos.model.stack import Stack
from chaos.runtimes.compose.runtime import ComposeRuntime, why_not_up
from chaos.runtimes.embedded.runtime import EmbeddedRuntime
from tests.support.patience import PATIENT

# How long an example takes says nothing about it where tests run side by side.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--half`: of the tests chosen, those marked `alone`, or those that may run side by side."""
    parser.addoption("--half", choices=["alone", "beside"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other half; of those side by side, begin with what takes longest."""
    half = config.getoption("--half")
    if half is None:
        return
    halves: dict[str, list[pytest.Item]] = {"alone": [], "beside": []}
    for item in items:
        halves["alone" if "alone" in item.keywords else "beside"].append(item)
    items[:] = halves.pop(half)
    (others,) = halves.values()
    config.hook.pytest_deselected(items=others)
    if half == "beside":
        _sort_longest_file_first(items)


def _sort_longest_file_first(items: list[pytest.Item]) -> None:
    """Sort by file, those of the longest timeouts and real tests first.

    A long file begun last is waited for alone.
    """
    tests = Counter(item.path for item in items)
    real = {item.path for item in items if "real" in item.keywords}
    timeouts_s: Counter[Path] = Counter()
    for item in items:
        if mark := item.get_closest_marker("timeout"):
            timeouts_s[item.path] = max(timeouts_s[item.path], *mark.args)
    items.sort(
        key=lambda item: (
            -timeouts_s[item.path],
            item.path not in real,
            -tests[item.path],
            item.path,
        )
    )


def pytest_configure() -> None:
    """Restore SIGINT, which a background job ignores: its children, the labs, would, too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the logs of `stack`."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def stack(logs: Path) -> Iterator[Stack]:
    """The embedded stack, with patient timeouts; a test that breaks it repairs it."""
    with EmbeddedRuntime().up(PATIENT, logs) as stack:
        yield stack


@pytest.fixture(scope="session")
def compose_lab() -> None:
    """A lab in containers; tests that need it are skipped where none is up."""
    if why_not_up() is not None:
        pytest.skip("no lab in containers is up: `make up` starts one")


@pytest.fixture(scope="module")
def compose_stack(compose_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its stack with default settings; no other run can use the lab meanwhile."""
    with ComposeRuntime().up({}, tmp_path_factory.mktemp("compose") / "logs") as stack:
        yield stack
