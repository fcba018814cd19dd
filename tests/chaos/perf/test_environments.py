"""Environments are built once for each content of their lock files, and only kept whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.perf.environments import arm_environment, built, cache
from chaos.perf.service_file import Build
from chaos.perf.trouble import WrongInput

COUNTS = ("sh", "-c", "echo built >> $1/builds; cat lock >> $1/made", "sh", "{environment}")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def worktree(tmp_path: Path, name: str, lock: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "lock").write_text(lock)
    return folder


def made(tmp_path: Path, folder: Path, *commands: tuple[str, ...], lock: bool = True) -> Path:
    build = Build(commands=commands or (COUNTS,), lock=("lock",) if lock else ())
    return built(build, folder, {}, tmp_path / "log")


def test_revisions_with_one_lock_file_share_what_is_built_once(tmp_path: Path) -> None:
    one, same = (made(tmp_path, worktree(tmp_path, name, "a==1")) for name in ("one", "same"))
    assert one == same
    assert one.is_relative_to(cache())
    assert (one / "builds").read_text() == "built\n"


def test_another_lock_file_or_command_is_another_environment(tmp_path: Path) -> None:
    folder = worktree(tmp_path, "one", "a==1")
    one = made(tmp_path, folder)
    assert made(tmp_path, folder, COUNTS, ("true",)) != one
    (folder / "lock").write_text("a==2")
    other = made(tmp_path, folder)
    assert (one / "made").read_text() == "a==1"
    assert (other / "made").read_text() == "a==2"


def test_what_failed_half_way_is_built_anew(tmp_path: Path) -> None:
    folder = worktree(tmp_path, "one", "a==1")
    fails_first = ("sh", "-c", "test -e again || { touch again; echo oh no; exit 3; }")
    with pytest.raises(WrongInput, match=r"ended with 3(.|\n)*oh no"):
        made(tmp_path, folder, COUNTS, fails_first)
    environment = made(tmp_path, folder, COUNTS, fails_first)
    assert (environment / "builds").read_text() == "built\n"


def test_without_a_lock_file_each_worktree_is_built(tmp_path: Path) -> None:
    folders = [worktree(tmp_path, name, "") for name in ("one", "two")]
    assert [made(tmp_path, folder, lock=False).parent for folder in folders] == folders


def test_a_missing_lock_file_and_a_missing_program_are_told(tmp_path: Path) -> None:
    folder = worktree(tmp_path, "one", "")
    with pytest.raises(WrongInput, match="`no-such-program` cannot be run: No such file"):
        made(tmp_path, folder, ("no-such-program",))
    (folder / "lock").unlink()
    with pytest.raises(WrongInput, match="the lock file lock cannot be read"):
        made(tmp_path, folder)


def test_an_arm_never_sees_the_code_that_measures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert not {"PYTHONPATH", "PGHOST"} & arm_environment().keys()
