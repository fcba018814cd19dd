"""The command line: results to stdout, progress to stderr, and an exit code that says which."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from signal import SIGINT, pthread_kill
from threading import Timer, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from chaos.cli import streams
from chaos.cli.entry import FAILED, INTERRUPTED, TROUBLE, USAGE, Judged, end_at_once, endings
from chaos.record.run_directories import ROOT, RUNS, made, new_run_dir, shown
from chaos.runtimes.environment import clean_environment

if TYPE_CHECKING:  # a command imports what it needs: all of it takes longer than most commands
    from rich.progress import Progress

    from chaos.engine.run import Lab, Order
    from chaos.model.experiment import Arm, Experiment
    from chaos.model.stack import Runtime, Stack

EXIT_OF = {"PASS": 0, "FAIL": FAILED, "INVALID": TROUBLE}
AGAIN_S = 0.01

app = typer.Typer(
    help="Load-test a reference stack, break it, and prove from ground truth what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # what draws boxes takes longer to import than all else
)


errors = Console(stderr=True, soft_wrap=True)


class OutputFormat(StrEnum):
    """What stdout holds."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


class RuntimeName(StrEnum):
    """Which stack a run uses."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    COMPOSE = "compose"


FormatOption = Annotated[OutputFormat, typer.Option("--format", help="What to print on stdout.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the stack; repeatable."),
]
RunArgument = Annotated[
    Path | None, typer.Argument(metavar="[RUN]", help="A run directory; the newest by default.")
]


@contextmanager
def _interruptible() -> Iterator[None]:
    """In here what ends us raises KeyboardInterrupt: there is something to heal or to stop."""
    before = {number: signal.signal(number, _interrupt) for number in endings()}
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """What is raised in a finaliser ends there. If that was an interruption, repeat it outside."""
    if lost.exc_type is KeyboardInterrupt:
        Timer(AGAIN_S, pthread_kill, (main_thread().ident, SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


def _fail(message: str, code: int) -> NoReturn:
    errors.print(f"linkstorm: {message}", style="bold red", highlight=False, markup=False)
    raise typer.Exit(code)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"linkstorm {metadata.version('linkstorm')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which this is."),
    ] = False,
) -> None:
    """Load-test a reference stack, break it, and prove from ground truth what happened."""


@app.command("list")
def list_experiments(
    names: Annotated[bool, typer.Option("--names", help="Only the names.")] = False,
) -> None:
    """List the experiments, each with its question and its arms."""
    from chaos import experiments

    out = Console(highlight=False, soft_wrap=True)
    for name in experiments.names():
        if names:
            out.print(name)
            continue
        experiment = experiments.load(name)
        out.print(f"[bold]{name}[/]\n  {experiment.question}")
        out.print(f"  arms: {', '.join(arm.name for arm in experiment.arms)}")


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="See `linkstorm list`.")],
    full: Annotated[bool, typer.Option("--full", help="For numbers that are quoted.")] = False,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm, and the naive one to compare it with; repeatable."),
    ] = None,
    setting: SetOption = None,
    seed: Annotated[int, typer.Option(help="Arrivals and order of arms follow from it.")] = 7,
    runtime: Annotated[
        RuntimeName, typer.Option(help="Where: a lab in containers if one is up, else embedded.")
    ] = RuntimeName.AUTO,
    runs: Annotated[Path, typer.Option(help="Where run directories go.")] = RUNS,
    into: Annotated[
        Path | None, typer.Option(help="The new run directory itself, with a name of your own.")
    ] = None,
    claimed: Annotated[
        bool, typer.Option("--claimed", hidden=True, help="The control has made it already.")
    ] = False,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Run an experiment: every arm in turn, judged, with a report."""
    order = _order(name, full, arm or [], setting or [], seed)
    lab = _lab(runtime)
    with _writing():
        if into is not None and not claimed and not made(into):
            _fail(f"{shown(into)} is there already: --into takes a new directory", USAGE)
        directory = into or new_run_dir(order.experiment.name, runs)
    interrupted = (
        f"interrupted: healed and stopped; `linkstorm judge {shown(directory)}` tells what "
        "the record so far is worth"
    )
    with _interruptible():
        try:
            _on_record(order, lab, directory)
            end_at_once(interrupted)
        except KeyboardInterrupt:
            errors.print(interrupted)
            raise typer.Exit(INTERRUPTED) from None
        raise Judged(_judged(directory, output, report=True))


