"""`linkstorm run`: an experiment from the command line to its verdict."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.cli.exits import INTERRUPTED, TROUBLE, USAGE, Judged, end_at_once, interruptible
from chaos.cli.judge_commands import judged
from chaos.cli.output import FormatOption, OutputFormat, errors, fail, progress
from chaos.record.run_directories import ROOT, RUNS, create, new_run_dir, shown
from chaos.runtimes.environment import clean_environment

if TYPE_CHECKING:  # a command imports what it needs: all of it takes longer than most commands
    from chaos.engine.run import Lab, Order
    from chaos.model.evidence import Mode
    from chaos.model.experiment import Arm, Experiment
    from chaos.model.stack import Runtime

PREFIXES = ("postgres:", "redis:")  # settings of those servers, which alone know them


class RuntimeName(StrEnum):
    """The runtime of a run."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    COMPOSE = "compose"


SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the stack; repeatable."),
]


def run(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="See `linkstorm list`.")],
    full: Annotated[bool, typer.Option("--full", help="For numbers that are quoted.")] = False,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm, and the naive one to compare it with; repeatable."),
    ] = None,
    setting: SetOption = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Fewer or more rounds: fewer only to try it.")
    ] = None,
    segment: Annotated[
        float | None, typer.Option(min=0.5, help="Seconds a segment: fewer only to try it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Arrivals and order of arms follow from it.")] = 7,
    runtime: Annotated[
        RuntimeName, typer.Option(help="Where: a lab in containers if one is up, else embedded.")
    ] = RuntimeName.AUTO,
    runs: Annotated[Path, typer.Option(help="Where run directories go.")] = RUNS,
    into: Annotated[
        Path | None, typer.Option(help="The new run directory itself, with a name of your own.")
    ] = None,
    claimed: Annotated[
        bool, typer.Option("--claimed", hidden=True, help="The control has made it.")
    ] = False,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Run an experiment: every arm in turn, judged, with a report."""
    order = _order(name, full, arm or [], setting or [], seed, _Length(rounds, segment))
    lab = _lab(runtime)
    order = _within(lab.runtime, order, arm or [])
    with writing():
        if into is not None and not claimed and not create(into):
            fail(f"{shown(into)} is there already: --into takes a new directory", USAGE)
        directory = into or new_run_dir(order.experiment.name, runs)
    interrupted = (
        f"interrupted: healed and stopped; `linkstorm judge {shown(directory)}` judges "
        "the record so far"
    )
    with interruptible():
        try:
            _on_record(order, lab, directory)
            end_at_once(interrupted)
        except KeyboardInterrupt:
            errors.print(interrupted)
            raise typer.Exit(INTERRUPTED) from None
        raise Judged(judged(directory, output, report=True))


@dataclass(frozen=True)
class _Length:
    """Rounds and seconds a segment, if the user wants others than the mode's.

    Further rounds of arms in doubt come on top, but not where fewer are asked for, to try it.
    """

    rounds: int | None
    segment_s: float | None

    def of(self, mode: Mode) -> Mode:
        """The mode with these."""
        rounds = self.rounds or mode.rounds
        further = mode.rounds_max - mode.rounds if rounds >= mode.rounds else 0
        return replace(
            mode,
            rounds=rounds,
            segment_s=self.segment_s or mode.segment_s,
            rounds_max=rounds + further,
        )


def _order(
    name: str, full: bool, arms: list[str], settings: list[str], seed: int, length: _Length
) -> Order:
    from chaos import experiments
    from chaos.engine.run import Order
    from chaos.judge.experiment_checks import problems
    from chaos.model.experiment import SEED_MAX

    if not 0 <= seed <= SEED_MAX:
        fail(f"--seed must be from 0 to {SEED_MAX}, not {seed}", USAGE)
    try:
        experiment = experiments.load(name)
        mode = length.of(experiment.mode(full=full))
        chosen = _chosen_arms(experiment, mode, arms)
        overrides = overridden(settings)
        require_settings(
            {name for arm in chosen for name in {**experiment.settings, **arm.settings}}
        )
    except (experiments.UnknownName, experiments.WrongExperiment, WrongSetting) as wrong:
        fail(str(wrong), USAGE)
    if odd := problems(experiment, [mode]):
        fail("\n".join(odd), USAGE)
    order = Order(experiment, mode, chosen, overrides, seed, _command(seed))
    for one, other in combinations(chosen, 2):
        if _same(one, other, order):
            given = " ".join(f"{n}={v}" for n, v in overrides.items())
            fail(
                f"{f'with {given} ' * bool(given)}the arms {one.name} and {other.name} do not "
                "differ: leave out what an arm sets itself; --arm chooses arms",
                USAGE,
            )
    return order


def _within(runtime: Runtime, order: Order, named: list[str]) -> Order:
    """The same without arms that need what the runtime lacks; exit if that is a naive arm, or one
    that was asked for."""
    from chaos.model.stack import ABILITIES

    needs_of = order.experiment.needs_of
    for arm in order.arms:
        for lacking in sorted(needs_of(arm) - runtime.can):
            why = f"{arm.name} needs {lacking!r}, which this lab lacks: {ABILITIES[lacking]}"
            if arm.naive or arm.name in named:
                fail(f"the arm {why}", USAGE)
            errors.print(f"left out: {why}", highlight=False, markup=False)
    return replace(order, arms=[arm for arm in order.arms if needs_of(arm) <= runtime.can])


def _same(one: Arm, other: Arm, order: Order) -> bool:
    experiment = order.experiment
    return (
        order.settings_of(one) == order.settings_of(other)
        and experiment.traffic_of(one) == experiment.traffic_of(other)
        and experiment.timeline_of(one) == experiment.timeline_of(other)
    )


def _on_record(order: Order, lab: Lab, directory: Path) -> None:
    from chaos.engine.run import run as run_experiment

    with writing(), progress() as bar:
        run_experiment(order, lab, directory, bar, partial(_arms_in_doubt, order.experiment))


def _arms_in_doubt(experiment: Experiment, record: Path) -> Mapping[str, str]:
    from chaos.judge.doubt import arms_in_doubt
    from chaos.record.reader import read_evidence

    return arms_in_doubt(experiment, read_evidence(record))


@contextmanager
def writing() -> Iterator[None]:
    """Exit with an error where the record cannot be written."""
    try:
        yield
    except OSError as error:
        fail(f"the record cannot be written: {error}", TROUBLE)


def _chosen_arms(experiment: Experiment, mode: Mode, names: list[str]) -> Sequence[Arm]:
    """The named arms and the naive one; all that the mode has if none is named.

    Raises:
        UnknownName: the experiment has no such arm.
    """
    from chaos import experiments

    known = [arm.name for arm in experiment.arms]
    for name in names:
        if name not in known:
            raise experiments.UnknownName(f"arm of {experiment.name}", name, known)
    return experiment.arms_in(mode, names)


def overridden(settings: list[str]) -> dict[str, str]:
    """Settings of the stack from `--set`, validated before anything starts."""
    if not settings:
        return {}
    pairs = [setting.partition("=") for setting in settings]
    for name, equals, _ in pairs:
        if not name or not equals:
            fail(f"--set takes NAME=VALUE, not {name!r}", USAGE)
    try:
        return checked_settings({name: value for name, _, value in pairs})
    except WrongSetting as wrong:
        fail(str(wrong), USAGE)


class WrongSetting(Exception):
    """A value that the stack would not start with."""


def checked_settings(settings: dict[str, str]) -> dict[str, str]:
    """The same settings, if the stack knows them and would start with their values.

    Raises:
        UnknownName: there is no such setting.
        WrongSetting: a value is refused.
    """
    from chaos.model.stack import SERVER_COUNT, servers_asked

    require_settings(settings)
    try:
        servers_asked(settings)
    except ValueError as wrong:
        raise WrongSetting(str(wrong)) from wrong
    others = (SERVER_COUNT, *PREFIXES)
    _stack_settings(frozenset(s for s in settings.items() if not s[0].startswith(others)))
    return settings


def require_settings(names: Iterable[str]) -> None:
    """Raise `UnknownName` if the stack lacks one of these settings."""
    from chaos import experiments
    from chaos.model.stack import SERVER_COUNT

    known = {*json.loads(_stack_settings(frozenset())), SERVER_COUNT}
    for name in names:
        if name not in known and not name.startswith(PREFIXES):
            short = name.removeprefix("SHORTENER_")
            if short in known:
                raise WrongSetting(f"settings go without SHORTENER_: {short}, not {name}")
            raise experiments.UnknownName("setting", name, sorted(known))


@cache
def _stack_settings(overrides: frozenset[tuple[str, str]]) -> str:
    """The settings that the stack lists; it refuses values that it would not start with.

    Cached: the arms of an experiment are much alike, and each list starts a process.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "stack.shortener", "settings"],
        cwd=ROOT,
        env=clean_environment() | {f"SHORTENER_{name}": value for name, value in overrides},
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == USAGE:
        raise WrongSetting(listed.stderr.strip())
    if listed.returncode:
        fail(listed.stderr.strip(), TROUBLE)
    return listed.stdout


