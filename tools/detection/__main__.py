"""`python -m tools.detection failover`: RTO against the time of detection, measured and drawn."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from chaos import experiments
from chaos.engine.announce import announcer
from chaos.engine.load import locust
from chaos.engine.observer import observer
from chaos.engine.run import Lab, Order, run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.model.evidence import Verdict
from chaos.model.experiment import Experiment
from chaos.record.reader import read_evidence
from chaos.record.run_directories import RUNS, new_run_dir, shown
from chaos.record.writer import write_result
from chaos.runtimes.embedded.runtime import EmbeddedRuntime
from chaos.runtimes.environment import adopt
from reports.page import write_report
from reports.picture import picture
from reports.table import table
from tools.detection.variation import NotAFailover, varied

DETECT_S = (0.5, 1.0, 2.0, 4.0)
USAGE, INTERRUPTED = 2, 130
EXIT_OF = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INVALID: 3}


def detection(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="One with a controller.")],
    arm: Annotated[
        str, typer.Option(help="The arm to vary; by default the first with a fix.")
    ] = "",
    detect_s: Annotated[
        list[float] | None, typer.Option(min=0.1, help="Seconds of silence; repeatable.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Failovers by each time.")] = 4,
    seed: Annotated[int, typer.Option(help="Arrivals and order of arms follow from it.")] = 7,
    svg: Annotated[Path | None, typer.Option(help="Write the picture to this file, too.")] = None,
) -> None:
    """Run one arm of a failover experiment, embedded, with several times of detection."""
    try:
        base = experiments.load(name)
        experiment = varied(base, arm or _first_fixed(base), detect_s or DETECT_S)
    except (experiments.UnknownName, NotAFailover, ValueError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(USAGE) from None
    mode = replace(experiment.quick, rounds=rounds, rounds_max=rounds)
    experiment = replace(experiment, quick=mode)
    order = Order(experiment, mode, experiment.arms, {}, seed, _command())
    directory = new_run_dir(experiment.name, RUNS)
    try:
        run(order, Lab(EmbeddedRuntime(), locust, observer, announcer), directory, _progress)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    evidence = read_evidence(directory)
    result = as_json(judge(experiment, evidence), experiment, evidence, directory)
    write_result(directory, result)
    Console().print(table(result))
    if svg is not None:
        svg.write_text(picture(result), encoding="utf-8")
    typer.echo(shown(write_report(directory)))
    raise typer.Exit(EXIT_OF[Verdict(result["verdict"])])


def _first_fixed(base: Experiment) -> str:
    """An arm that loses nothing, as a loss would make the run INVALID."""
    return next(arm.name for arm in base.arms if not arm.naive)


def _progress(done: int, total: int, what: str) -> None:
    typer.echo(f"{done}/{total} {what}", err=True)


def _command() -> str:
    return shlex.join(["python", "-m", "tools.detection", *sys.argv[1:]])


if __name__ == "__main__":
    adopt()
    typer.run(detection)
