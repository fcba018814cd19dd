"""`python -m tools.bench`: measure every arm, print the table, keep the figures."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from chaos.model.stack import StackError
from chaos.perf.cores import Cores, TooFewCores, choose
from chaos.runtimes.environment import adopt
from tools.bench import bench_table
from tools.bench.arms import ARMS, BARE, BenchArm
from tools.bench.crosscheck import crosscheck
from tools.bench.figures import Repeat, as_json, bias, results
from tools.bench.generator import generator
from tools.bench.measure import ServerUnderLoad, measure
from tools.bench.record_size import record
from tools.bench.report import FAILED, INVALID, KEPT, USAGE, facts, refuse, say
from tools.bench.server_bed import ServerBed, server_bed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(crosscheck)
app.command()(generator)
app.command()(record)


class ReportFormat(StrEnum):
    """Formats of stdout."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


class HostedBy(StrEnum):
    """HTTP server of the bare arm and of our own."""

    UVICORN = "uvicorn"
    GRANIAN = "granian"


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    arm: Annotated[
        list[str] | None, typer.Option(help="Only this arm, and bare; repeatable.")
    ] = None,
    server: Annotated[HostedBy, typer.Option(help="HTTP server of our app.")] = HostedBy.UVICORN,
    rounds: Annotated[int, typer.Option(min=1, help="Number of measurements of each arm.")] = 6,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=15, help="At saturation, and again at half load.")
    ] = 2.0,
    output: Annotated[
        ReportFormat, typer.Option("--format", help="Output format.")
    ] = ReportFormat.TABLE,
    into: Annotated[Path, typer.Option(help="Directory of the figures.")] = KEPT,
) -> None:
    """Measure the cost of a redirect on one core, beside a minimal server.

    Exit code 0; 1 if something did not start; 2 for wrong options or a machine with too few cores;
    3 if an arm is invalid or lacks a figure, or if a bare server differs from another one that is
    measured beside it.
    """
    if context.invoked_subcommand:
        return
    arms = _chosen(arm or [])
    try:
        cores = choose()
    except TooFewCores as problem:
        refuse(str(problem), USAGE)
    machine = {**facts(cores), "server": server.value, "rounds": rounds, "seconds": seconds}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-logs-") as logs:
            repeats = _measured(arms, cores, server, rounds, seconds, Path(logs))
    except StackError as problem:
        refuse(str(problem), FAILED)
    found = results(repeats)
    names = {one.name: one.what for one in arms}
    texts = {
        ReportFormat.TABLE: bench_table.text(found, names),
        ReportFormat.MARKDOWN: bench_table.markdown(found, names, machine),
        ReportFormat.JSON: json.dumps(
            {"machine": machine, "bias": bias(found), "arms": as_json(found)}, indent=2
        )
        + "\n",
    }
    _keep(into, server, texts)
    sys.stdout.write(texts[output])
    if bias(found) or not all(result.proves for result in found.values()):
        raise typer.Exit(INVALID)


def _chosen(names: Sequence[str]) -> list[BenchArm]:
    known = {arm.name: arm for arm in ARMS}
    unknown = [name for name in names if name not in known]
    if unknown:
        refuse(f"there is no arm {', '.join(unknown)}: {', '.join(known)}", USAGE)
    return [arm for arm in ARMS if not names or arm.name in names or arm is BARE]


def _measured(
    arms: Sequence[BenchArm],
    cores: Cores,
    server: HostedBy,
    rounds: int,
    seconds: float,
    logs: Path,
) -> dict[str, list[Repeat]]:
    """Measure every arm in turn, in reverse order every other round, so that drift cancels out.

    Each time the server is a new process, as launches of the same program differ.
    """
    repeats: dict[str, list[Repeat]] = {arm.name: [] for arm in arms}
    say("starting Postgres, its replica and Redis")
    with server_bed(cores, server, logs) as bed:
        for number in range(rounds):
            for arm in arms if number % 2 == 0 else reversed(arms):
                repeat = _measure_one(bed, arm, cores, seconds, number)
                repeats[arm.name].append(repeat)
                say(f"round {number + 1} of {rounds}: {arm.what}: {_in_short(repeat)}")
    return repeats


def _measure_one(bed: ServerBed, arm: BenchArm, cores: Cores, seconds: float, seed: int) -> Repeat:
    """Measure an arm beside a bare server; either is started first in every other round."""
    with bed.servers(*((arm, BARE) if seed % 2 == 0 else (BARE, arm))) as servers:
        server, bare = servers if seed % 2 == 0 else reversed(servers)
        return measure(
            ServerUnderLoad(arm, server, cores), ServerUnderLoad(BARE, bare, cores), seconds, seed
        )


def _in_short(repeat: Repeat) -> str:
    latency = "late" if repeat.p99_ms is None else f"{repeat.p99_ms:.2f} ms"
    doubtful = " INVALID" if repeat.problems else ""
    return (
        f"{repeat.rps:,.0f}/s, {repeat.ratio_to_bare:.2f} of bare, "
        f"p99 at half load {latency}{doubtful}"
    )


def _keep(into: Path, server: HostedBy, texts: dict[ReportFormat, str]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    stem = into / f"{datetime.now():%Y%m%d-%H%M%S}-{server}"
    for kind, suffix in ((ReportFormat.JSON, ".json"), (ReportFormat.MARKDOWN, ".md")):
        stem.with_suffix(suffix).write_text(texts[kind], encoding="utf-8")
    say(f"kept as {stem}.json and .md")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    adopt()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that started processes are ended
        signal.signal(number, _interrupt)
    app()
