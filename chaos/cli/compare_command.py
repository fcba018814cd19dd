"""`linkstorm compare`: two runs of one experiment, side by side."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chaos.cli.exits import TROUBLE, USAGE
from chaos.cli.judge_commands import directory_of, result_and_plan
from chaos.cli.output import fail, rendered
from chaos.record.run_directories import shown


class ComparisonFormat(StrEnum):
    """Format of the comparison on stdout."""

    TABLE = "table"
    JSON = "json"


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The run to compare with.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="The other run's directory.")],
    output: Annotated[
        ComparisonFormat, typer.Option("--format", help="What to print on stdout.")
    ] = ComparisonFormat.TABLE,
) -> None:
    """Compare two runs of one experiment: each measure's change, and what else was different."""
    from chaos.judge.comparison import ComparedRun, NotComparable, ProvesNothing, as_json
    from chaos.judge.comparison import compare as compare_runs
    from chaos.record.reader import DamagedRecord
    from reports.comparison import comparison_table

    directories = [directory_of(base), directory_of(head)]
    if directories[0].resolve() == directories[1].resolve():
        fail(f"{shown(head)} is the same run twice", USAGE)
    try:
        runs = [ComparedRun(shown(one), *result_and_plan(one)) for one in directories]
        comparison = as_json(compare_runs(*runs))
    except (DamagedRecord, NotComparable) as wrong:
        fail(str(wrong), USAGE)
    except ProvesNothing as wrong:
        fail(str(wrong), TROUBLE)
    if output is ComparisonFormat.JSON:
        typer.echo(json.dumps(comparison, indent=2, allow_nan=False))
    else:
        typer.echo(rendered(*comparison_table(comparison)))
