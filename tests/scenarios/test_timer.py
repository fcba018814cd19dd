"""The timer sleeps until a moment, and can be hurried but not held up."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import gevent  # type: ignore[import-untyped]
import pytest

from scenarios.generator.timer import PreciseTimer


@pytest.fixture(params=["linux", "elsewhere"])
def sleeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    with monkeypatch.context() as patched:
        if request.param == "elsewhere":
            patched.setattr(sys, "platform", "elsewhere")
        made = PreciseTimer()
    yield made
    made.close()


def slept_s(sleeper: PreciseTimer, for_s: float, hurried_to_s: float | None = None) -> float:
    began_s = time.monotonic()
    if hurried_to_s is not None:
        gevent.spawn_later(0.01, sleeper.hurry, began_s + hurried_to_s)
    sleeper.sleep_until(began_s + for_s)
    return time.monotonic() - began_s


def test_it_sleeps_no_less_than_asked(sleeper: PreciseTimer) -> None:
    assert slept_s(sleeper, 0.02) >= 0.02


def test_it_wakes_earlier_when_hurried(sleeper: PreciseTimer) -> None:
    assert slept_s(sleeper, 5.0, hurried_to_s=0.03) < 4.0


def test_a_later_moment_does_not_hold_it_up(sleeper: PreciseTimer) -> None:
    assert 0.03 <= slept_s(sleeper, 0.03, hurried_to_s=5.0) < 4.0


def test_hurrying_one_sleep_leaves_the_next_alone(sleeper: PreciseTimer) -> None:
    slept_s(sleeper, 5.0, hurried_to_s=0.02)
    assert slept_s(sleeper, 0.03) >= 0.03


def test_nobody_is_hurried_while_nobody_sleeps_or_after_it_is_closed(
    sleeper: PreciseTimer,
) -> None:
    sleeper.hurry(0.0)
    assert slept_s(sleeper, 0.02) >= 0.02
    sleeper.close()
    sleeper.hurry(0.0)
