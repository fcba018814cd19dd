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
from chaos.runtimes.environment import adopt
from tools.bench import bench_table
from tools.bench.arms import ARMS, BARE, BenchArm
from tools.bench.cores import Cores, TooFewCores, choose
from tools.bench.crosscheck import crosscheck
from tools.bench.figures import Repeat, as_json, bias, results
from tools.bench.generator import generator
from tools.bench.machine import facts
from tools.bench.measure import ServerUnderLoad, measure
from tools.bench.record_size import record
from tools.bench.servers import ServerBed, server_bed

FAILED, USAGE, INVALID, INTERRUPTED = 1, 2, 3, 130
KEPT = Path(__file__).parents[2] / "reports" / "bench"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(crosscheck)
app.command()(generator)
app.command()(record)


class ReportFormat(StrEnum):
    """What stdout holds."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


class HostedBy(StrEnum):
    """The HTTP server under bare and our own arms."""

    UVICORN = "uvicorn"
    GRANIAN = "granian"


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    arm: Annotated[
        list[str] | None, typer.Option(help="Only this arm, and bare; repeatable.")
    ] = None,
    server: Annotated[HostedBy, typer.Option(help="What serves our app.")] = HostedBy.UVICORN,
    rounds: Annotated[int, typer.Option(min=1, help="How often each arm is measured.")] = 6,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=15, help="Of saturation, and again of half load.")
    ] = 2.0,
    output: Annotated[
        ReportFormat, typer.Option("--format", help="What to print.")
    ] = ReportFormat.TABLE,
    into: Annotated[Path, typer.Option(help="Where the figures are kept.")] = KEPT,
) -> None:
    """Measure what a redirect costs, on one core, beside the least that a server can do.

    Exit code 0; 1 if something would not start; 2 if this machine or the order cannot do it;
    3 if an arm is invalid, so that its figures prove nothing, or lacks a figure, or if a bare
    server differs from another one that is measured beside it.
    """
    if context.invoked_subcommand:
        return
    arms = _chosen(arm or [])
    try:
        cores = choose()
    except TooFewCores as problem:
        _fail(str(problem), USAGE)
    machine = {**facts(cores), "server": server.value, "rounds": rounds, "seconds": seconds}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-logs-") as logs:
            repeats = _measured(arms, cores, server, rounds, seconds, Path(logs))
    except StackError as problem:
        _fail(str(problem), FAILED)
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
        _fail(f"there is no arm {', '.join(unknown)}: {', '.join(known)}", USAGE)
    return [arm for arm in ARMS if not names or arm.name in names or arm is BARE]


def _measured(
    arms: Sequence[BenchArm],
    cores: Cores,
    server: HostedBy,
    rounds: int,
    seconds: float,
    logs: Path,
) -> dict[str, list[Repeat]]:
    """Every arm in turn, and the other way round in the next round: a drift then cancels out.

    Each time the server is a new process, as launches of the same program differ.
    """
    repeats: dict[str, list[Repeat]] = {arm.name: [] for arm in arms}
    _say("starting Postgres, its replica and Redis")
    with server_bed(cores, server, logs) as bed:
        for number in range(rounds):
            for arm in arms if number % 2 == 0 else reversed(arms):
                repeat = _measure_one(bed, arm, cores, seconds, number)
                repeats[arm.name].append(repeat)
                _say(f"round {number + 1} of {rounds}: {arm.what}: {_in_short(repeat)}")
    return repeats


def _measure_one(bed: ServerBed, arm: BenchArm, cores: Cores, seconds: float, seed: int) -> Repeat:
    """Which of the two is started first changes with each round, as it might matter."""
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
    _say(f"kept as {stem}.json and .md")


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _fail(words: str, code: int) -> NoReturn:
    typer.echo(f"bench: {words}", err=True)
    raise typer.Exit(code)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    adopt()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended
        signal.signal(number, _interrupt)
    app()
