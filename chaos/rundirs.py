"""Where runs are kept, and what a new one's directory is called: its moment and its experiment."""

from __future__ import annotations

import itertools
import os
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "reports" / "runs"


def new_run_dir(name: str, runs: Path = RUNS) -> Path:
    """A directory that is not there yet, even if another lab started in the same second."""
    first = runs / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    others = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([first], others) if not path.exists())


def shown(path: Path) -> str:
    """A path as short as it can be typed from here; what no terminal shows is escaped."""
    here = Path.cwd()
    short = path.relative_to(here) if path.is_relative_to(here) else path
    text = os.fsencode(short).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
