"""What a comparison found: tables in Markdown, which a terminal shows as well, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import typer

from tools.bench.cores import Cores
from tools.bench.machine import facts

FAILED, USAGE, INVALID = 1, 2, 3
KEPT = Path(__file__).parents[2] / "reports" / "bench"


@dataclass(frozen=True)
class Table:
    """Rows of words, the first of which name them."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """Tables, what falls short in them, and why they may prove nothing."""

    tables: Sequence[Table]
    failed: Sequence[str] = ()
    invalid: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Invalid before failed: what proves nothing has not failed either."""
        return INVALID if self.invalid else FAILED if self.failed else 0


def markdown(report: Report, machine: dict[str, object]) -> str:
    """Each table under its title, the findings, and the machine."""
    parts = [_table(table) for table in report.tables]
    findings = [f"INVALID: {why}" for why in report.invalid]
    findings += [f"FAIL: {what}" for what in report.failed]
    parts.append("\n".join(f"- {line}" for line in [*report.notes, *(findings or ["PASS"])]))
    parts.append(
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, commit {machine['commit']}, {machine['measured_at']}."
    )
    return "\n\n".join(parts) + "\n"


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
    """Progress, which is no result."""
    typer.echo(words, err=True)


def refuse(words: str, code: int) -> NoReturn:
    """End without a result."""
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