def _command(seed: int) -> str:
    """The command line of the same run in a directory of its own, with its seed."""
    words = sys.argv[1:]
    pairs = zip(words, ["", *words], strict=False)
    ours = [word for word, before in pairs if "--into" not in (word.partition("=")[0], before)]
    given = [word for word in ours if word != "--claimed"]
    seeded = (
        given if any(word.startswith("--seed") for word in given) else [*given, "--seed", str(seed)]
    )
    return shlex.join(["linkstorm", *seeded])


def _lab(runtime: RuntimeName) -> Lab:
    from chaos.engine.announce import announcer
    from chaos.engine.load import locust
    from chaos.engine.observer import observer
    from chaos.engine.run import Lab

    return Lab(_runtime(runtime), locust, observer, announcer)


def _runtime(wanted: RuntimeName) -> Runtime:
    from chaos.runtimes.compose.docker_engine import AnotherCheckout
    from chaos.runtimes.compose.runtime import ComposeRuntime, why_not_up
    from chaos.runtimes.embedded.runtime import EmbeddedRuntime

    if wanted is RuntimeName.EMBEDDED:
        return EmbeddedRuntime()
    why_not = why_not_up()
    if why_not is None:
        return ComposeRuntime()
    if wanted is RuntimeName.COMPOSE:
        fail(str(why_not), USAGE)
    if isinstance(why_not, AnotherCheckout):
        errors.print(f"not in containers: {why_not}", highlight=False, markup=False)
    return EmbeddedRuntime()
