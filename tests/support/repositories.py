"""Git repositories for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

AUTHOR = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")


def new_repository(root: Path) -> Path:
    """An empty repository with a branch main."""
    subprocess.run(["git", "init", "-q", "-b", "main", root], check=True)
    return root


def commit(root: Path, files: Mapping[str, str]) -> str:
    """Write files and commit them; the id of the commit."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    subprocess.run(["git", "-C", root, "add", "-A"], check=True)
    subprocess.run(["git", "-C", root, *AUTHOR, "commit", "-qm", "change"], check=True)
    shown = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()
