"""Output: results to stdout as text, JSON or JUnit; progress and errors to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from chaos.cli.streams import stdout_lost
from chaos.record.run_directories import shown

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

errors = Console(stderr=True, soft_wrap=True)


class OutputFormat(StrEnum):
    """Format of the result on stdout."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


FormatOption = Annotated[OutputFormat, typer.Option("--format", help="What to print on stdout.")]


def fail(message: str, code: int) -> NoReturn:
    """Print an error, and exit."""
    errors.print(f"linkstorm: {message}", style="bold red", highlight=False, markup=False)
    raise typer.Exit(code)


def print_result(text: str, directory: Path) -> None:
    """Print a result; stdout may be closed by now."""
    typer.echo(text)
    if lost := stdout_lost():
        kept = f"the result is kept in {shown(directory / 'verdict.json')}"
        errors.print(f"linkstorm: not all could be printed ({lost.strerror}); {kept}")


def as_text(result: dict[str, Any], output: OutputFormat) -> str:
    """A result in this format."""
    from reports.junit import junit
    from reports.table import table

    if output is OutputFormat.JSON:
        return json.dumps(result, indent=2, allow_nan=False)
    if output is OutputFormat.JUNIT:  # valid whatever the encoding of stdout
        return junit(result).encode("ascii", "xmlcharrefreplace").decode("ascii")
    return rendered(table(result))


def rendered(*parts: RenderableType) -> str:
    """Text as wide as the terminal, in the colours that it has."""
    from reports.table import NARROWEST

    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n"))


@dataclass
class _Bar:
    """A progress bar on a terminal, and nothing elsewhere."""

    bar: Progress
    task: Any = None

    def __call__(self, done: int, total: int, what: str) -> None:
        if self.task is None:
            self.task = self.bar.add_task(what, total=total)
        self.bar.update(self.task, completed=done, total=total, description=what)


@contextmanager
def progress() -> Iterator[_Bar]:
    """A progress bar on stderr."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        yield _Bar(bar)
