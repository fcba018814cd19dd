"""`make test`: three files at a time, then the tests marked `alone` one by one."""

from __future__ import annotations

import subprocess
import sys

NONE_CHOSEN = 5  # pytest's exit code if it had nothing to run
BESIDE = [
    *("--half", "beside"),
    *("-n", "3", "--dist", "loadfile"),  # on two cores: they wait a lot
    "--no-loadscope-reorder",  # tests/conftest.py has an order
]
ALONE = ["--half", "alone"]


def main(arguments: list[str]) -> int:
    """Run both halves; return the exit code of the first to fail.

    A half that a signal ended has a negative code, and has failed like any other.
    """
    pytest = [sys.executable, "-m", "pytest"]
    codes = [subprocess.run([*pytest, *half, *arguments]).returncode for half in (BESIDE, ALONE)]
    if set(codes) == {NONE_CHOSEN}:
        return NONE_CHOSEN
    return next((abs(code) for code in codes if code not in (0, NONE_CHOSEN)), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
