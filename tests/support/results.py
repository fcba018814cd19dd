"""Results of fake runs, for whatever shows results."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chaos.engine.run import run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.record.reader import read_evidence
from chaos.record.writer import write_result
from tests.support.fake_stack import World, herd_order, lab


def judged_run(
    directory: Path, *flaws: str, full: bool = False, fix: str | None = None
) -> dict[str, Any]:
    """Run the thundering herd on fakes into a directory, judge it, and return its result."""
    world = World(frozenset(flaws))
    order = herd_order(world, full=full, fix=fix)
    with suppress(KeyboardInterrupt):
        run(order, lab(world), directory, lambda *_: None)
    evidence = read_evidence(directory)
    result = as_json(judge(order.experiment, evidence), order.experiment, evidence, directory)
    write_result(directory, result)
    return result


@cache
def _result_text(flaws: tuple[str, ...]) -> str:
    with TemporaryDirectory() as directory:
        return json.dumps(judged_run(Path(directory) / "run", *flaws))


def result_with(*flaws: str) -> dict[str, Any]:
    """The result of a fake run with these flaws, as the JSON that a reader gets."""
    result: dict[str, Any] = json.loads(_result_text(flaws))
    return result
