"""Results of fake runs, for whatever shows results."""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from chaos.engine.run import Order, run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.record.reader import read_evidence
from chaos.record.writer import write_result
from tests.support.busy import busy
from tests.support.fake_stack import World, doubt_of, herd_order, lab, order_of


@dataclass(frozen=True)
class _FakeRun:
    """A run on fakes, which records the same each time."""

    flaws: frozenset[str]
    full: bool = False
    fix: str | None = None
    busy: bool = False

    def order(self, world: World) -> Order:
        if self.busy:
            return order_of(busy(world))
        return herd_order(world, full=self.full, fix=self.fix)

    def record(self, directory: Path) -> None:
        world = World(self.flaws)
        order = self.order(world)
        with suppress(KeyboardInterrupt):
            run(order, lab(world), directory, lambda *_: None, doubt_of(order.experiment))

    def judge(self, directory: Path) -> dict[str, Any]:
        experiment = self.order(World(self.flaws)).experiment
        evidence = read_evidence(directory)
        result = as_json(judge(experiment, evidence), experiment, evidence, directory)
        write_result(directory, result)
        return result


def run_and_judged(directory: Path, *, fix: str | None = None) -> dict[str, Any]:
    """Run the thundering herd on fakes into a directory, judge it, and return its result."""
    fake = _FakeRun(frozenset(), fix=fix)
    fake.record(directory)
    return fake.judge(directory)


def judged_run(
    directory: Path, *flaws: str, full: bool = False, fix: str | None = None
) -> dict[str, Any]:
    """The same with flaws; it is run once, and each directory gets a copy to judge."""
    return _judged_copy(directory, _FakeRun(frozenset(flaws), full=full, fix=fix))


def judged_busy_run(directory: Path, *flaws: str) -> dict[str, Any]:
    """The same for the experiment in which everything happens."""
    return _judged_copy(directory, _FakeRun(frozenset(flaws), busy=True))


def _judged_copy(directory: Path, fake: _FakeRun) -> dict[str, Any]:
    shutil.copytree(_recorded(fake), directory, symlinks=True)
    return fake.judge(directory)


@cache
def _recorded(fake: _FakeRun) -> Path:
    folder = Path(mkdtemp(prefix="fake-run-"))
    atexit.register(shutil.rmtree, folder)
    fake.record(folder / "run")
    return folder / "run"


@cache
def _result_text(judged: Callable[..., dict[str, Any]], flaws: tuple[str, ...]) -> str:
    with TemporaryDirectory() as directory:
        return json.dumps(judged(Path(directory) / "run", *flaws))


def result_with(*flaws: str) -> dict[str, Any]:
    """The result of a fake run with these flaws, as the JSON that a reader gets."""
    result: dict[str, Any] = json.loads(_result_text(judged_run, flaws))
    return result


def busy_result(*flaws: str) -> dict[str, Any]:
    """The same for the experiment in which everything happens."""
    result: dict[str, Any] = json.loads(_result_text(judged_busy_run, flaws))
    return result
