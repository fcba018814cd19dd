"""`linkstorm judge` and `report`: verdict and report of a run, from its files alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from chaos.cli.exits import EXIT_OF, TROUBLE, USAGE, Judged
from chaos.cli.output import (
    FormatOption,
    OutputFormat,
    as_text,
    errors,
    fail,
    print_result,
)
from chaos.record.run_directories import RUNS, shown

RunArgument = Annotated[
    Path | None, typer.Argument(metavar="[RUN]", help="A run directory; the newest by default.")
]


def judge(run_dir: RunArgument = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """Judge a run again, from its files alone."""
    raise Judged(judged(directory_of(run_dir), output, report=False))


def report(
    run_dir: RunArgument = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write the picture alone as SVG to this file, too.")
    ] = None,
) -> None:
    """Judge a run again, write its report, and say where it is."""
    from chaos.record.reader import DamagedRecord
    from chaos.record.writer import write_result
    from reports.page import write_report
    from reports.picture import picture as draw

    directory = directory_of(run_dir)
    try:
        result = _result(directory)
        write_result(directory, result)
        page = write_report(directory)
        if picture is not None:
            picture.write_text(draw(result), encoding="utf-8")
    except DamagedRecord as damaged:
        fail(str(damaged), USAGE)
    except OSError as error:
        fail(f"the report cannot be written: {error}", TROUBLE)
    typer.echo(shown(page))


def directory_of(asked_for: Path | None) -> Path:
    """The run directory that was named, or the newest."""
    if asked_for is not None and not asked_for.exists():
        fail(f"{shown(asked_for)} does not exist", USAGE)
    if asked_for is not None and not (asked_for / "plan.json").exists():
        fail(f"{shown(asked_for)} is no run directory: it has no plan.json", USAGE)
    return asked_for or _newest_run()


def _newest_run() -> Path:
    runs = sorted(path.parent for path in RUNS.glob("*/plan.json"))
    if not runs:
        fail(f"there is no run in {shown(RUNS)} yet; `linkstorm run EXPERIMENT` makes one", USAGE)
    return runs[-1]


def judged(directory: Path, output: OutputFormat, *, report: bool) -> int:
    """Judge a run directory, write and print the verdict; return the exit code."""
    from chaos.record.reader import DamagedRecord
    from chaos.record.writer import write_result

    try:
        result = _result(directory)
        if report:
            from reports.page import write_report  # what draws it takes a second to import

            write_result(directory, result)
            write_report(directory)
        else:
            _keep(directory, result)
    except DamagedRecord as damaged:
        fail(str(damaged), USAGE)
    except OSError as error:
        fail(f"the verdict or the report cannot be written: {error}", TROUBLE)
    print_result(as_text(result, output), directory)
    return EXIT_OF[result["verdict"]]


def _keep(directory: Path, result: dict[str, Any]) -> None:
    """Write the verdict if possible: the record may be read-only."""
    from chaos.record.writer import write_result

    try:
        write_result(directory, result)
    except OSError as error:
        errors.print(
            f"linkstorm: this verdict is printed, and not kept: {error}",
            highlight=False,
            markup=False,
        )


def _result(directory: Path) -> dict[str, Any]:
    return result_and_plan(directory)[0]


def result_and_plan(directory: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The result of judging a run directory, and the plan of the run.

    Raises:
        DamagedRecord: a file of it cannot be read, or its experiment is gone.
    """
    from chaos import experiments
    from chaos.judge.results import as_json
    from chaos.judge.verdict import judge as judge_evidence
    from chaos.record.reader import DamagedRecord, read_evidence

    evidence = read_evidence(directory)
    try:
        experiment = experiments.load(str(evidence.plan["experiment"]))
    except (experiments.UnknownName, experiments.WrongExperiment) as wrong:
        raise DamagedRecord(directory / "plan.json", str(wrong)) from None
    result = judge_evidence(experiment, evidence)
    return as_json(result, experiment, evidence, Path(shown(directory))), evidence.plan
