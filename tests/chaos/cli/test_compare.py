"""`linkstorm compare`: two runs of one experiment, from their files alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from chaos.cli.app import app
from tests.support.results import judged_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs, the second of two arms alone."""
    base, head = (tmp_path_factory.mktemp("compared") / name for name in ("base", "head"))
    judged_run(base)
    judged_run(head, fix="lock")
    return base, head


def compared(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_two_runs_are_laid_side_by_side(runs: tuple[Path, Path]) -> None:
    shown = compared(*runs)
    assert shown.exit_code == 0, shown.stderr
    assert "thundering-herd   two runs side by side" in shown.stdout
    assert "origin queries" in shown.stdout
    assert "only in base: singleflight, lease, xfetch, swr" in " ".join(shown.stdout.split())


def test_as_json_it_has_each_measure_of_each_arm_that_both_have(runs: tuple[Path, Path]) -> None:
    shown = compared(*runs, "--format", "json")
    document = json.loads(shown.stdout)
    assert {change["arm"] for change in document["changes"]} == {"direct", "lock"}
    assert document["only_base"] == ["singleflight", "lease", "xfetch", "swr"]
    assert not any(change["is_apart"] for change in document["changes"])


def test_a_run_beside_itself_and_what_is_no_run_are_refused(runs: tuple[Path, Path]) -> None:
    base, _ = runs
    same = compared(base, base.parent / "." / base.name)
    assert (same.exit_code, "the same run twice" in same.stderr) == (2, True)
    none = compared(base, base.parent)
    assert (none.exit_code, "is no run directory" in none.stderr) == (2, True)
    missing = compared(base, base / "nowhere")
    assert (missing.exit_code, "does not exist" in missing.stderr) == (2, True)


def test_a_run_that_is_invalid_is_trouble(runs: tuple[Path, Path], tmp_path: Path) -> None:
    judged_run(tmp_path / "no act", "fault does nothing")
    told = compared(runs[0], tmp_path / "no act")
    assert told.exit_code == 3
    assert "its figures prove nothing" in " ".join(told.stderr.split())
