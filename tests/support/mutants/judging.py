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
from typing import Any, Literal

from typer.testing import CliRunner

from chaos import experiments
from chaos.cli.app import app
from chaos.engine.run import Order, run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.model.experiment import Act, At, Claim, Experiment
from chaos.record.reader import read_evidence
from tests.support.busy import busy
from tests.support.fake_stack import World, doubt_of, herd_order, lab, order_of
from tests.support.mutants.altering import Alter, sealed

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
    of: Literal["herd", "busy"] = "herd"  # the experiment
    act: Act | None = None  # in place of the experiment's own
    claim: Claim | None = None  # beside the experiment's own
    later: bool = False  # altered after it was written; else it was written so

    @property
    def experiment(self) -> Experiment:
        """The experiment that the record is judged by."""
        own = busy(World()) if self.of == "busy" else experiments.load("thundering-herd")
        if self.act is not None:
            own = replace(own, timeline=[At(0.0, self.act)])
        return own if self.claim is None else replace(own, claims=[*own.claims, self.claim])


@dataclass(frozen=True)
class Reason:
    """A finding that is no PASS."""

    verdict: str
    text: str
    observed: str


@dataclass(frozen=True)
class Outcome:
    """A verdict with its reasons, the gravest first."""

    verdict: str
    reasons: tuple[Reason, ...]


@cache
def recorded(of: str, flaws: tuple[str, ...], full: bool) -> Path:
    """A run of the fake stack, cached; removed when the process ends."""
    directory = _KEPT / f"{len(list(_KEPT.iterdir()))}"
    world = World(frozenset(flaws))
    order = _order(of, world, full=full)
    with suppress(KeyboardInterrupt):
        run(order, lab(world), directory, lambda *_: None, doubt_of(order.experiment))
    return directory


def _order(of: str, world: World, *, full: bool) -> Order:
    return order_of(busy(world), full=full) if of == "busy" else herd_order(world, full=full)


_FOLDER = TemporaryDirectory(prefix="mutants-")
_KEPT = Path(_FOLDER.name)


@contextmanager
def run_directory(mutant: Mutant) -> Iterator[Path]:
    """The run directory of a mutant."""
    with TemporaryDirectory() as parent:
        directory = Path(parent) / "run"
        shutil.copytree(recorded(mutant.of, mutant.flaws, mutant.full), directory)
        if mutant.alter is not None:
            mutant.alter(directory)
            if not mutant.later:
                sealed(directory)
        yield directory


def outcome(mutant: Mutant) -> Outcome:
    """Judge a mutant as a user would; what no command knows of, with the same functions."""
    with run_directory(mutant) as directory:
        if mutant.of == "herd" and mutant.act is None and mutant.claim is None:
            return judged(directory)
        return _outcome(_judged_by(mutant.experiment, directory))


def judged(directory: Path) -> Outcome:
    """Run `linkstorm judge` on a run directory; raise any exception other than a refusal."""
    command = CliRunner().invoke(app, ["judge", str(directory), "--format", "json"])
    if command.exception is not None and not isinstance(command.exception, SystemExit):
        raise command.exception
    if command.exit_code == DAMAGED:
        said = " ".join(command.stderr.split()).removeprefix("linkstorm: ")
        said = said.replace(f"{directory}/", "").replace(str(directory), "it")
        what, _, why = said.partition(": ")
        return Outcome("refused", (Reason("refused", what, why),))
    return _outcome(json.loads(command.stdout))


def _judged_by(experiment: Experiment, directory: Path) -> dict[str, Any]:
    evidence = read_evidence(directory)
    return as_json(judge(experiment, evidence), experiment, evidence, directory)


def _outcome(result: dict[str, Any]) -> Outcome:
    """Failures first, then checks that are INVALID, then claims."""
    found = [*result["claims"], *result["checks"]]
    failed = [finding for finding in found if finding["verdict"] == "FAIL"]
    found = [*result["checks"], *result["claims"]]
    failed += [finding for finding in found if finding["verdict"] == "INVALID"]
    own = [Reason(f["verdict"], f["text"], f["observed"]) for f in failed]
    return Outcome(result["verdict"], tuple(own))
