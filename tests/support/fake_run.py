"""`linkstorm run` on the fake stack; `--waits` goes on in the middle until it is interrupted."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from chaos.engine.run import run
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.record.reader import read_evidence
from chaos.record.writer import write_result
from reports.page import write_report
from tests.support.fake_stack import World, doubt_of, herd_order, lab

WAITS = "--waits"
BREAKS = "--breaks"


def main(words: list[str]) -> None:
    into = Path(words[words.index("--into") + 1])
    chosen = [word for word, before in zip(words, ["", *words], strict=False) if before == "--arm"]

    def progress(done: int, total: int, what: str) -> None:
        while WAITS in words and done == 4:
            time.sleep(0.02)

    if BREAKS in words:
        sys.exit("the disk is full")
    world = World()
    order = herd_order(world)
    arms = [arm for arm in order.arms if not chosen or arm.naive or arm.name in chosen]
    order = replace(order, arms=arms)
    try:
        run(order, lab(world), into, progress, doubt_of(order.experiment))
    except KeyboardInterrupt:
        sys.exit(130)
    evidence = read_evidence(into)
    result = judge(order.experiment, evidence)
    write_result(into, as_json(result, order.experiment, evidence, into))
    write_report(into)


if __name__ == "__main__":
    main(sys.argv[1:])
