"""Measure time and memory of judging and reporting a large run, as a user calls them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tools.bench.repeated import RecordedRun, Shape, read_source

MILLION = 1_000_000
SECONDS_MAX = 15.0  # of a million requests; larger runs have a limit on memory alone
RSS_MAX_MB = 1000.0
PAGE_MAX_MB = 10.0
MISSED, INVALID = 1, 3
ROOT = Path(__file__).parents[2]


class RecordFormat(StrEnum):
    """Formats of stdout."""

    TABLE = "table"
    JSON = "json"


class NotMeasured(Exception):
    """A step failed, so there are no figures."""


@dataclass(frozen=True)
class CommandCost:
    """Time and memory of a command, from the start of its process to its end."""

    seconds: float
    peak_rss_mb: float


@dataclass(frozen=True)
class Figures:
    """Costs of a run with so many requests."""

    requests: int
    shape: Shape
    copies: int
    record_mb: float
    judge: CommandCost
    report: CommandCost  # which judges, too, before it draws
    page_mb: float

    @property
    def missed(self) -> list[str]:
        """Limits that are exceeded."""
        in_time = self.report.seconds <= SECONDS_MAX
        peak_rss_mb = max(self.judge.peak_rss_mb, self.report.peak_rss_mb)
        bars = {
            f"{SECONDS_MAX:g} s": self.requests > 1.1 * MILLION or in_time,
            f"{RSS_MAX_MB:g} MB of memory": peak_rss_mb <= RSS_MAX_MB,
            f"{PAGE_MAX_MB:g} MB of report": self.page_mb <= PAGE_MAX_MB,
        }
        return [bar for bar, kept in bars.items() if not kept]


def record(
    requests: Annotated[int, typer.Option(min=1, help="Minimum number.")] = MILLION,
    shape: Annotated[Shape, typer.Option(help="Dimension to extend.")] = Shape.LONGER,
    run: Annotated[
        Path | None, typer.Option(help="The run to repeat; a new one if not given (a minute).")
    ] = None,
    into: Annotated[Path | None, typer.Option(help="Keep the large run here.")] = None,
    output: Annotated[
        RecordFormat, typer.Option("--format", help="What to print.")
    ] = RecordFormat.TABLE,
) -> None:
    """Make a recorded run as large as asked for; measure how it is judged and reported.

    Exit code 0; 1 if a limit is exceeded; 3 if no run passes, or a claim comes out otherwise than
    in the source. The large run is INVALID, since the checks see that its record was made.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="linkstorm-record-") as folder:
            source = read_source(run or _new_run(Path(folder) / "source"))
            figures = _measured(source, into or Path(folder) / "large", requests, shape)
    except NotMeasured as problem:
        typer.echo(f"bench record: {problem}", err=True)
        raise typer.Exit(INVALID) from None
    typer.echo(_json(figures) if output is RecordFormat.JSON else _table(figures))
    if figures.missed:
        raise typer.Exit(MISSED)


def _new_run(into: Path) -> Path:
    typer.echo("running the thundering herd once, to have its record", err=True)
    _run_command("chaos", "run", "thundering-herd", "--runtime", "embedded", "--into", str(into))
    return into


def _measured(source: RecordedRun, into: Path, requests: int, shape: Shape) -> Figures:
    _run_command("chaos", "judge", str(source.path))
    copies = math.ceil(requests / source.requests)
    typer.echo(f"writing {copies} times {source.requests:,} requests", err=True)
    _run_command("tools.bench.repeated", str(source.path), str(into), str(copies), shape)
    record_mb = sum(file.stat().st_size for file in into.glob("*.parquet")) / 1e6
    judge, report = (
        _run_command("chaos", verb, str(into), may_end=(0, INVALID)) for verb in ("judge", "report")
    )
    if odd := claims_apart(source.path, into):
        raise NotMeasured(f"these claims come out otherwise: {'; '.join(odd)}")
    return Figures(
        read_source(into).requests,
        shape,
        copies,
        record_mb,
        judge,
        report,
        (into / "report.html").stat().st_size / 1e6,
    )


def claims_apart(run: Path, other: Path) -> list[str]:
    """The claims of one judged run that the other has with another verdict, or not at all."""
    results = [json.loads((each / "verdict.json").read_text("utf-8")) for each in (run, other)]
    own, others = ({(c["text"], c["verdict"]) for c in result["claims"]} for result in results)
    return sorted({text for text, _ in own ^ others})


def _run_command(module: str, *words: str, may_end: Sequence[int] = (0,)) -> CommandCost:
    """Run one of our commands to its end.

    Raises:
        NotMeasured: its exit code was another one.
    """
    began_s = time.monotonic()
    command = [sys.executable, "-m", module, *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in may_end:
        raise NotMeasured(f"{' '.join(command[1:])} ended with {process.returncode}")
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return CommandCost(time.monotonic() - began_s, usage.ru_maxrss / unit)


def _json(figures: Figures) -> str:
    return json.dumps(asdict(figures) | {"missed": figures.missed}, indent=2)


def _table(figures: Figures) -> str:
    rows = {"judge": figures.judge, "judge and report": figures.report}
    return "\n".join(
        [
            f"{figures.requests:,} requests, {figures.shape}: {figures.copies:,} times a recorded"
            f" run, {figures.record_mb:,.0f} MB",
            f"{'':16}{'seconds':>10}{'peak RSS MB':>14}",
            *(
                f"{name:16}{cost.seconds:10.1f}{cost.peak_rss_mb:14.0f}"
                for name, cost in rows.items()
            ),
            f"report.html {figures.page_mb:.1f} MB",
            f"limits exceeded: {', '.join(figures.missed)}"
            if figures.missed
            else "within all limits",
        ]
    )
