"""What nginx, the databases and the lab itself count is compared with as much slack as is due."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chaos.acts.faults import Kill, Pause
from chaos.judge.account_checks import counters_agree, statements_are_known, web_processes_share
from chaos.model.evidence import Evidence, InForce, Segment, Verdict
from chaos.model.experiment import Act, At
from tests.support.fake_stack import World, herd_order
from tests.support.mutants.altering import dropped
from tests.support.mutants.judging import Mutant, outcome
from tests.support.segments import evidence_of, followed, segment_of

HERD = replace(herd_order(World()).experiment, timeline=[])
PASS, INVALID = Verdict.PASS, Verdict.INVALID


def of(segment: Segment) -> Evidence:
    return evidence_of([segment])


def shared(one: float, other: float, unsure: int = 0, **fields: Any) -> Segment:
    requests = followed(np.zeros(100))
    outcome = np.where(np.arange(100) < unsure, "unknown", "ok")
    counted = {"web-1.requests": one, "web-2.requests": other}
    return segment_of(0, 1, requests=replace(requests, outcome=outcome), counted=counted, **fields)


@pytest.mark.parametrize(
    ("segment", "verdict"),
    [
        (shared(50, 50), PASS),
        (shared(56, 44), PASS),
        (shared(57, 43), INVALID),
        (shared(100, 0), INVALID),
        (shared(57, 43, unsure=1), PASS),
        (shared(100, 0, unsure=43), INVALID),
        (shared(0, 0), PASS),
        (shared(math.nan, 10), PASS),  # it was killed
        (shared(50, 50, web_processes=3), INVALID),
    ],
)
def test_turns_are_equal_but_for_what_has_no_answer(segment: Segment, verdict: Verdict) -> None:
    assert web_processes_share(HERD, of(segment)).verdict is verdict


@pytest.mark.parametrize(
    ("act", "verdict"),
    [(Pause("web-1"), PASS), (Kill("nginx"), PASS), (Kill("redis"), INVALID)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_where_an_act_hits_a_web_process_its_share_is_not_known(act: Act, verdict: Verdict) -> None:
    acted = replace(HERD, timeline=[At(0.0, act)])
    assert web_processes_share(acted, of(shared(100, 0))).verdict is verdict
    control = of(shared(100, 0, arm="control"))
    assert web_processes_share(acted, control).verdict is INVALID


def asked(operations: list[str], **counted: float) -> Segment:
    requests = replace(followed(np.zeros(len(operations))), operation=np.array(operations))
    zero = {f"{db}.{kind}": 0.0 for db in ("primary", "replica") for kind in ("reads", "writes")}
    zero |= {"web-1.writes_read_back": 0.0, "web-1.writes_sent_again": 0.0}
    named = {name.replace("_", "."): count for name, count in counted.items()}
    known = InForce(settings={}, roles={}, strange={})
    return segment_of(0, 1, requests=requests, counted=zero | named, in_force=[known, known])


@pytest.mark.parametrize(
    ("segment", "verdict"),
    [
        (asked(["follow"]), PASS),
        (asked(["create", "edit", "delete"], primary_writes=3), PASS),
        (asked(["create", "edit", "delete"], primary_writes=4), INVALID),
        (asked(["stats", "edit", "delete", "create"], primary_reads=3), PASS),
        (asked(["stats", "edit", "delete", "create"], primary_reads=4), INVALID),
        (asked(["edit"], primary_writes=1, primary_reads=1, replica_reads=1), INVALID),
        (asked(["follow"], replica_writes=1), INVALID),
        (asked(["follow"], primary_reads=math.nan, primary_writes=math.nan), PASS),
        (asked(["follow"], primary_reads=math.nan, replica_reads=1), INVALID),
    ],
)
def test_the_api_reads_and_writes_no_more_than_it_is_asked_to(
    segment: Segment, verdict: Verdict
) -> None:
    assert statements_are_known(HERD, of(segment)).verdict is verdict
    assert statements_are_known(HERD, of(replace(segment, in_force=[]))).verdict is INVALID


@pytest.mark.parametrize(("look_ups", "verdict"), [(0, PASS), (1, INVALID), (math.nan, PASS)])
def test_nobody_reads_the_standby_of_three_servers(look_ups: float, verdict: Verdict) -> None:
    counted = {"web-1.look_ups": 0.0, "primary.look_ups": 0.0, "replica.look_ups": 0.0}
    settings = {"topology:servers": "3"}
    counted |= {"standby.look_ups": look_ups}
    segment = segment_of(0, 1, counted=counted, settings=settings)
    assert counters_agree(HERD, of(segment)).verdict is verdict


@pytest.mark.parametrize(
    ("counted", "verdict"),
    [
        ({"primary.reads": 3.0, "web-1.writes_read_back": 2.0}, PASS),
        ({"primary.reads": 4.0, "web-1.writes_read_back": 2.0}, INVALID),
        ({"primary.writes": 2.0, "web-1.writes_sent_again": 1.0}, PASS),
        ({"primary.writes": 3.0, "web-1.writes_sent_again": 1.0}, INVALID),
        # of a web process that died
        ({"primary.reads": 1.0, "web-1.writes_read_back": np.nan}, PASS),
        ({"primary.reads": 4.0, "web-1.writes_read_back": np.nan}, INVALID),
        ({"primary.writes": 4.0, "web-1.writes_sent_again": np.nan}, INVALID),
    ],
)
def test_a_write_of_unknown_outcome_may_be_read_back_and_sent_again(
    counted: dict[str, float], verdict: Verdict
) -> None:
    segment = asked(["edit"])
    own = replace(segment, counted={**segment.counted, **counted})
    assert statements_are_known(HERD, of(own)).verdict is verdict


def test_what_the_lab_lost_is_never_called_a_failure() -> None:
    last = "click_id = (SELECT max(click_id) FROM {0} WHERE click_id LIKE '3-%')"
    lost = Mutant("", "", "", dropped("clicks", last), of="busy")
    assert outcome(lost).verdict == "FAIL"
    seen = outcome(replace(lost, later=True))
    assert {seen.verdict, *(reason.verdict for reason in seen.reasons)} == {"INVALID"}
    assert "no arm has any clicks lost, but for careless" in {r.text for r in seen.reasons}
