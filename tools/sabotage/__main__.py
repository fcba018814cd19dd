"""`python -m tools.sabotage`: try sabotages, all or some at random."""

from __future__ import annotations

import random
import secrets
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from tools.sabotage.catalogue import SABOTAGES
from tools.sabotage.model import Sabotage
from tools.sabotage.page import markdown
from tools.sabotage.trial import Outcome, attempt

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def sabotage(
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Only so many, chosen at random.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Repeats a random choice.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    experiment: Annotated[
        list[str] | None, typer.Option(help="Only those of this experiment; repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Labs at a time: more than one is noisy.")] = 1,
    page: Annotated[
        Path | None, typer.Option("--markdown", help="Write the page of all that were tried.")
    ] = None,
) -> None:
    """Break the project in one place at a time, and see that a run says so.

    Exit code 1 if a sabotage was not caught by the check that is meant for it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = _chosen(only or [], experiment or [], count, seed)
    outcomes: dict[str, Outcome] = {}
    labs = ThreadPoolExecutor(jobs)
    try:
        for each, outcome in zip(chosen, labs.map(attempt, chosen), strict=True):
            outcomes[each.name] = outcome
            typer.echo(_line(each, outcome))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        labs.shutdown(cancel_futures=True)
        if page is not None:
            page.write_text(markdown(chosen, outcomes), encoding="utf-8")
    wrong = [each.name for each in chosen if not outcomes[each.name].is_as_expected(each)]
    typer.echo(f"{len(chosen) - len(wrong)} of {len(chosen)} as expected")
    if wrong:
        repeat = " ".join(f"--only {name}" for name in wrong)
        typer.echo(f'not as expected; repeat: make sabotage ARGS="{repeat}"')
        raise typer.Exit(FAILED)


def _chosen(
    names: Sequence[str], experiments: Sequence[str], count: int | None, seed: int | None
) -> Sequence[Sabotage]:
    known = {each.name for each in SABOTAGES}
    if unknown := [name for name in names if name not in known]:
        typer.echo(f"there is no sabotage {', '.join(unknown)}: {', '.join(sorted(known))}")
        raise typer.Exit(USAGE)
    chosen = [
        each
        for each in SABOTAGES
        if (not names or each.name in names) and (not experiments or each.experiment in experiments)
    ]
    if count is None or count >= len(chosen):
        return chosen
    drawn = secrets.randbelow(10**6) if seed is None else seed
    typer.echo(f"chosen by --seed {drawn}")
    return random.Random(drawn).sample(chosen, count)


def _line(sabotage: Sabotage, outcome: Outcome) -> str:
    mark = "ok   " if outcome.is_as_expected(sabotage) else "WRONG"
    first = f"{mark} {sabotage.name:<28} {outcome.verdict:<8} {outcome.took_s:5.0f} s"
    if outcome.is_as_expected(sabotage):
        return f"{first}  {'; '.join(outcome.caught(sabotage)) or sabotage.missed_since}"
    said = [f"  {text}: {observed}" for text, observed in outcome.findings.items()]
    return "\n".join([first, f"  meant: {'; '.join(sabotage.caught_by)}", *said, outcome.output])


if __name__ == "__main__":
    typer.run(sabotage)
