"""What a verdict of the self-check holds for: a gate, the services, and a machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from chaos.perf.revisions import require_clean

SOURCES = (
    "chaos/perf",
    "chaos/measures/estimates.py",
    "tools/perf/plants.py",
    "tools/perf/seed_links.py",
    "perf.toml",
    "stack",
    "examples/fastapi_service",
)
MEASURED = ("perf.toml", "stack", "examples", "tools/perf", "chaos/perf", SOURCES[1])
CPUS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Conditions:
    """A digest of all sources that a verdict depends on, and the processor with its cores."""

    sources: str
    machine: str


def conditions(root: Path) -> Conditions:
    """The conditions of a checkout on this machine.

    Raises:
        WrongInput: it has changes that are not committed; what is judged is a clone, without them.
    """
    require_clean(root, *MEASURED, instead="")
    return Conditions(_digest(root), f"{_processor()}, {os.cpu_count()} cores")


def _digest(root: Path) -> str:
    """A digest of the files."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--", *SOURCES]
    listed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        content = (root / name).read_bytes()
        digest.update(f"{name} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _processor() -> str:
    """The processor's name; that of its family where the system tells none."""
    told = CPUS.read_text(encoding="utf-8") if CPUS.exists() else ""
    for line in told.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
