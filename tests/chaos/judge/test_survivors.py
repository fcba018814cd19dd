"""Survivors of `make mutate` need a reason, and a run that tested nothing is no pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mutation_survivors import (
    ACCEPTED,
    RESULTS,
    Change,
    accepted,
    accepted_survivors,
    complaints,
    is_chosen,
)

ROOT = Path(__file__).parents[3]
ONE = Change("claims.at_most", "return a <= b", "return a < b")
OTHER = Change("claims.at_most", "return a <= b", "return a > b")


def test_survivors_that_all_have_a_reason_are_fine() -> None:
    assert [*complaints([ONE, OTHER], [OTHER, ONE])] == []


def test_a_survivor_without_a_reason_is_named_as_the_file_would_have_it() -> None:
    _, line = complaints([ONE, OTHER], [OTHER])
    (entry,) = accepted(f"[[accepted]]\nreason = 'x'\nmutants = [\n{line}\n]\n")
    assert entry == (ONE, "x")


def test_a_reason_whose_mutant_is_gone_is_named() -> None:
    head, line = complaints([OTHER], [OTHER, ONE])
    assert "killed now" in head
    assert line == str(ONE)


def test_of_two_that_look_alike_each_needs_a_reason() -> None:
    assert [*complaints([ONE, ONE], [ONE])][1:] == [str(ONE)]
    assert [*complaints([ONE], [ONE, ONE])][1:] == [str(ONE)]


def test_an_empty_reason_is_none() -> None:
    with pytest.raises(ValueError, match="empty reason"):
        accepted("[[accepted]]\nreason = ' '\nmutants = []\n")


@pytest.mark.parametrize(
    ("where", "chosen", "is_it"),
    [
        ("claims.at_most", [], True),
        ("claims.at_most", ["claims"], True),
        ("claims.at_most", ["measures", "claims.at_most"], True),
        ("claims.at_most", ["claims.at"], False),
        ("claims.at_most", ["measures"], False),
    ],
)
def test_a_module_or_a_function_may_be_chosen(where: str, chosen: list[str], is_it: bool) -> None:
    assert is_chosen(where, chosen) is is_it


MAY = accepted((ROOT / ACCEPTED).read_text(encoding="utf-8"))


def test_the_page_says_accepted_survivors_survive() -> None:
    page = (ROOT / "docs" / "mutation.md").read_text(encoding="utf-8")
    assert page.endswith("\n".join(accepted_survivors(MAY)) + "\n")


def test_what_is_accepted_still_stands_in_the_code() -> None:
    for own, _ in MAY:
        (module,) = (ROOT / "chaos").rglob(f"{own.where.partition('.')[0]}.py")
        source = module.read_text(encoding="utf-8")
        assert own.was in " ".join(source.split()), own


# --- with mutmut itself --------------------------------------------------------------------------

CODE = "def high(x: int) -> bool:\n    return x >= 3\n"
TEST = "from toy.judge import high\n\n\ndef test_high() -> None:\n    assert high({}) is True\n"
CONFIG = """[tool.mutmut]
source_paths = ["toy"]
only_mutate = ["toy/judge.py"]
pytest_add_cli_args_test_selection = ["test_judge.py"]
"""
AT_THE_LIMIT = Change("judge.high", "return x >= 3", "return x > 3")
ANOTHER_LIMIT = Change("judge.high", "return x >= 3", "return x >= 4")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "toy").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "toy" / "__init__.py").touch()
    (tmp_path / "toy" / "judge.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / ACCEPTED).parent.mkdir(parents=True)
    (tmp_path / ACCEPTED).touch()
    return tmp_path


def told(project: Path, tried_with: int, *words: str) -> tuple[int, str]:
    """Exit code and words for a project whose one test tries one value."""
    (project / "test_judge.py").write_text(TEST.format(tried_with), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.mutation_survivors", *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_survivor_of_a_real_run_is_told(project: Path) -> None:
    code, text = told(project, 4)
    assert code == 1
    assert "| judge | 2 | 0 | 0 | 2 |" in text
    assert str(AT_THE_LIMIT) in text
    assert str(ANOTHER_LIMIT) in text


def test_tests_that_fail_without_any_mutant_show_nothing(project: Path) -> None:
    code, text = told(project, 2)
    assert code == 2
    assert "This shows nothing." in text


def test_a_module_that_there_is_not_shows_nothing_and_costs_no_results(project: Path) -> None:
    results = project / RESULTS / "toy" / "judge.py.meta"
    results.parent.mkdir(parents=True)
    results.touch()
    assert told(project, 4, "jury") == (2, "there is no module jury: judge\nThis shows nothing.\n")
    assert results.exists()
