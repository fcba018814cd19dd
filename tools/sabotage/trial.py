"""One trial: run an experiment in a broken copy, and see who noticed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.sabotage.broken_copy import broken_copy, python_of
from tools.sabotage.model import Sabotage

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """The verdict of a broken run, and every claim and check that did not pass."""

    sabotage: str
    verdict: str  # NONE: there was no run to judge
    findings: Mapping[str, str]  # text -> what it observed
    took_s: float
    output: str  # the last lines, if there is no verdict

    def caught(self, sabotage: Sabotage) -> Sequence[str]:
        """The findings that were meant to catch it."""
        return [
            text for text in self.findings if any(meant in text for meant in sabotage.caught_by)
        ]

    def is_as_expected(self, sabotage: Sabotage) -> bool:
        """True if the check meant for it caught it; one that nothing can catch must pass."""
        if sabotage.missed_since:
            return self.verdict == "PASS"
        return self.verdict in ("FAIL", "INVALID") and bool(self.caught(sabotage))


def attempt(sabotage: Sabotage) -> Outcome:
    """Run the experiment with the arms it needs, in a broken copy of this project."""
    began_s = time.monotonic()
    with broken_copy(sabotage) as root:
        run = root / "run"
        arms = [word for arm in sabotage.arms for word in ("--arm", arm)]
        command = ["run", sabotage.experiment, "--runtime", "embedded", "--into", str(run), *arms]
        done = subprocess.run(
            [str(python_of(root)), "-m", "chaos", *command],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        result = _result(run)
    took_s = time.monotonic() - began_s
    output = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
    if result is None:
        return Outcome(sabotage.name, "NONE", {}, took_s, output)
    return Outcome(sabotage.name, result["verdict"], _findings(result), took_s, "")


def _result(run: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _findings(result: Mapping[str, Any]) -> dict[str, str]:
    made = [*result["claims"], *result["checks"]]
    return {each["text"]: each["observed"] for each in made if each["verdict"] != "PASS"}