@app.command()
def judge(run_dir: RunArgument = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """Judge a run again, from its files alone."""
    raise Judged(_judged(_run_dir(run_dir), output, report=False))


@app.command()
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

    directory = _run_dir(run_dir)
    try:
        result = _result(directory)
        write_result(directory, result)
        page = write_report(directory)
        if picture is not None:
            picture.write_text(draw(result), encoding="utf-8")
    except DamagedRecord as damaged:
        _fail(str(damaged), USAGE)
    except OSError as error:
        _fail(f"the report cannot be written: {error}", TROUBLE)
    typer.echo(shown(page))


@app.command()
def locust(
    port: Annotated[
        int | None, typer.Option(help="The shortener's port; a free one if not given.")
    ] = None,
    locust_port: Annotated[int, typer.Option(help="The port of the Locust web UI.")] = 8089,
    setting: SetOption = None,
    runs: Annotated[Path, typer.Option(help="Where run directories go.")] = RUNS,
) -> None:
    """Play: the stack, Locust's web UI and the Chaos page, until Ctrl-C."""
    from chaos import experiments
    from chaos.cli.playground import play
    from chaos.model.stack import PartDied, StackError

    with _interruptible():
        try:
            settings = _overrides(setting or [])
            with _writing():
                play(settings, runs, _say_what_is_up, port=port, locust_port=locust_port)
        except experiments.UnknownName as unknown:
            _fail(str(unknown), USAGE)
        except (StackError, PartDied) as error:
            _fail(str(error), TROUBLE)
        except KeyboardInterrupt:
            errors.print("stopped; nothing is left running")


def _say_what_is_up(stack: Stack, locust: str, directory: Path) -> None:
    typer.echo(
        f"shortener   {stack.endpoints.url} (its API: {stack.endpoints.url}/docs)\n"
        f"Locust      {locust}\n"
        f"Chaos       {locust}/chaos\n"
        f"Toxiproxy   {stack.endpoints.toxiproxy}\n"
        f"Postgres    {stack.endpoints.primary} (primary), {stack.endpoints.replica} (replica)\n"
        f"Redis       {stack.endpoints.redis}\n"
        f"logs        {shown(directory / 'logs')}\n"
        "Ctrl-C stops it all."
    )


@app.command()
def up(
    observability: Annotated[
        bool, typer.Option("--obs/--no-obs", help="With Prometheus and Grafana.")
    ] = True,
    offline: Annotated[
        bool, typer.Option("--offline", help="With stand-ins, see `make images-offline`.")
    ] = False,
    locust_workers: Annotated[int, typer.Option(min=1, help="Locust's load generators.")] = 1,
) -> None:
    """Bring the lab up in containers, and say what to open."""
    from chaos.cli import lab_commands

    with _trouble_in_words():
        typer.echo(
            lab_commands.up(
                observability=observability, offline=offline, locust_workers=locust_workers
            )
        )


@app.command()
def down() -> None:
    """Remove the lab's containers, networks and volumes."""
    from chaos.cli import lab_commands

    with _trouble_in_words():
        lab_commands.down()


@app.command()
def status() -> None:
    """Tell what killed labs left, and how the lab in containers is."""
    from chaos.cli import lab_commands

    with _trouble_in_words():
        for line in lab_commands.status():
            typer.echo(line)


@app.command()
def heal() -> None:
    """Mend what killed runs left, in processes and in containers."""
    from chaos.cli import lab_commands

    with _trouble_in_words():
        for line in lab_commands.heal():
            typer.echo(line)


@app.command()
def control(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8070,
) -> None:
    """Serve the control API of the lab in containers. Its `lab` container does."""
    from chaos.cli import lab_commands

    with _trouble_in_words():
        lab_commands.control(host, port)


@contextmanager
def _trouble_in_words() -> Iterator[None]:
    from chaos.model.stack import PartDied, StackError

    with _interruptible():
        try:
            yield
        except (StackError, PartDied) as error:
            _fail(str(error), TROUBLE)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


# --- what to run -------------------------------------------------------------------------------


def _order(name: str, full: bool, arms: list[str], settings: list[str], seed: int) -> Order:
    from chaos import experiments
    from chaos.engine.run import Order
    from chaos.model.experiment import SEED_MAX

    if not 0 <= seed <= SEED_MAX:
        _fail(f"--seed must be from 0 to {SEED_MAX}, not {seed}", USAGE)
    try:
        experiment = experiments.load(name)
        chosen = _chosen_arms(experiment, arms)
        overrides = _overrides(settings)
    except experiments.UnknownName as unknown:
        _fail(str(unknown), USAGE)
    order = Order(experiment, experiment.mode(full=full), chosen, overrides, seed, _command(seed))
    for one, other in combinations(chosen, 2):
        if order.settings_of(one) == order.settings_of(other):
            _fail(
                f"with {' '.join(f'{n}={v}' for n, v in overrides.items())} the arms {one.name} "
                f"and {other.name} do not differ: leave out what an arm sets itself; "
                "--arm chooses arms",
                USAGE,
            )
    return order


def _on_record(order: Order, lab: Lab, directory: Path) -> None:
    from chaos.engine.run import run as run_experiment

    with _writing(), _progress() as progress:
        run_experiment(order, lab, directory, progress)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _fail(f"the record cannot be written: {error}", TROUBLE)


def _chosen_arms(experiment: Experiment, names: list[str]) -> Sequence[Arm]:
    """The arms asked for and the naive one; all of them if none was asked for."""
    from chaos import experiments

    known = [arm.name for arm in experiment.arms]
    for name in names:
        if name not in known:
            raise experiments.UnknownName(f"arm of {experiment.name}", name, known)
    return [arm for arm in experiment.arms if not names or arm.naive or arm.name in names]


def _overrides(settings: list[str]) -> dict[str, str]:
    """Settings of the stack asked for on the command line, checked before anything starts."""
    if not settings:
        return {}
    pairs = [setting.partition("=") for setting in settings]
    for name, equals, _ in pairs:
        if not name or not equals:
            _fail(f"--set takes NAME=VALUE, not {name!r}", USAGE)
    from chaos import experiments

    known = json.loads(_stack_settings({}))
    for name, _, _ in pairs:
        if name not in known:
            raise experiments.UnknownName("setting", name, sorted(known))
    overrides = {name: value for name, _, value in pairs}
    _stack_settings(overrides)
    return overrides


def _stack_settings(overrides: dict[str, str]) -> str:
    """What the stack itself says can be set; it refuses values that it would not start with."""
    told = subprocess.run(
        [sys.executable, "-m", "stack.shortener", "settings"],
        cwd=ROOT,
        env=clean_environment() | {f"SHORTENER_{name}": value for name, value in overrides.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        _fail(told.stderr.strip(), USAGE if told.returncode == USAGE else TROUBLE)
    return told.stdout


def _command(seed: int) -> str:
    """What to type for the same run in a directory of its own, with the seed spelled out."""
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
    from chaos.engine.observer import eyes
    from chaos.engine.run import Lab

    return Lab(_runtime(runtime), locust, eyes, announcer)


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
        _fail(str(why_not), USAGE)
    if isinstance(why_not, AnotherCheckout):
        errors.print(f"not in containers: {why_not}", highlight=False, markup=False)
    return EmbeddedRuntime()


# --- run directories ---------------------------------------------------------------------------


def _run_dir(asked_for: Path | None) -> Path:
    """The run directory that was named, or the newest."""
    if asked_for is not None and not (asked_for / "plan.json").exists():
        _fail(f"{shown(asked_for)} is no run directory: it has no plan.json", USAGE)
    return asked_for or _newest_run()


def _newest_run() -> Path:
    runs = sorted(path.parent for path in RUNS.glob("*/plan.json"))
    if not runs:
        _fail(f"there is no run in {shown(RUNS)} yet; `linkstorm run EXPERIMENT` makes one", USAGE)
    return runs[-1]


# --- what comes out ----------------------------------------------------------------------------


def _judged(directory: Path, output: OutputFormat, *, report: bool) -> int:
    """Judge a run directory, write the verdict into it, print it; the exit code."""
    from chaos.record.reader import DamagedRecord
    from chaos.record.writer import write_result

    try:
        result = _result(directory)
        if report:
            write_result(directory, result)
            _write_report(directory)
        else:
            _keep(directory, result)
    except DamagedRecord as damaged:
        _fail(str(damaged), USAGE)
    except OSError as error:
        _fail(f"the verdict or the report cannot be written: {error}", TROUBLE)
    _print(_as_text(result, output), directory)
    return EXIT_OF[result["verdict"]]


def _keep(directory: Path, result: dict[str, Any]) -> None:
    """Write the verdict, if that can be done: a record may be there to be read alone."""
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
    from chaos import experiments
    from chaos.judge.results import as_json
    from chaos.judge.verdict import judge as judge_evidence
    from chaos.record.reader import DamagedRecord, read_evidence

    evidence = read_evidence(directory)
    try:
        experiment = experiments.load(str(evidence.plan["experiment"]))
    except experiments.UnknownName as unknown:
        raise DamagedRecord(directory / "plan.json", str(unknown)) from None
    result = judge_evidence(experiment, evidence)
    return as_json(result, experiment, evidence, Path(shown(directory)))


def _write_report(directory: Path) -> None:
    from reports.page import write_report

    write_report(directory)


def _print(text: str, directory: Path) -> None:
    """Print a result; a reader who has gone away changes nothing about it."""
    typer.echo(text)
    if lost := streams.stdout_lost():
        kept = f"the result is kept in {shown(directory / 'verdict.json')}"
        errors.print(f"linkstorm: not all could be printed ({lost.strerror}); {kept}")


def _as_text(result: dict[str, Any], output: OutputFormat) -> str:
    from reports.junit import junit
    from reports.table import NARROWEST, table

    if output is OutputFormat.JSON:
        return json.dumps(result, indent=2, allow_nan=False)
    if output is OutputFormat.JUNIT:  # whatever the encoding of stdout, it is right in this one
        return junit(result).encode("ascii", "xmlcharrefreplace").decode("ascii")
    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    with console.capture() as captured:
        console.print(table(result))
    return "\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n"))


@dataclass
class _Bar:
    """A progress bar on a terminal, and nothing elsewhere."""

    bar: Progress
    task: Any = None

    def __call__(self, done: int, total: int, what: str) -> None:
        if self.task is None:
            self.task = self.bar.add_task(what, total=total)
        self.bar.update(self.task, completed=done, description=what)


@contextmanager
def _progress() -> Iterator[_Bar]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        yield _Bar(bar)
