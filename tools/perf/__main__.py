"""`python -m tools.perf`: the gate's self-check, its false alarms and its power, measured here."""

from __future__ import annotations

import itertools
import platform
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from chaos.model.stack import PartDied, StackError
from chaos.perf import revisions
from chaos.perf.arm_bed import Comparison
from chaos.perf.cores import Cores, choose
from chaos.perf.gate import run_until_valid
from chaos.perf.rates import SEED_MAX
from chaos.perf.sequential import FALSE_ALARM
from chaos.perf.service_file import read_service
from chaos.perf.trouble import WrongInput
from tools.perf.conditions import Conditions, conditions
from tools.perf.plants import PLANTS, Plant
from tools.perf.power_page import publish, table
from tools.perf.verdicts import Verdict, append, false_alarms, on_record, summaries, verdict_on

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance-gate.md"
RECORD = ROOT / "reports" / "perf" / "self-check.jsonl"
AUTHOR = ("-c", "user.name=self-check", "-c", "user.email=self-check@localhost")


def self_check(
    count: Annotated[int, typer.Option(min=0, help="Verdicts on each plant, in all.")] = 20,
    more: Annotated[
        int, typer.Option(min=0, help="So many verdicts more on each plant, whatever COUNT is.")
    ] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Only this plant; repeatable.")] = None,
    record: Annotated[Path, typer.Option(help="Where verdicts are kept.")] = RECORD,
    write: Annotated[bool, typer.Option("--publish", help="Write table and picture.")] = False,
) -> None:
    """Judge unchanged code and planted regressions again and again: how often is it FAIL?

    It can be stopped at any time, and goes on where it stopped. Only verdicts of this gate, of
    these services and on a machine alike count. Exit code 1 if unchanged code surely fails more
    often than the gate says, 2 if a plant could not be judged, or if what is judged has changes
    that are not committed.
    """
    chosen, here = _chosen(only or []), _conditions()
    cores = choose()
    due = [*chosen] * more or _missing(chosen, on_record(record, here), count)
    try:
        judged = [_judged(plant, cores, here, record) for plant in due]
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on", err=True)
        raise typer.Exit(130) from None
    known = on_record(record, here)
    shown = summaries(known, [plant.name for plant in PLANTS])
    typer.echo(table(shown))
    if write:
        where = f"{here.machine}, {platform.system()} {platform.release()}"
        publish(shown, PAGE, f"Measured on {where}, Python {platform.python_version()}.")
    alarms = false_alarms(known, [plant.name for plant in PLANTS if not plant.worse])
    if alarms.bounds[0] > FALSE_ALARM:
        typer.echo(f"unchanged code fails in {alarms}: more than {FALSE_ALARM:.0%}", err=True)
    if not all(judged):
        raise typer.Exit(2)
    raise typer.Exit(1 if alarms.bounds[0] > FALSE_ALARM else 0)


def _conditions() -> Conditions:
    try:
        return conditions(ROOT)
    except WrongInput as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _judged(plant: Plant, cores: Cores, here: Conditions, record: Path) -> bool:
    """Judge a plant once, and keep the verdict; False if it cannot be judged."""
    try:
        verdict = _verdict(plant, cores, here)
    except (WrongInput, StackError, PartDied) as error:
        typer.echo(f"{plant.name}: {error}", err=True)
        return False
    append(record, verdict)
    typer.echo(f"{plant.name}: {verdict.verdict}, {verdict.seconds:.0f} s", err=True)
    return True


def _chosen(names: Sequence[str]) -> Sequence[Plant]:
    known = {plant.name: plant for plant in PLANTS}
    for name in names:
        if name not in known:
            typer.echo(f"there is no plant {name!r}: {', '.join(known)}", err=True)
            raise typer.Exit(2)
    return [known[name] for name in names] or PLANTS


def _missing(chosen: Sequence[Plant], known: Sequence[Verdict], count: int) -> Iterator[Plant]:
    """Each plant until it has so many verdicts, one of each in turn."""
    have = Counter(verdict.plant for verdict in known)
    for number in range(count):
        yield from (plant for plant in chosen if have[plant.name] <= number)


def _verdict(plant: Plant, cores: Cores, here: Conditions) -> Verdict:
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="perf-self-check-") as place:
        root = Path(place) / "checkout"
        base = _planted(plant, root)
        file, head = root / plant.service, revisions.revision(root, "HEAD")
        of = Comparison(read_service(file), file.parent, root, base, head)
        seeds, numbers = itertools.count(random.randrange(SEED_MAX)), itertools.count()
        outcome, _ = run_until_valid(
            of, cores, lambda: Path(place) / f"run-{next(numbers)}", seeds, lambda _: None
        )
    return verdict_on(plant.name, outcome, time.monotonic() - began_s, base.short, here)


def _planted(plant: Plant, root: Path) -> revisions.Revision:
    """A clone of this checkout with the plant as its newest commit; the revision before it."""
    _git("clone", "--quiet", "--shared", str(ROOT), str(root))
    base = revisions.revision(root, "HEAD")
    plant.apply(root)
    _git("-C", str(root), "add", "--all")
    _git("-C", str(root), *AUTHOR, "commit", "--quiet", "--no-verify", "--message", plant.name)
    return base


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


if __name__ == "__main__":
    typer.run(self_check)
