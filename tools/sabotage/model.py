"""A sabotage: what is broken in a copy of the project, and the check that must say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class StaleEdit(Exception):
    """The text to be replaced is not in its file exactly once."""


@dataclass(frozen=True)
class Edit:
    """One replacement in one file, whose old text stands there exactly once."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Edit the file below `root`.

        Raises:
            StaleEdit: the old text is not there exactly once.
        """
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise StaleEdit(f"{self.file} has {text.count(self.old)} times: {self.old!r}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Sabotage:
    """A fault in the product or in the lab that a run of an experiment must not pass.

    `caught_by` are parts of the texts of claims and checks, of which one must not be PASS. With
    `missed_since` the run is expected to PASS: nothing can catch it, for that reason.
    """

    name: str
    broken: str  # what was done, in the words of a report
    harm: str  # what a user would come to believe, or suffer
    experiment: str
    arms: Sequence[str]
    edits: Sequence[Edit]
    caught_by: Sequence[str] = ()
    missed_since: str = ""
