"""`python -m dashboards` writes the dashboards' files; `check` asks Prometheus what they show."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.catalogue import DASHBOARDS, files
from dashboards.panel_data import QueryAnswer, QueryRefused, query_panels
from dashboards.places import PROMETHEUS

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
    prometheus: Annotated[str, typer.Option(help="Where Prometheus is.")] = PROMETHEUS,
    since: Annotated[float, typer.Option(min=1, help="Seconds back from now to ask for.")] = 300,
) -> None:
    """Fail where a panel had no data: after a run, every one of them should have had some."""
    try:
        answers = list(query_panels(prometheus, DASHBOARDS, since))
    except QueryRefused as refused:
        typer.echo(f"dashboards: {refused}", err=True)
        raise typer.Exit(INVALID) from None
    for answer in answers:
        if not answer.figures:
            typer.echo(_in_words(answer))
    missing = [answer for answer in answers if answer.missing]
    typer.echo(f"{len(answers)} queries, {len(missing)} without data", err=True)
    if missing:
        raise typer.Exit(EMPTY)


def _in_words(answer: QueryAnswer) -> str:
    why = (
        "no data"
        if answer.missing
        else f"empty, as it has data only while {answer.query.only_while}"
    )
    return f"{answer.dashboard} / {answer.panel}: {why}: {answer.query.expr}"


if __name__ == "__main__":
    app()
