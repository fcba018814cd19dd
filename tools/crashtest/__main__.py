"""`python -m tools.crashtest N [SEED]`: play N rounds; print a line for each, and a table.

With `--failovers N`: N failovers in a row in one lab instead.
"""

from __future__ import annotations

import signal
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tools.crashtest.crashes import CRASHES, FULL_DISK, can_mount
from tools.crashtest.failovers import failover_line, failovers_summary, play_failovers
from tools.crashtest.outcome import RoundOutcome
from tools.crashtest.round import GONE_S, play_round

FAILED, INVALID, INTERRUPTED = 1, 3, 130


def crashtest(
    rounds: Annotated[int, typer.Argument(min=1, help="Number of labs to end.")] = 8,
    seed: Annotated[
        int, typer.Argument(help="Seed of the first round; each further round takes the next.")
    ] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this way to end a lab; repeatable.")
    ] = None,
    failovers: Annotated[
        int, typer.Option(min=0, help="Fail over so often in one lab, instead of rounds.")
    ] = 0,
) -> None:
    """End labs in every way at random moments, or fail over many times in one.

    Exit code 1 if any round left anything behind; 3 if every lab had ended before, so that no round
    proves anything.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the running lab, too
    if failovers:
        _fail_over(failovers)
        return
    crashes = only or _possible()
    outcomes = []
    try:
        for number in range(seed, seed + rounds):
            outcomes.append(play_round(number, crashes))
            typer.echo(_line(outcomes[-1]))
    except KeyboardInterrupt:
        typer.echo(_summary(outcomes))
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(_summary(outcomes))
    if any(outcome.wrong for outcome in outcomes):
        raise typer.Exit(FAILED)
    if all(outcome.missed for outcome in outcomes):
        typer.echo("every lab had ended before its crash: nothing was proved", err=True)
        raise typer.Exit(INVALID)


def _fail_over(count: int) -> None:
    try:
        played = play_failovers(count, lambda outcome: typer.echo(failover_line(outcome)))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(failovers_summary(played))
    if played.failed:
        raise typer.Exit(FAILED)


def _possible() -> list[str]:
    """Return the names of all crashes that are possible here; report the others."""
    with tempfile.TemporaryDirectory() as folder:
        if can_mount(Path(folder)):
            return list(CRASHES)
    typer.echo(f"{FULL_DISK}: left out, because only root can make a small disk", err=True)
    return [name for name in CRASHES if name != FULL_DISK]


def _line(outcome: RoundOutcome) -> str:
    crash = f"{outcome.crash} ({outcome.detail})" if outcome.detail else outcome.crash
    times = f"ended in {outcome.ended_s:4.1f} s, all gone {outcome.gone_s:4.1f} s later"
    first = (
        f"seed {outcome.seed:<6} {crash:<34} {outcome.injected_at or outcome.planned_at!s:<22}"
        f" exit {outcome.code!s:<4} {times}, took {outcome.took_s:4.1f} s"
    )
    if outcome.displaced:
        first += f", planned for {outcome.planned_at}"
    return "\n".join([first, *(f"  WRONG: {what}" for what in outcome.wrong)])


def _summary(outcomes: Sequence[RoundOutcome]) -> str:
    if not outcomes:
        return "no round was completed"
    by_crash: dict[str, list[RoundOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_crash[outcome.crash].append(outcome)
    rows = [_row(name, each) for name, each in sorted(by_crash.items())]
    wrong = [str(outcome.seed) for outcome in outcomes if outcome.wrong]
    end = (
        f"seeds with something wrong: {', '.join(wrong)};"
        f" `make crashtest N=1 SEED={wrong[0]}` repeats"
        if wrong
        else f"nothing was left after any of {len(outcomes)} rounds"
    )
    head = f"{'':<28} rounds  wrong  too late  gone: median   worst   (bar {GONE_S:g} s)  a round"
    if displaced := sum(outcome.displaced for outcome in outcomes):
        end = f"{displaced} crashed earlier in the run than planned: the lab was too slow\n{end}"
    return "\n".join(["", head, *rows, _row("all", outcomes), "", end])


def _row(name: str, outcomes: Sequence[RoundOutcome]) -> str:
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    late = sum(outcome.missed for outcome in outcomes)
    gone = [outcome.gone_s for outcome in outcomes]
    mean = statistics.mean(outcome.took_s for outcome in outcomes)
    return (
        f"{name:<28} {len(outcomes):6}  {wrong:5}  {late:8}  {statistics.median(gone):10.1f} s"
        f"  {max(gone):4.1f} s {mean:17.1f} s"
    )


if __name__ == "__main__":
    typer.run(crashtest)
