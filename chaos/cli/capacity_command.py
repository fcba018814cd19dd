"""`linkstorm capacity`: the highest rate at which a service holds its objective."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaos.cli.output import errors
from chaos.record.run_directories import ROOT, shown

if TYPE_CHECKING:
    from chaos.perf.arm_bed import Comparison
    from chaos.perf.capacity import Capacity, Step

CAPACITIES = ROOT / "reports" / "perf"


class CapacityFormat(StrEnum):
    """Format of the capacity on stdout."""

    TEXT = "text"
    JSON = "json"


def capacity(
    slo: Annotated[str, typer.Option(help="The objective, such as p99<50ms.")],
    service: Annotated[
        Path, typer.Option(help="How to start and what to ask: the service file.")
    ] = Path("perf.toml"),
    head: Annotated[
        str | None, typer.Option(help="The revision; the checkout if not given.")
    ] = None,
    step: Annotated[float, typer.Option(min=0.5, help="Seconds at each rate.")] = 5.0,
    into: Annotated[Path, typer.Option(help="Where the directories of runs go.")] = CAPACITIES,
    output: Annotated[
        CapacityFormat, typer.Option("--format", help="What to print on stdout.")
    ] = CapacityFormat.TEXT,
) -> None:
    """Find the highest rate that holds an objective, by open-loop steps."""
    from chaos.cli.perf_command import errors_explained

    with errors_explained():
        _found(slo, service, head, step, into, output)


def _found(
    slo: str, service: Path, head: str | None, step_s: float, into: Path, output: CapacityFormat
) -> None:
    from chaos.cli.perf_command import chosen_cores, comparison, directory_of
    from chaos.perf.capacity import objective
    from chaos.perf.capacity_steps import run_capacity
    from reports.capacity_page import capacity_page, capacity_text

    to = objective(slo)
    of = comparison(service, head or "HEAD", head, exactly=True)
    directory = directory_of(f"{of.service.name}-capacity", into)
    found = run_capacity(of, to, chosen_cores(), directory, step_s, _tell)
    document = _document(of, found)
    text = json.dumps(document, indent=2, allow_nan=False)
    (directory / "capacity.json").write_text(text, encoding="utf-8")
    page = directory / "report.html"
    page.write_text(capacity_page(document), encoding="utf-8")
    typer.echo(text if output is CapacityFormat.JSON else capacity_text(document))
    errors.print(f"report: {shown(page)}", highlight=False, markup=False)


def _tell(step: Step) -> None:
    errors.print(f"[dim]{step.rate_per_s:,.0f}/s: {step.latency_ms:,.1f} ms[/]", highlight=False)


def _document(of: Comparison, found: Capacity) -> dict[str, Any]:
    return {
        "service": of.service.name,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": {"name": of.head.name, "commit": of.head.commit},
        "objective": str(found.of),
        "bound_ms": found.of.bound_ms,
        "rate_per_s": round(found.rate_per_s, 1),
        "is_of_the_client": found.is_of_the_client,
        "steps": [
            {name: _finite(value) for name, value in asdict(step).items()}
            | {"holds": step.holds(found.of)}
            for step in found.steps
        ],
    }


def _finite(value: float | bool) -> float | bool | None:
    return value if math.isfinite(value) else None
