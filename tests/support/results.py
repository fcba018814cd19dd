"""Results of fake runs, for whatever shows results."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chaos.engine.run import Order, run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.record.reader import read_evidence
from chaos.record.writer import write_result
from tests.support.busy import busy
from tests.support.fake_stack import World, doubt_of, herd_order, lab, order_of


def judged_run(
    directory: Path, *flaws: str, full: bool = False, fix: str | None = None
) -> dict[str, Any]:
    """Run the thundering herd on fakes into a directory, judge it, and return its result."""
    world = World(frozenset(flaws))
    return _judged(directory, herd_order(world, full=full, fix=fix), world)


def judged_busy_run(directory: Path, *flaws: str) -> dict[str, Any]:
    """The same for the experiment in which everything happens."""
    world = World(frozenset(flaws))
    return _judged(directory, order_of(busy(world)), world)


def _judged(directory: Path, order: Order, world: World) -> dict[str, Any]:
    with suppress(KeyboardInterrupt):
        run(order, lab(world), directory, lambda *_: None, doubt_of(order.experiment))
    evidence = read_evidence(directory)
    result = as_json(judge(order.experiment, evidence), order.experiment, evidence, directory)
    write_result(directory, result)
    return result


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
