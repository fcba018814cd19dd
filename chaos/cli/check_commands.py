"""`linkstorm check` and `list`: what there is, and whether an experiment can be run."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from chaos.cli.exits import USAGE
from chaos.cli.output import fail
from chaos.cli.run_command import WrongSetting, checked_settings
from chaos.model import series


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]...", help="All of them by default.")
    ] = None,
) -> None:
    """Check experiments before anything starts: all that they name exists and can be judged."""
    from chaos import experiments

    wrong = []
    for name in names or experiments.names():
        try:
            typer.echo(_checked(name))
        except (experiments.UnknownName, experiments.WrongExperiment) as problem:
            wrong.append(str(problem))
    if wrong:
        fail("\n".join(wrong), USAGE)


def _checked(name: str) -> str:
    """The size of an experiment's quick run, once nothing is found wrong with it."""
    from chaos import experiments

    experiment = experiments.load(name)
    for arm in experiment.arms:
        try:
            checked_settings({**experiment.settings, **arm.settings})
        except (experiments.UnknownName, WrongSetting) as wrong:
            raise experiments.WrongExperiment(f"{name}: arm {arm.name}: {wrong}") from wrong
    return (
        f"{name}: {len(experiment.arms)} arms, {len(experiment.claims)} claims; a quick run "
        f"has {experiment.traffic_s(experiment.quick):g} s of traffic"
    )


def list_experiments(
    names: Annotated[bool, typer.Option("--names", help="Only the names.")] = False,
    measures: Annotated[bool, typer.Option("--measures", help="What can be measured.")] = False,
    acts: Annotated[bool, typer.Option("--acts", help="What can be done to the stack.")] = False,
    claims: Annotated[bool, typer.Option("--claims", help="What can be claimed.")] = False,
) -> None:
    """List the experiments, or what one can be made of."""
    chosen = [kind for kind, asked in zip(KINDS, (measures, acts, claims), strict=True) if asked]
    for kind in chosen:
        for entry in vocabulary(kind):
            typer.echo(f"{entry.name}{entry.signature}\n    {entry.about}")
    if measures:
        typer.echo(f"sampled series: {', '.join(series.names())}")
    if not chosen:
        _list_experiments(only_names=names)


def _list_experiments(*, only_names: bool) -> None:
    from chaos import experiments

    out = Console(highlight=False, soft_wrap=True)
    for name in experiments.names():
        if only_names:
            out.print(name)
            continue
        try:
            experiment = experiments.load(name)
        except experiments.WrongExperiment as wrong:
            out.print(f"[bold]{name}[/]")
            out.print("  cannot be run:", str(wrong), markup=False)
            continue
        out.print(f"[bold]{name}[/]\n  {experiment.question}")
        out.print(f"  arms: {', '.join(arm.name for arm in experiment.arms)}")


# --- what an experiment can be made of ----------------------------------------------------------

KINDS = {"measures": "Measure", "acts": "Act", "claims": "Claim"}
PACKAGES = {"measures": "chaos.measures", "acts": "chaos.acts", "claims": "chaos.judge"}


@dataclass(frozen=True)
class Entry:
    """A measure, an act or a claim: its name in an experiment, its parameters and its docstring."""

    name: str
    signature: str
    about: str


def vocabulary(kind: str) -> Iterator[Entry]:
    """Every measure, act or claim, from the code and its docstrings."""
    package = importlib.import_module(PACKAGES[kind])
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        for name, thing in vars(loaded).items():
            own = getattr(thing, "__module__", "") == loaded.__name__
            if own and not name.startswith("_") and _makes(thing, KINDS[kind]):
                yield _entry(f"{module.name}.{name}", thing)


def _makes(thing: object, noun: str) -> bool:
    if noun == "Act":
        return inspect.isclass(thing) and hasattr(thing, "inject") and hasattr(thing, "needs")
    return inspect.isfunction(thing) and thing.__annotations__.get("return") == noun


def _entry(name: str, thing: object) -> Entry:
    assert callable(thing)
    signature = str(inspect.signature(thing)).partition(" -> ")[0]
    about = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return Entry(name, signature.replace("'", ""), " ".join(about.split()))
