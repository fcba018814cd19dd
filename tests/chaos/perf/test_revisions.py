"""Revisions are found and checked out; what cannot be measured is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from chaos.perf import revisions
from chaos.perf.revisions import (
    merge_base,
    repository_of,
    require_clean,
    revision,
    start_of_change,
    worktree,
)
from chaos.perf.trouble import WrongInput
from tests.support.repositories import commit, new_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a branch that leaves main after its first commit."""
    root = new_repository(tmp_path / "repository")
    commit(root, {"served": "one"})
    subprocess.run(["git", "-C", root, "switch", "-qc", "change"], check=True)
    commit(root, {"served": "change"})
    subprocess.run(["git", "-C", root, "switch", "-q", "main"], check=True)
    commit(root, {"served": "two"})
    return root


def test_the_base_of_a_change_is_where_it_left_main(repository: Path) -> None:
    base = merge_base(repository, revision(repository, "main"), revision(repository, "change"))
    assert base.commit == revision(repository, "main~1").commit
    assert base.name == "main"


def test_a_head_without_a_commit_of_its_own_is_refused(repository: Path) -> None:
    main, change = revision(repository, "main"), revision(repository, "change")
    assert start_of_change(repository, main, change).commit != change.commit
    for head in (main, revision(repository, "main~1")):
        with pytest.raises(WrongInput, match=f"{head.name} has no commit that main lacks"):
            start_of_change(repository, main, head)


def test_a_worktree_has_the_revision_and_is_gone_afterwards(
    repository: Path, tmp_path: Path
) -> None:
    with worktree(repository, revision(repository, "change"), tmp_path / "arm") as folder:
        assert (folder / "served").read_text() == "change"
    assert not folder.exists()
    listed = subprocess.run(
        ["git", "-C", repository, "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1


def test_an_unknown_revision_is_refused(repository: Path) -> None:
    with pytest.raises(WrongInput, match="there is no revision nowhere"):
        revision(repository, "nowhere")
    with pytest.raises(WrongInput, match="there is no revision --all"):
        revision(repository, "--all")


def test_a_shallow_clone_is_told_how_to_get_the_rest(repository: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    url = f"file://{repository}"
    subprocess.run(["git", "clone", "-q", "--depth=1", url, shallow], check=True)
    with pytest.raises(WrongInput, match="--unshallow"):
        revision(shallow, revision(repository, "main~1").commit)


def test_a_dirty_tree_is_refused_with_the_names_of_what_changed(repository: Path) -> None:
    require_clean(repository)
    (repository / "served").write_text("three")
    with pytest.raises(WrongInput, match=r"not be measured \(served\): commit or stash"):
        require_clean(repository)


def test_changes_elsewhere_than_where_it_matters_are_none(repository: Path) -> None:
    (repository / "page").write_text("new")
    require_clean(repository, "served")
    (repository / "served").write_text("three")
    with pytest.raises(WrongInput, match=r"not be measured \(served\): commit or stash them$"):
        require_clean(repository, "served", instead="")


def test_git_that_fails_or_hangs_is_told_in_words(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongInput, match="cannot be looked at: not a git repository"):
        require_clean(tmp_path)
    of = revision(repository, "main")
    with pytest.raises(WrongInput, match="main cannot be checked out: not a git repository"):
        with_worktree(tmp_path, of, tmp_path / "arm")
    monkeypatch.setattr(revisions, "TIMEOUT_S", 0)
    with pytest.raises(WrongInput, match="`git rev-parse` took more than 0 s"):
        revision(repository, "main")


def with_worktree(repository: Path, of: revisions.Revision, folder: Path) -> None:
    with worktree(repository, of, folder):
        pass


def test_a_worktree_that_cannot_be_removed_hides_no_other_trouble(
    repository: Path, tmp_path: Path
) -> None:
    def measure() -> None:
        with worktree(repository, revision(repository, "main"), tmp_path / "arm"):
            shutil.rmtree(repository)
            raise ValueError("the real trouble")

    with pytest.raises(ValueError, match="the real trouble"):
        measure()


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="is in no git repository"):
        repository_of(tmp_path / "perf.toml")
