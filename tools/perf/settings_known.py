"""Exit with 1 if the shortener lacks a setting that is given: `python settings_known.py PYTHON`.

PYTHON is one that can run the shortener of the working directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

PREFIX = "SHORTENER_"
ADDRESSES = ("LISTEN", "_URL")  # not listed: a lab cannot choose them


def main(python: str) -> int:
    """Ask the shortener for its settings, and compare."""
    command = [python, "-m", "stack.shortener", "settings"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        sys.stderr.write(listed.stderr)
        return 1
    known = {f"{PREFIX}{name}" for name in json.loads(listed.stdout)}
    chosen = {name for name in os.environ if name.startswith(PREFIX)}
    missing = sorted(name for name in chosen - known if not name.endswith(ADDRESSES))
    if missing:
        sys.stderr.write(f"it lacks the settings {', '.join(missing)}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
