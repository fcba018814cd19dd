"""Report of a comparison: tables in Markdown, an exit code, and the facts of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import psutil
import typer

from chaos.perf.cores import Cores
from chaos.record.provenance import commit

FAILED, USAGE, INVALID = 1, 2, 3
_PACKAGES = ("uvicorn", "uvloop", "httptools", "hiredis", "asyncpg", "granian")
KEPT = Path(__file__).parents[2] / "reports" / "bench"


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which name the rows."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """Tables, failed expectations, and reasons why they may prove nothing."""

    tables: Sequence[Table]
    failed: Sequence[str] = ()
    invalid: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Exit code; invalid goes before failed."""
        return INVALID if self.invalid else FAILED if self.failed else 0


def markdown(report: Report, machine: dict[str, object]) -> str:
    """Render each table under its title, the findings, and the machine."""
    parts = [_table(table) for table in report.tables]
    findings = [f"INVALID: {why}" for why in report.invalid]
    findings += [f"FAIL: {what}" for what in report.failed]
    parts.append("\n".join(f"- {line}" for line in [*report.notes, *(findings or ["PASS"])]))
    parts.append(f"{machine_line(machine)}.")
    return "\n\n".join(parts) + "\n"


def machine_line(machine: Mapping[str, object]) -> str:
    """Describe the machine and the commit in a line."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, commit {machine['commit']}, {machine['measured_at']}"
    )


def finish(name: str, report: Report, cores: Cores) -> NoReturn:
    """Print it, keep it under reports/bench, and exit with its code."""
    text = markdown(report, facts(cores))
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{datetime.now():%Y%m%d-%H%M%S}-{name}.md"
    kept.write_text(text, encoding="utf-8")
    typer.echo(text, nl=False)
    say(f"kept as {kept}")
    raise typer.Exit(report.exit_code)


def say(words: str) -> None:
    """Print progress to stderr."""
    typer.echo(words, err=True)


def refuse(words: str, code: int) -> NoReturn:
    """Exit without a result."""
    typer.echo(f"bench: {words}", err=True)
    raise typer.Exit(code)


def _table(table: Table) -> str:
    rows = [list(table.headings), *map(list, table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in rows
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join([f"**{table.title}**", "", *lines])


def facts(cores: Cores) -> dict[str, object]:
    """Return the machine, versions and cores, without which figures mean nothing."""
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
