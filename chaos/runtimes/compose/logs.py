"""What the parts say while a run lasts, kept in the run directory as embedded parts keep it."""

from __future__ import annotations

from pathlib import Path

from chaos.runtimes.compose.containers import Containers
from chaos.runtimes.topology import PARTS


class Logs:
    """One file a part; only what was said after this was made."""

    def __init__(self, containers: Containers, folder: Path) -> None:
        self._containers = containers
        self._folder = folder
        self._read_to = {part: self._last_time(part) for part in PARTS}

    def collect(self) -> None:
        """Add what is new since the last time; often enough, so that no log was rotated away."""
        for part in PARTS:
            if rows := self._containers.log_since(part, self._read_to[part]):
                self._read_to[part] = rows[-1][0]
                with (self._folder / f"{part}.log").open("a", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for _, line in rows)

    def _last_time(self, part: str) -> str:
        rows = self._containers.log_since(part, "")
        return rows[-1][0] if rows else ""
