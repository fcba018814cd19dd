"""The command line: its commands and options; results to stdout, progress to stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chaos.cli.capacity_command import capacity
from chaos.cli.check_commands import check, list_experiments
from chaos.cli.compare_command import compare
from chaos.cli.exits import INTERRUPTED, TROUBLE, USAGE, interruptible
from chaos.cli.judge_commands import judge, report
from chaos.cli.output import errors, fail
from chaos.cli.perf_command import perf
from chaos.cli.run_command import SetOption, overridden, run, writing
from chaos.record.run_directories import RUNS

app = typer.Typer(
    help="Load-test a reference stack, break it, and prove from ground truth what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # what draws boxes takes longer to import than all else
)
app.command()(run)
app.command()(judge)
app.command()(report)
app.command()(compare)
app.command()(perf)
app.command()(capacity)
app.command()(check)
app.command("list")(list_experiments)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"linkstorm {metadata.version('linkstorm')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Load-test a reference stack, break it, and prove from ground truth what happened."""


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
    from chaos.cli.playground import addresses, play
    from chaos.model.stack import PartDied, StackError

    with interruptible():
        try:
            settings = overridden(setting or [])
            with writing():
                play(
                    settings,
                    runs,
                    lambda *lab: typer.echo(addresses(*lab)),
                    port=port,
                    locust_port=locust_port,
                )
        except experiments.UnknownName as unknown:
            fail(str(unknown), USAGE)
        except (StackError, PartDied) as error:
            fail(str(error), TROUBLE)
        except KeyboardInterrupt:
            errors.print("stopped; nothing is left running")


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
    """Bring the lab up in containers, and print its addresses."""
    from chaos.cli import lab_commands

    with _errors_printed():
        typer.echo(
            lab_commands.up(
                observability=observability, offline=offline, locust_workers=locust_workers
            )
        )


@app.command()
def down() -> None:
    """Remove the lab's containers, networks and volumes."""
    from chaos.cli import lab_commands

    with _errors_printed():
        lab_commands.down()


@app.command()
def status() -> None:
    """Print what killed labs left, and the state of the lab in containers."""
    from chaos.cli import lab_commands

    with _errors_printed():
        for line in lab_commands.status():
            typer.echo(line)


@app.command()
def heal() -> None:
    """Mend what killed runs left, in processes and in containers."""
    from chaos.cli import lab_commands

    with _errors_printed():
        for line in lab_commands.heal():
            typer.echo(line)


@app.command()
def promote() -> None:
    """Move the primary's role to the replica, in the lab in containers; nothing is lost.

    If the primary does not answer, the replica takes over at once, and that may lose writes.
    """
    from chaos.cli import lab_commands

    with _errors_printed():
        for line in lab_commands.promote():
            typer.echo(line)


@app.command()
def control(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8070,
) -> None:
    """Serve the control API of the lab in containers. Its `lab` container does."""
    from chaos.cli import lab_commands

    with _errors_printed():
        lab_commands.control(host, port)


@contextmanager
def _errors_printed() -> Iterator[None]:
    from chaos.model.stack import PartDied, StackError

    with interruptible():
        try:
            yield
        except (StackError, PartDied) as error:
            fail(str(error), TROUBLE)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
