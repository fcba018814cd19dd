"""A copy of the project with an environment of its own, in which a sabotage is applied."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.sabotage.model import Sabotage

ROOT = Path(__file__).parents[2]


@contextmanager
def broken_copy(sabotage: Sabotage) -> Iterator[Path]:
    """Copy what git knows of the project, break it, and remove it at the end.

    Every process of a lab in it imports the copy: its interpreter has the copy on its path and
    this environment's packages after it.
    """
    root = Path(tempfile.mkdtemp(prefix="sabotage-", dir="/tmp")).resolve()
    root.chmod(0o755)  # Postgres runs as another user
    try:
        _copy(root)
        for edit in sabotage.edits:
            edit.apply(root)
        _make_environment(root)
        yield root
    finally:
        shutil.rmtree(root)


def python_of(root: Path) -> Path:
    """The interpreter of a copy."""
    return root / ".venv" / "bin" / "python"


def _copy(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
            shutil.copymode(ROOT / name, root / name)


def _make_environment(root: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")], check=True)
    (packages,) = (root / ".venv" / "lib").glob("python*/site-packages")
    (packages / "copy.pth").write_text(f"{root}\n{sysconfig.get_path('purelib')}\n")
