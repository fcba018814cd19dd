"""Arms that a runtime cannot run: refused if asked for, else left out in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import typer

from chaos.acts import Patroni
from chaos.cli.exits import USAGE
from chaos.cli.run_command import _within
from chaos.model.experiment import At
from tests.support.fake_stack import FakeRuntime, World, herd_order

LACKS = (
    "lock needs 'patroni', which this lab lacks: "
    "the embedded lab has it, on Linux with requirements-dev.txt installed"
)
ORDER = herd_order(World())
NEEDING = replace(
    ORDER,
    arms=[replace(arm, timeline=[At(0, Patroni())] * (arm.name == "lock")) for arm in ORDER.arms],
)


def test_an_arm_that_needs_what_the_lab_lacks_is_left_out_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = _within(FakeRuntime(World()), NEEDING, [])
    assert [arm.name for arm in kept.arms] == [a.name for a in ORDER.arms if a.name != "lock"]
    assert " ".join(capsys.readouterr().err.split()) == f"left out: {LACKS}"


def test_one_that_was_asked_for_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as refused:
        _within(FakeRuntime(World()), NEEDING, ["lock"])
    assert refused.value.exit_code == USAGE
    assert f"the arm {LACKS}" in " ".join(capsys.readouterr().err.split())


def test_without_its_naive_arm_there_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    every = replace(ORDER, experiment=replace(ORDER.experiment, timeline=[At(0, Patroni())]))
    with pytest.raises(typer.Exit) as refused:
        _within(FakeRuntime(World()), every, [])
    assert refused.value.exit_code == USAGE
    assert f"the arm {ORDER.experiment.naive.name} needs" in capsys.readouterr().err


def test_a_lab_that_has_it_runs_all(capsys: pytest.CaptureFixture[str]) -> None:
    able = FakeRuntime(World())
    able.can = FakeRuntime.can | {"patroni"}
    assert _within(able, NEEDING, ["lock"]).arms == NEEDING.arms
    assert capsys.readouterr().err == ""
