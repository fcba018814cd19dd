"""Verdicts of all runs in the runs folder, each file read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from chaos.record.reader import DamagedRecord, read_json


class RunVerdict(NamedTuple):
    """The verdict of a run."""

    experiment: str
    verdict: str


class PastRuns:
    """The judged runs in a folder."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._read: dict[tuple[Path, int], RunVerdict | None] = {}

    def verdicts(self) -> Mapping[RunVerdict, int]:
        """The number of runs by experiment and verdict."""
        return Counter(self._judged().values())

    def newest(self) -> Mapping[str, str]:
        """The verdict of the newest run of each experiment; directory names begin with the time."""
        return {each.experiment: each.verdict for _, each in sorted(self._judged().items())}

    def _judged(self) -> dict[str, RunVerdict]:
        known: dict[tuple[Path, int], RunVerdict | None] = {}
        for file in self._runs.glob("*/verdict.json"):
            try:
                key = (file, file.stat().st_mtime_ns)
            except OSError:  # removed just now
                continue
            known[key] = self._read[key] if key in self._read else _judged(file)
        self._read = known
        return {file.parent.name: each for (file, _), each in known.items() if each is not None}


def _judged(file: Path) -> RunVerdict | None:
    try:
        result = read_json(file)
        return RunVerdict(str(result["experiment"]), str(result["verdict"]))
    except (DamagedRecord, KeyError):
        return None
