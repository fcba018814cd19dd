"""Repetitions of statistical tests: a few, or as many as THOROUGH sets.

THOROUGH=1 sets the numbers that the project promises (`make prove`), THOROUGH=0.1 a tenth. As a
plugin of pytest (`-p tests.support.thorough`) it prints the counts at the end.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

SCALE = float(os.environ.get("THOROUGH") or 0)
COUNTED: Counter[str] = Counter()

LONG_S = 900 if SCALE else 120  # for `pytest.mark.timeout`


def times(quick: int, thorough: int) -> int:
    """Return the number of repetitions: the quick one, or the thorough one to scale."""
    return max(quick, round(thorough * SCALE))


def counted(what: str, number: int = 1) -> None:
    """Add to a count of the summary."""
    COUNTED[what] += number


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the counts."""
    terminalreporter.section("counted", sep="-")
    for what, number in COUNTED.items():
        terminalreporter.write_line(f"{number:>12,}  {what}")
