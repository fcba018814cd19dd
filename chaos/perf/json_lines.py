"""Files with a JSON object on each line, which outlive runs that are killed as they write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to a file, on a line of its own even if the last one was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(entry, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as lines:
        if lines.tell():
            lines.seek(-1, os.SEEK_END)
            line = line if lines.read() == b"\n" else b"\n" + line
        lines.write(line)


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file; a line that was cut off is passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
