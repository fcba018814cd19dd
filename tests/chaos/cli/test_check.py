"""`linkstorm check`: every experiment that is named, whatever is wrong with another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from chaos import experiments
from chaos.cli.app import app

HERD = experiments.load("thundering-herd")


def checked(*names: str) -> Result:
    return CliRunner().invoke(app, ["check", *names])


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the second arm of the herd other settings."""

    def give(**values: str) -> None:
        arms = [HERD.arms[0], replace(HERD.arms[1], settings=values), *HERD.arms[2:]]
        changed = replace(HERD, arms=arms)
        monkeypatch.setattr(experiments, "load", lambda _: changed)

    return give


def test_a_wrong_one_does_not_hide_the_others() -> None:
    told = checked("no-such", "cache-down")
    assert told.exit_code == 2
    assert "cache-down: 4 arms" in told.stdout
    assert "no experiment called 'no-such'" in told.stderr


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"CACHE_FIL": "lock"}, "no setting called 'CACHE_FIL'; did you mean"),
        ({"SHORTENER_CACHE_FILL": "lock"}, "settings go without SHORTENER_: CACHE_FILL"),
        ({"CACHE_TTL_S": "soon"}, "SHORTENER_CACHE_TTL_S"),
        ({"topology:servers": "4"}, "topology:servers is 2 or 3, not '4'"),
        ({"topology:server": "3"}, "did you mean topology:servers"),
    ],
)
def test_a_wrong_setting_is_named_with_experiment_and_arm(
    settings: Any, values: dict[str, str], why: str
) -> None:
    settings(**values)
    told = checked("thundering-herd")
    said = " ".join(told.stderr.split())
    assert told.exit_code == 2
    assert f"thundering-herd: arm {HERD.arms[1].name}: " in said
    assert why in said
