"""Where runs are kept, and what a new one's directory is called: its moment and its experiment."""

from __future__ import annotations

import itertools
import os
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "reports" / "runs"


def new_run_dir(name: str, runs: Path = RUNS) -> Path:
    """A new, empty directory; labs that start in the same second each get their own."""
    runs.mkdir(parents=True, exist_ok=True)
    first = runs / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    others = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([first], others) if made(path))


def made(path: Path) -> bool:
    """Make a directory; false if there is something of that name already."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def shown(path: Path) -> str:
    """A path as short as it can be typed from here; what no terminal shows is escaped."""
    here = Path.cwd()
    short = path.relative_to(here) if path.is_relative_to(here) else path
    text = os.fsencode(short).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
