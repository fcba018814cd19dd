"""Revisions to compare: their commits, and a worktree of each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chaos.perf.trouble import WrongInput

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Revision:
    """A commit, and the name that it was asked for by."""

    name: str
    commit: str

    @property
    def short(self) -> str:
        """The commit as people write it."""
        return self.commit[:10]


def repository_of(path: Path) -> Path:
    """The root of the repository that a file lies in."""
    try:
        return Path(_git(path.resolve().parent, "rev-parse", "--show-toplevel"))
    except _GitFailed as failed:
        raise WrongInput(f"{path} is in no git repository: {failed}") from None


def require_clean(
    repository: Path, *below: str, instead: str = ", or name a commit with --head"
) -> None:
    """Refuse a tree with changes: what is measured are commits, so they would be missing.

    Of some files or folders alone, if they are named.

    Raises:
        WrongInput: there are some; the message names the first, and what can be done `instead`.
    """
    asked = ("status", "--porcelain", "--untracked-files=normal", "--", *below)
    try:
        changed = _git(repository, *asked).splitlines()
    except _GitFailed as failed:
        raise WrongInput(f"{repository} cannot be looked at: {failed}") from None
    if changed:
        names = ", ".join(line[3:] for line in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise WrongInput(
            f"the tree has changes that would not be measured ({names}{more}): commit or stash "
            f"them{instead}"
        )


def revision(repository: Path, name: str) -> Revision:
    """The commit of a name.

    Raises:
        WrongInput: there is none, as in a shallow clone that lacks it.
    """
    try:
        commit = _git(repository, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    except _GitFailed:
        hint = ": this clone is shallow, `git fetch --unshallow` completes it"
        shown = hint if _is_shallow(repository) else ""
        raise WrongInput(f"there is no revision {name}{shown}") from None
    return Revision(name, commit)


def _is_shallow(repository: Path) -> bool:
    with suppress(_GitFailed):
        return _git(repository, "rev-parse", "--is-shallow-repository") == "true"
    return False


def merge_base(repository: Path, base: Revision, head: Revision) -> Revision:
    """The newest commit that base and head share: what the change of head starts from."""
    try:
        return Revision(base.name, _git(repository, "merge-base", base.commit, head.commit))
    except _GitFailed:
        raise WrongInput(f"{base.name} and {head.name} have no history in common") from None


def start_of_change(repository: Path, base: Revision, head: Revision) -> Revision:
    """The merge base of base and head.

    Raises:
        WrongInput: it is head itself, as on main after a merge: the gate would measure it twice.
    """
    start = merge_base(repository, base, head)
    if start.commit == head.commit:
        raise WrongInput(
            f"{head.name} has no commit that {base.name} lacks, so there is nothing to compare: "
            "name an older base, such as --base HEAD~1 (or --exactly, to compare it with itself)"
        )
    return start


@contextmanager
def worktree(repository: Path, of: Revision, folder: Path) -> Iterator[Path]:
    """A checkout of a revision in a new folder; both are gone afterwards."""
    try:
        _git(repository, "worktree", "prune")  # those of a gate that was killed
        _git(repository, "worktree", "add", "--detach", "--force", str(folder), of.commit)
    except _GitFailed as failed:
        raise WrongInput(f"{of.name} cannot be checked out: {failed}") from None
    try:
        yield folder
    finally:
        with suppress(_GitFailed, WrongInput):  # what is left is pruned by the next gate
            _git(repository, "worktree", "remove", "--force", str(folder))


class _GitFailed(Exception):
    """Git refused."""


def _git(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            timeout=TIMEOUT_S,
        )
    except FileNotFoundError:
        raise WrongInput("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise WrongInput(f"`git {words[0]}` took more than {TIMEOUT_S:g} s") from None
    if done.returncode:
        raise _GitFailed(done.stderr.strip().removeprefix("fatal: "))
    return done.stdout.removesuffix("\n")
