"""A report names the commit of the code that ran, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASKED = "from chaos.record.provenance import commit; print(commit())"


def git(directory: Path, *words: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {
        f"GIT_{role}_{what}": "a@b"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *words], cwd=directory, env=clean | who, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def checkout(directory: Path) -> str:
    """Make a repository of all that a directory holds; its commit."""
    git(directory, "init", "-q")
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "--allow-empty", "-m", "all")
    return git(directory, "rev-parse", "--short=12", "HEAD")


def said(tree: Path, **environment: str) -> str:
    told = subprocess.run(
        [sys.executable, "-B", "-c", ASKED],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source as a tarball has it, below a directory that is nothing yet."""
    unpacked = tmp_path / "around" / "linkstorm"
    shutil.copytree(
        ROOT / "chaos", unpacked / "chaos", ignore=shutil.ignore_patterns("__pycache__")
    )
    return unpacked


def test_a_checkout_has_its_commit(tree: Path) -> None:
    assert said(tree) == "None"
    assert checkout(tree) == said(tree)


def test_a_worktree_has_its_commit(tree: Path, tmp_path: Path) -> None:
    head = checkout(tree)
    git(tree, "worktree", "add", "-q", str(tmp_path / "beside"))
    assert said(tmp_path / "beside") == head


def test_a_checkout_below_another_has_its_own_commit(tree: Path) -> None:
    git(tree.parent, "init", "-q")
    assert said(tree) == "None"
    assert checkout(tree) == said(tree)


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_a_repository_that_the_environment_names_has_no_say(
    variable: str, tree: Path, tmp_path: Path
) -> None:
    head = checkout(tree)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "file").write_text("foreign")
    checkout(foreign)
    named = {"GIT_DIR": ".git", "GIT_WORK_TREE": ".", "GIT_INDEX_FILE": ".git/index"}[variable]
    assert said(tree, **{variable: str(foreign / named)}) == head


def unpacked_untracked(tree: Path) -> None:
    (tree.parent / ".gitignore").write_text("/linkstorm\n")
    checkout(tree.parent)


def unpacked_and_forgotten(tree: Path) -> None:
    git(tree.parent, "init", "-q")
    git(tree.parent, "commit", "-q", "--allow-empty", "-m", "nothing")


def unpacked_over_a_checkout(tree: Path) -> None:
    git(tree, "init", "-q")
    git(tree, "commit", "-q", "--allow-empty", "-m", "nothing")


def committed_with_the_rest(tree: Path) -> None:
    checkout(tree.parent)


@pytest.mark.parametrize(
    "placed",
    [
        unpacked_untracked,
        unpacked_and_forgotten,
        unpacked_over_a_checkout,
        committed_with_the_rest,
    ],
)
def test_what_was_unpacked_in_another_checkout_has_no_commit(
    placed: Callable[[Path], None], tree: Path
) -> None:
    placed(tree)
    assert said(tree) == "None"


def edited(tree: Path) -> None:
    (tree / "chaos" / "run.py").write_text("edited")


def given_an_experiment(tree: Path) -> None:
    (tree / "chaos" / "experiments" / "mine.py").write_text("added")


@pytest.mark.parametrize("changed", [edited, given_an_experiment])
def test_code_that_is_not_the_commits_is_marked(
    changed: Callable[[Path], None], tree: Path
) -> None:
    head = checkout(tree)
    changed(tree)
    assert said(tree) == f"{head} with uncommitted changes"


def test_a_run_kept_in_the_checkout_is_no_change(tree: Path) -> None:
    head = checkout(tree)
    (tree / "my-run").mkdir()
    (tree / "my-run" / "plan.json").write_text("{}")
    assert said(tree) == head
