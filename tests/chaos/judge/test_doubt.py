"""Arms get further rounds while a claim about them is inconclusive, and only then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from chaos import experiments
from chaos.judge import doubt
from chaos.judge.claims import at_most, fewer_than, none
from chaos.judge.doubt import arms_in_doubt
from chaos.measures.estimates import mean, total
from chaos.model.evidence import Evidence, Mode, Segment
from chaos.model.experiment import Claim, Experiment, Measure
from tests.support.segments import evidence_of, segment_of

QUEUE = Measure("queue", "jobs", "queue", lambda s: np.array([s.counted["queue"]]), mean)
LOST = Measure("lost", "jobs", "lost", lambda s: np.array([s.counted["lost"]]), total)
HERD = experiments.load("thundering-herd")


def asking(*claims: Claim) -> Experiment:
    return replace(HERD, measures=[QUEUE, LOST], claims=claims, inputs=(), costs=())


def evidence(queues: Mapping[str, tuple[float, ...]], lost: float = 0.0) -> Evidence:
    """Two arms or more with these figures, a segment each."""
    segments: list[Segment] = [
        segment_of(10.0 * n, 10.0 * n + 1, arm=arm, counted={"queue": queue, "lost": lost})
        for arm, own in queues.items()
        for n, queue in enumerate(own)
    ]
    plan: dict[str, object] = {"arms": {arm: {} for arm in queues}}
    mode = Mode("quick", rounds=2, segment_s=1)
    return evidence_of(segments, plan=plan, mode=mode, read_back=False, trouble="unfinished")


SURE = {"direct": (20.0, 20.1), "lock": (1.0, 1.001), "lease": (1.0, 1.001)}


def test_what_is_decided_asks_for_nothing_passed_or_failed() -> None:
    passed, failed = at_most("lock", QUEUE, 5), at_most("direct", QUEUE, 5)
    assert arms_in_doubt(asking(passed, failed), evidence(SURE)) == {}


def test_the_arm_of_an_inconclusive_claim_gets_more_and_the_one_beside_it_too() -> None:
    open_ = {**SURE, "lock": (1.0, 9.0)}
    alone, both = at_most("lock", QUEUE, 5), fewer_than("lock", "direct", QUEUE, share=0.3)
    assert arms_in_doubt(asking(alone), evidence(open_)) == {"lock": "undecided: queue"}
    assert arms_in_doubt(asking(alone, both), evidence(open_)) == {
        "lock": "undecided: queue",
        "direct": "undecided: queue",
    }


def test_facts_of_the_run_and_figures_that_there_are_not_ask_for_nothing() -> None:
    claims = none(LOST), at_most("lock", LOST, 0), at_most("lock", QUEUE, 5)
    for lost in (0.0, 7.0, np.nan):
        assert arms_in_doubt(asking(*claims[:2]), evidence(SURE, lost)) == {}
    blind = {**SURE, "lock": (np.nan, np.nan)}
    assert arms_in_doubt(asking(claims[2]), evidence(blind)) == {}


def test_other_reasons_ask_for_arms_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_: Experiment, seen: Evidence) -> Mapping[str, str]:
        return {"lease": "late", "lock": "late", "no such arm": "late"}

    monkeypatch.setattr(doubt, "REASONS", [doubt.undecided, late])
    open_ = {**SURE, "lock": (1.0, 9.0)}
    assert arms_in_doubt(asking(at_most("lock", QUEUE, 5)), evidence(open_)) == {
        "lock": "undecided: queue; late",
        "lease": "late",
    }
