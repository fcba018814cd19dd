"""How often the tests that prove something by numbers try it: a few times, or as often as is told.

THOROUGH=1 asks for the numbers that the project promises (`make prove`), THOROUGH=0.1 for a tenth.
As a plugin of pytest (`-p tests.support.thorough`) it prints at the end how often what was tried.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

SCALE = float(os.environ.get("THOROUGH") or 0)
COUNTED: Counter[str] = Counter()

LONG_S = 900 if SCALE else 120  # for `pytest.mark.timeout`


def times(quick: int, thorough: int) -> int:
    """How often to try it: the quick count, or the thorough one to scale."""
    return max(quick, round(thorough * SCALE))


def counted(what: str, number: int = 1) -> None:
    """Note for the summary that this was tried so often."""
    COUNTED[what] += number


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was counted."""
    terminalreporter.section("counted", sep="-")
    for what, number in COUNTED.items():
        terminalreporter.write_line(f"{number:>12,}  {what}")
