"""Run directories: their place, and the name of a new one, by time and experiment."""

from __future__ import annotations

import itertools
import os
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "reports" / "runs"


def new_run_dir(name: str, runs: Path = RUNS) -> Path:
    """Make a new, empty directory, unique even among labs that start in the same second."""
    runs.mkdir(parents=True, exist_ok=True)
    first = runs / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    others = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([first], others) if create(path))


def create(path: Path) -> bool:
    """Make a directory; false if the name is taken."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def shown(path: Path) -> str:
    """The path for display: relative to the working directory, unprintable characters escaped."""
    here = Path.cwd()
    short = path.relative_to(here) if path.is_relative_to(here) else path
    text = os.fsencode(short).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
