"""Sabotages: every edit fits the present tree, and a broken copy runs its own code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chaos import experiments
from tests.support.results import busy_result, result_with
from tools.sabotage.broken_copy import ROOT, broken_copy, python_of
from tools.sabotage.catalogue import SABOTAGES
from tools.sabotage.model import Edit, Sabotage, StaleEdit
from tools.sabotage.page import markdown
from tools.sabotage.trial import Outcome

EXAMPLE = SABOTAGES[0]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_every_edit_fits_and_leaves_python_that_compiles(
    sabotage: Sabotage, tmp_path: Path
) -> None:
    for name in {edit.file for edit in sabotage.edits}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    for edit in sabotage.edits:
        edit.apply(tmp_path)
    for name in {edit.file for edit in sabotage.edits}:
        if name.endswith(".py"):
            compile((tmp_path / name).read_text(encoding="utf-8"), name, "exec")


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_every_sabotage_names_an_experiment_with_its_arms_and_who_must_say_so(
    sabotage: Sabotage,
) -> None:
    known = {arm.name for arm in experiments.load(sabotage.experiment).arms}
    assert {*sabotage.arms} <= known
    assert bool(sabotage.caught_by) != bool(sabotage.missed_since)


def test_who_must_say_so_is_a_check_or_a_claim_of_the_experiment() -> None:
    checks = [check["text"] for of in (result_with(), busy_result()) for check in of["checks"]]
    claims = {
        name: [claim.text for claim in experiments.load(name).claims]
        for name in {sabotage.experiment for sabotage in SABOTAGES}
    }
    for sabotage in SABOTAGES:
        texts = [*checks, *claims[sabotage.experiment]]
        for meant in sabotage.caught_by:
            assert any(meant in text for text in texts), f"{sabotage.name}: {meant}"


def test_no_two_sabotages_have_the_same_name() -> None:
    assert len({each.name for each in SABOTAGES}) == len(SABOTAGES)


def test_an_edit_whose_text_is_gone_or_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text("one one two")
    with pytest.raises(StaleEdit, match="2 times"):
        Edit("it.py", "one", "1").apply(tmp_path)
    with pytest.raises(StaleEdit, match="0 times"):
        Edit("it.py", "three", "3").apply(tmp_path)


def test_a_broken_copy_runs_its_own_code_and_is_gone_afterwards() -> None:
    with broken_copy(EXAMPLE) as root:
        code = (
            "import chaos, stack.shortener, numpy; print(chaos.__file__, stack.shortener.__file__)"
        )
        done = subprocess.run(
            [python_of(root), "-c", code], cwd="/", capture_output=True, text=True, check=True
        )
        assert [*map(Path, done.stdout.split())] == [
            root / "chaos/__init__.py",
            root / "stack/shortener/__init__.py",
        ]
    assert not root.exists()


@pytest.mark.parametrize(
    ("verdict", "findings", "expected"),
    [
        ("INVALID", {EXAMPLE.caught_by[0]: "so"}, True),
        ("FAIL", {f"{EXAMPLE.caught_by[0]} and more": "so"}, True),
        ("FAIL", {"something else": "so"}, False),
        ("PASS", {}, False),
        ("NONE", {}, False),
    ],
)
def test_only_the_check_that_was_meant_counts(
    verdict: str, findings: dict[str, str], expected: bool
) -> None:
    assert Outcome("x", verdict, findings, 1.0, "").is_as_expected(EXAMPLE) is expected


def test_what_nothing_can_catch_is_on_the_page_with_its_reason() -> None:
    (missed,) = [each for each in SABOTAGES if each.missed_since][:1]
    outcomes = {
        EXAMPLE.name: Outcome(EXAMPLE.name, "FAIL", {EXAMPLE.caught_by[0]: "so"}, 1.0, ""),
        missed.name: Outcome(missed.name, "PASS", {}, 1.0, ""),
    }
    page = markdown([EXAMPLE, missed], outcomes)
    assert EXAMPLE.harm in page
    assert missed.missed_since in page


def test_every_sabotage_was_tried_and_is_on_the_page() -> None:
    """If not: `make sabotage ARGS="--only NAME --markdown PAGE"`, and its row from there."""
    page = (ROOT / "docs" / "sabotage.md").read_text(encoding="utf-8")
    for each in SABOTAGES:
        assert (each.missed_since or f"| {each.name} | {each.broken} | {each.harm} |") in page
