"""What Locust's form asks for, checked before Locust takes any of it.

Locust takes one field after the other, answers 500 to the first that it cannot read, and starts
tests that no process can carry out.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner
from locust.util.timespan import parse_timespan

from scenarios.generator.wire import Wire
from scenarios.options import SHOWN, check, check_host

LOCUSTS_OWN: Mapping[str, type] = {"user_count": int, "spawn_rate": float}
NUMBERS: Mapping[type, str] = {int: "a whole number", float: "a number"}


def check_asked(environment: Environment, form: Mapping[str, str]) -> None:
    """Raise `ValueError` or `OSError`, in words for who filled in the form."""
    assert environment.parsed_options is not None
    asked = Namespace(**vars(environment.parsed_options))
    for name, text in form.items():
        setattr(asked, name, _read(name, getattr(asked, name, None), text))
    check(asked)
    host = form.get("host", environment.host or "")
    check_host(host)
    runner = environment.runner
    assert runner is not None
    # A host that a fault keeps from answering must not keep a test that is on from being edited.
    if runner.state not in (STATE_SPAWNING, STATE_RUNNING) or host != environment.host:
        Wire(host)
    if isinstance(runner, MasterRunner) and not runner.worker_count:
        raise ValueError("no Locust worker is connected yet: start one, or wait for it")


def _read(name: str, now: object, text: str) -> object:
    """The value as Locust will read it."""
    if name == "run_time":
        return _seconds(text)
    kind: type = LOCUSTS_OWN.get(name, type(now))
    if kind not in NUMBERS:
        return text
    try:
        number: object = kind(text)
    except ValueError:
        raise ValueError(f"{name} must be {NUMBERS[kind]}, not {text[:SHOWN]!r}") from None
    return number


def _seconds(text: str) -> int | None:
    """The run time; `None` for one without an end."""
    try:
        return parse_timespan(text) if text else None
    except (ValueError, OverflowError):
        why = f"run_time must be like 20, 20s, 3m, 2h or 1h20m, not {text[:SHOWN]!r}"
        raise ValueError(why) from None
