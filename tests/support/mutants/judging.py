"""Judging a mutant: its run directory, and the outcome of `linkstorm judge`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner

from chaos import experiments
from chaos.cli.app import app
from chaos.engine.run import run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.model.experiment import At, Experiment, Fault
from chaos.record.reader import read_evidence
from reports.reasons import Reason, reasons
from tests.support.fake_stack import World, herd_order, lab
from tests.support.mutants.altering import Alter

DAMAGED = 2


@dataclass(frozen=True)
class Mutant:
    """A way in which evidence can be wrong, and the finding that has to catch it.

    `flaws` are of the fake stack that makes the record, `alter` changes the record of a sound
    run. `caught_by` is a finding that must not be a PASS, or the file that is refused as damaged.
    """

    name: str
    imitates: str
    caught_by: str
    alter: Alter | None = None
    flaws: tuple[str, ...] = ()
    full: bool = False
    fault: Fault | None = None  # in place of the experiment's own


@dataclass(frozen=True)
class Outcome:
    """A verdict with its reasons, the gravest first."""

    verdict: str
    reasons: tuple[Reason, ...]


@cache
def recorded(flaws: tuple[str, ...], full: bool) -> Path:
    """A run of the fake stack, cached; removed when the process ends."""
    directory = _KEPT / f"{len(list(_KEPT.iterdir()))}"
    world = World(frozenset(flaws))
    with suppress(KeyboardInterrupt):
        run(herd_order(world, full=full), lab(world), directory, lambda *_: None)
    return directory


_FOLDER = TemporaryDirectory(prefix="mutants-")
_KEPT = Path(_FOLDER.name)


@contextmanager
def run_directory(mutant: Mutant) -> Iterator[Path]:
    """The run directory of a mutant."""
    with TemporaryDirectory() as parent:
        directory = Path(parent) / "run"
        shutil.copytree(recorded(mutant.flaws, mutant.full), directory)
        if mutant.alter is not None:
            mutant.alter(directory)
        yield directory


def outcome(mutant: Mutant) -> Outcome:
    """Judge a mutant as a user would."""
    with run_directory(mutant) as directory:
        if mutant.fault is None:
            return judged(directory)
        return _outcome(_judged_with(mutant.fault, directory))


def judged(directory: Path) -> Outcome:
    """Run `linkstorm judge` on a run directory; raise any exception other than a refusal."""
    command = CliRunner().invoke(app, ["judge", str(directory), "--format", "json"])
    if command.exception is not None and not isinstance(command.exception, SystemExit):
        raise command.exception
    if command.exit_code == DAMAGED:
        said = " ".join(command.stderr.split()).removeprefix("linkstorm: ")
        said = said.replace(f"{directory}/", "").replace(str(directory), "it")
        what, _, why = said.partition(": ")
        return Outcome("refused", (Reason("refused", what, why, said),))
    return _outcome(json.loads(command.stdout))


def _judged_with(fault: Fault, directory: Path) -> dict[str, Any]:
    experiment = with_fault(fault)
    evidence = read_evidence(directory)
    return as_json(judge(experiment, evidence), experiment, evidence, directory)


def with_fault(fault: Fault) -> Experiment:
    """The herd's experiment under another fault."""
    return replace(experiments.load("thundering-herd"), faults=[At(0.0, fault)])


def _outcome(result: dict[str, Any]) -> Outcome:
    return Outcome(result["verdict"], tuple(reasons(result | {"trouble": None})))
