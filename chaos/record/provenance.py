"""Provenance: the commit of the running code, if any."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from chaos.record.run_directories import ROOT

GIT_TIMEOUT_S = 10.0
PACKAGES = ("chaos", "reports", "scenarios", "stack")


def commit() -> str | None:
    """The commit of this source tree, marked if the code differs from it; None without one.

    Only the tree's own checkout counts: not one that the tree was unpacked into, nor a repository
    named by `GIT_DIR` and the like.
    """
    try:
        tracked = _git("ls-files", "--", str(Path(__file__).resolve()))
        if not tracked or not ROOT.samefile(_git("rev-parse", "--show-toplevel")):
            return None
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
        added = _git("ls-files", "--others", "--exclude-standard", "--", *PACKAGES)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head} with uncommitted changes" if changed or added else head


def _git(*words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    return subprocess.run(
        ["git", "-C", str(ROOT), "--no-optional-locks", *words],
        env=environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=True,
        timeout=GIT_TIMEOUT_S,
    ).stdout.removesuffix("\n")
