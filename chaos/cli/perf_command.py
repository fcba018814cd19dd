"""`linkstorm perf`: did a change make a service slower?"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaos.cli.exits import FAILED, INTERRUPTED, TROUBLE, USAGE, Judged, interruptible
from chaos.cli.output import errors, fail, rendered
from chaos.record.run_directories import ROOT, new_run_dir, shown

if TYPE_CHECKING:
    from chaos.perf.arm_bed import Comparison
    from chaos.perf.cores import Cores
    from chaos.perf.gate import Outcome

GATES = ROOT / "reports" / "perf"
EXIT_OF = {"PASS": 0, "INCONCLUSIVE": 0, "FAIL": FAILED, "VOID": TROUBLE}


class GateFormat(StrEnum):
    """Format of the outcome on stdout."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"


def perf(
    base: Annotated[str, typer.Option(help="The revision to compare with, such as main.")],
    head: Annotated[
        str | None, typer.Option(help="The revision to judge; the checkout if not given.")
    ] = None,
    service: Annotated[
        Path, typer.Option(help="How to start and what to ask: the service file.")
    ] = Path("perf.toml"),
    exactly: Annotated[
        bool, typer.Option("--exactly", help="Compare with BASE itself, not with its merge base.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Order and arrivals follow.")] = None,
    history: Annotated[
        Path, typer.Option(help="File that a line is added to, and whose trend is drawn.")
    ] = GATES / "history.jsonl",
    into: Annotated[Path, typer.Option(help="Where the directories of runs go.")] = GATES,
    output: Annotated[
        GateFormat, typer.Option("--format", help="What to print on stdout.")
    ] = GateFormat.TABLE,
) -> None:
    """Compare two revisions of a service side by side: PASS, FAIL or INCONCLUSIVE.

    Exit code 0 for PASS and INCONCLUSIVE, 1 for FAIL, 2 if it cannot be measured as asked, 3 if
    the run was void twice.
    """
    with errors_explained():
        of = comparison(service, base, head, exactly=exactly)
        document = _measured(of, into, history, output, seed)
    raise Judged(EXIT_OF[document["verdict"]])


@contextmanager
def errors_explained() -> Iterator[None]:
    """Print an error of a measurement, and end with its exit code: 2, 3 or 130."""
    from chaos.model.stack import PartDied, StackError
    from chaos.perf.trouble import WrongInput

    with interruptible():
        try:
            yield
        except WrongInput as wrong:
            fail(str(wrong), USAGE)
        except (StackError, PartDied) as trouble:
            fail(str(trouble), TROUBLE)
        except KeyboardInterrupt:
            errors.print("interrupted; nothing is left running")
            raise typer.Exit(INTERRUPTED) from None


def comparison(file: Path, base: str, head: str | None, *, exactly: bool) -> Comparison:
    """The service of a file, and its revisions of these names.

    Raises:
        WrongInput: one of them is missing, the tree has changes that would not be measured, or
            head has nothing that base lacks.
    """
    from chaos.perf import revisions
    from chaos.perf.arm_bed import Comparison
    from chaos.perf.service_file import read_service

    service = read_service(file)
    repository = revisions.repository_of(file)
    if head is None:
        revisions.require_clean(repository)
    new = revisions.revision(repository, head or "HEAD")
    old = revisions.revision(repository, base)
    if not exactly:
        old = revisions.start_of_change(repository, old, new)
    return Comparison(service, file.resolve().parent, repository, old, new)


def chosen_cores() -> Cores:
    """A core for what is measured, and those for the rest.

    Raises:
        WrongInput: there are too few.
    """
    from chaos.perf.cores import TooFewCores, choose
    from chaos.perf.trouble import WrongInput

    try:
        return choose()
    except TooFewCores as error:
        raise WrongInput(str(error)) from None


def _measured(
    of: Comparison, into: Path, history: Path, output: GateFormat, seed: int | None
) -> dict[str, Any]:
    """The outcome on record and on stdout; a void one is measured once more."""
    from chaos.perf.gate import run_until_valid
    from chaos.perf.rates import SEED_MAX

    _require_writable(history)
    cores = chosen_cores()
    seeds = itertools.count(random.randrange(SEED_MAX) if seed is None else seed)
    outcome, directory = run_until_valid(
        of, cores, lambda: directory_of(of.service.name, into), seeds, _tell
    )
    document = _kept(outcome, directory, history)
    typer.echo(_text(document, output))
    errors.print(f"report: {shown(directory / 'report.html')}", highlight=False, markup=False)
    return document


def directory_of(name: str, into: Path) -> Path:
    """A new directory for a run.

    Raises:
        WrongInput: it cannot be made there.
    """
    from chaos.perf.trouble import WrongInput

    try:
        return new_run_dir(name, into)
    except OSError as error:
        raise WrongInput(
            f"{into} cannot be written ({error.strerror}): name another folder with --into"
        ) from None


def _require_writable(history: Path) -> None:
    """Make the history's folder, and see that a line can be added before minutes of measuring."""
    from chaos.perf.trouble import WrongInput

    try:
        history.parent.mkdir(parents=True, exist_ok=True)
        history.open("ab+").close()
    except OSError as error:
        raise WrongInput(
            f"the history {history} cannot be written ({error.strerror}): name another file with "
            "--history"
        ) from None


def _tell(what: str) -> None:
    errors.print(f"[dim]{what}[/]", highlight=False)


def _kept(outcome: Outcome, directory: Path, history: Path) -> dict[str, Any]:
    """The outcome on record: the verdict first, so that nothing after it can lose it."""
    from chaos.perf.gate_result import as_document, history_entry
    from chaos.perf.json_lines import append_line, whole_lines
    from reports.gate_junit import gate_junit
    from reports.gate_page import gate_page
    from reports.gate_table import markdown

    document = as_document(outcome)
    kept = {
        "result.json": json.dumps(document, indent=1, allow_nan=False),
        "summary.md": markdown(document),
        "junit.xml": gate_junit(document),
    }
    for name, text in kept.items():
        (directory / name).write_text(text, encoding="utf-8")
    append_line(history, history_entry(document))
    page = gate_page(document, [*whole_lines(history)])
    (directory / "report.html").write_text(page, encoding="utf-8")
    return document


def _text(document: dict[str, Any], output: GateFormat) -> str:
    from reports.gate_junit import gate_junit
    from reports.gate_table import gate_table, markdown

    match output:
        case GateFormat.JSON:
            return json.dumps(document, indent=2, allow_nan=False)
        case GateFormat.JUNIT:
            return gate_junit(document)
        case GateFormat.MARKDOWN:
            return markdown(document)
        case GateFormat.TABLE:
            return rendered(*gate_table(document))
