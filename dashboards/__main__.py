"""`python -m dashboards` writes the dashboards' files; `check` looks for data in Prometheus."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.catalogue import DASHBOARDS, files
from dashboards.grafana_json import PROMETHEUS
from dashboards.panel_data import QueryAnswer, QueryRefused, query_panels

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
EMPTY, INVALID = 1, 3


@app.callback(invoke_without_command=True)
def write(context: typer.Context) -> None:
    """Write the files that Grafana loads."""
    if context.invoked_subcommand is None:
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
            typer.echo(path.name)


@app.command()
def check(
    prometheus: Annotated[str, typer.Option(help="URL of Prometheus.")] = PROMETHEUS,
    since: Annotated[float, typer.Option(min=1, help="Seconds back from now to query.")] = 300,
) -> None:
    """Fail if a panel has no data: after a run each panel should have some."""
    try:
        answers = list(query_panels(prometheus, DASHBOARDS, since))
    except QueryRefused as refused:
        typer.echo(f"dashboards: {refused}", err=True)
        raise typer.Exit(INVALID) from None
    for answer in answers:
        if not answer.figures:
            typer.echo(_description(answer))
    missing = [answer for answer in answers if answer.missing]
    typer.echo(f"{len(answers)} queries, {len(missing)} without data", err=True)
    if missing:
        raise typer.Exit(EMPTY)


def _description(answer: QueryAnswer) -> str:
    why = "no data" if answer.missing else f"empty, with data only while {answer.query.only_while}"
    return f"{answer.dashboard} / {answer.panel}: {why}: {answer.query.expr}"


if __name__ == "__main__":
    app()
