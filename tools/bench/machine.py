"""What the figures were measured on, without which they mean nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from chaos.record.provenance import commit
from tools.bench.cores import Cores

_PACKAGES = ("uvicorn", "uvloop", "httptools", "hiredis", "asyncpg", "granian")


def facts(cores: Cores) -> dict[str, object]:
    """The machine, the versions, and who ran where."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit() or "",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_before": round(os.getloadavg()[0], 2),
        "server_core": cores.server,
        "other_cores": sorted(cores.others),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
