"""Every check and claim is shown seeded violations, one at a time, and must see each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import checks as c
from chaos import measures as m
from chaos.estimates import mean
from chaos.evidence import read_evidence
from chaos.model import (
    ArmResult,
    Claim,
    Clicks,
    Estimate,
    Evidence,
    Oddities,
    Predicted,
    Segment,
    Verdict,
)
from chaos.run import run
from chaos.soundness import webs_lived_on
from tests.fake import World, herd_order, lab

HERD = m.origin_queries


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    directory = tmp_path_factory.mktemp("sound") / "run"
    world = World()
    run(herd_order(world), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


def first_segment(change: Callable[[Segment], Segment]) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, segments=[change(e.segments[0]), *e.segments[1:]])


def clicks(**change: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, clicks=replace(e.clicks, **change) if e.clicks else None)


def fault(**change: object) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, faults=[replace(e.faults[0], **change), *e.faults[1:]])  # type: ignore[arg-type]


def counted(**change: int) -> Callable[[Evidence], Evidence]:
    return first_segment(lambda s: replace(s, counted=replace(s.counted, **change)))


def generator(**change: int) -> Callable[[Evidence], Evidence]:
    return first_segment(lambda s: replace(s, generator=replace(s.generator, **change)))


def without_log_line(segment: Segment) -> Segment:
    origin = segment.origin
    shorter = {name: getattr(origin, name)[1:] for name in origin.__dataclass_fields__}
    return replace(segment, origin=type(origin)(**shorter))


def failing_control(evidence: Evidence) -> Evidence:
    control = evidence.control[0]
    outcome = control.requests.outcome.astype("U8")
    outcome[3] = "unknown"
    requests = replace(control.requests, outcome=outcome)
    return replace(evidence, control=[replace(control, requests=requests)])


def answered(more: int) -> Callable[[Evidence], Evidence]:
    def change(segment: Segment) -> Segment:
        seen = segment.counted.web_requests + more
        return replace(segment, counted=replace(segment.counted, web_requests=seen))

    return first_segment(change)


def one_more_answered(segment: Segment) -> Segment:
    counted = segment.counted
    return replace(segment, counted=replace(counted, web_requests=counted.web_requests + 1))


def never_answered(segment: Segment) -> Segment:
    """The first request got no answer, and nobody knows whether it arrived."""
    return with_first_request(segment, "unknown", 0)


def with_first_request(segment: Segment, outcome: str, status: int) -> Segment:
    requests = segment.requests
    outcomes, statuses = requests.outcome.astype("U8"), requests.status.copy()
    outcomes[0], statuses[0] = outcome, status
    return replace(segment, requests=replace(requests, outcome=outcomes, status=statuses))


MUTANTS: dict[str, tuple[c.Check, Callable[[Evidence], Evidence]]] = {
    "trouble": (c.ran_to_its_end, lambda e: replace(e, trouble="web-1 died")),
    "no segments on record": (c.record_is_whole, lambda e: replace(e, segments=[])),
    "a request sent but not on record": (c.record_is_whole, generator(sent=10**6)),
    "a request offered but not sent": (c.record_is_whole, generator(offered=10**6)),
    "no control": (c.control_is_healthy, lambda e: replace(e, control=[])),
    "one unanswered request in the control": (c.control_is_healthy, failing_control),
    "no faults on record": (c.faults_are_proven, lambda e: replace(e, faults=[])),
    "one fault missing": (c.faults_are_proven, lambda e: replace(e, faults=e.faults[1:])),
    "one fault without effect": (c.faults_are_proven, fault(took_effect=False)),
    "one fault not healed": (c.faults_are_proven, fault(healed=False)),
    "late requests": (c.generator_was_on_time, generator(late=200)),
    "one unsent request": (c.generator_was_on_time, generator(unsent=1)),
    "nothing sent in any segment": (
        c.generator_was_on_time,
        lambda e: replace(
            e,
            segments=[replace(s, generator=replace(s.generator, sent=0)) for s in e.segments],
        ),
    ),
    "an arm never ran": (c.generator_was_on_time, lambda e: replace(e, segments=e.segments[:5])),
    "Postgres counts one more": (c.counters_agree, counted(postgres_origin_queries=10**6)),
    "the app counts one more": (c.counters_agree, counted(app_origin_queries=10**6)),
    "a line of the app's log is gone": (c.counters_agree, first_segment(without_log_line)),
    "no counters at all": (c.counters_agree, lambda e: replace(e, segments=[])),
    "a request more than was sent": (c.nobody_else_used_the_lab, answered(+1)),
    "a request that web never saw": (c.nobody_else_used_the_lab, answered(-1)),
    "a request more than web can have seen": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(first_segment(never_answered)(e)),
    ),
    "two requests less than web must have seen": (
        c.nobody_else_used_the_lab,
        lambda e: answered(-2)(first_segment(never_answered)(e)),
    ),
    "a request more although a web process was killed": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(counted(web_starts=1)(e)),
    ),
    "a stranger in the control": (
        c.nobody_else_used_the_lab,
        lambda e: replace(e, control=[*map(one_more_answered, e.control)]),
    ),
    "nobody at all used the lab": (
        c.nobody_else_used_the_lab,
        lambda e: replace(e, segments=[], control=[]),
    ),
    "too few expiries": (c.enough_expiries, lambda e: replace(e, segments=e.segments[:6])),
    "no arms": (
        c.enough_expiries,
        lambda e: replace(e, plan={**e.plan, "arms": {}}, segments=[]),
    ),
    "a click lost": (c.clicks_are_exact, clicks(lost=1)),
    "a click doubled": (c.clicks_are_exact, clicks(duplicated=1)),
    "a click from nowhere": (c.clicks_are_exact, clicks(unexpected=1)),
    "a total that is off": (c.clicks_are_exact, clicks(miscounted=1)),
    "no click acknowledged": (c.clicks_are_exact, clicks(acknowledged=0)),
    "no read-back": (c.clicks_are_exact, lambda e: replace(e, clicks=None)),
}


def test_every_check_of_a_run_has_its_mutants_and_passes_without_them(sound: Evidence) -> None:
    own = {check for check in c.RUN_CHECKS if check.__module__ == c.__name__}
    assert {check for check, _ in MUTANTS.values()} == own
    assert all(check(sound).verdict is Verdict.PASS for check in c.RUN_CHECKS)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_violation_is_seen(sound: Evidence, name: str) -> None:
    check, mutate = MUTANTS[name]
    assert check(mutate(sound)).verdict is not Verdict.PASS


@pytest.mark.parametrize(
    ("outcome", "status", "counted_more"),
    [("unknown", 0, 0), ("unknown", 0, -1), ("fail", 502, 0), ("fail", 502, -1), ("fail", 0, -1)],
)
def test_a_request_that_may_not_have_arrived_is_no_sign_of_somebody_else(
    sound: Evidence, outcome: str, status: int, counted_more: int
) -> None:
    doubtful = first_segment(lambda s: with_first_request(s, outcome, status))(sound)
    assert c.nobody_else_used_the_lab(answered(counted_more)(doubtful)).verdict is Verdict.PASS


def test_what_a_killed_web_process_had_counted_is_not_missed(sound: Evidence) -> None:
    killed = counted(web_starts=1)(answered(-50)(sound))
    assert c.nobody_else_used_the_lab(killed).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("fault", "verdict"), [("web-1 killed", Verdict.PASS), ("redis killed", Verdict.INVALID)]
)
def test_a_web_process_may_begin_anew_only_if_it_was_one_that_was_killed(
    sound: Evidence, fault: str, verdict: Verdict
) -> None:
    anew = counted(web_starts=1)(sound)
    plan = {**anew.plan, "faults": [{"fault": fault, "second": 1.0}]}
    assert webs_lived_on(replace(anew, plan=plan)).verdict is verdict


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_clicks_are_exact_only_if_nothing_is_wrong(a: int, b: int, x: int, y: int) -> None:
    clicks = Clicks(10, 10, a, b, x, y)
    evidence = Evidence({}, None, [], [], [], Oddities(0, 0, 0, 0, 0), clicks, None)  # type: ignore[arg-type]
    verdict = c.clicks_are_exact(evidence).verdict
    assert (verdict is Verdict.PASS) == (a == b == x == y == 0)


# --- claims ------------------------------------------------------------------------------------


def arms(*, predicted: float = 26.0, **values: float) -> dict[str, ArmResult]:
    return {
        name: ArmResult(
            name=name,
            naive=name == "direct",
            verdict=Verdict.PASS,
            measures={HERD.name: mean(np.array([value]))},
            predictions={HERD.name: Predicted(predicted, "", "", False)},
            inputs={},
        )
        for name, value in values.items()
    }


SHOWS = c.shows_failure("direct", HERD, share_of_prediction=0.5, prediction_at_least=20)
LIMIT = c.at_most("lock", HERD, 1.1)
LAW = c.follows_law("xfetch", HERD, within=0.25, full_only=True)
FEWER = c.fewer_than("lock", "direct", HERD, share=0.5)
NONE_FAIL = c.no_failures(HERD)


@pytest.mark.parametrize(
    ("claim", "seen", "verdict"),
    [
        (SHOWS, arms(direct=13.0), Verdict.PASS),
        (SHOWS, arms(direct=12.9), Verdict.INVALID),
        (SHOWS, arms(direct=19.0, predicted=19.0), Verdict.INVALID),
        (SHOWS, arms(direct=math.nan), Verdict.INVALID),
        (SHOWS, arms(direct=26.0, predicted=math.nan), Verdict.INVALID),
        (LIMIT, arms(lock=1.1), Verdict.PASS),
        (LIMIT, arms(lock=1.2), Verdict.FAIL),
        (LIMIT, arms(lock=math.nan), Verdict.INVALID),
        (LIMIT, arms(lock=math.inf), Verdict.INVALID),
        (LAW, arms(xfetch=2.72 * 1.24, predicted=2.72), Verdict.PASS),
        (LAW, arms(xfetch=2.72 * 1.26, predicted=2.72), Verdict.FAIL),
        (LAW, arms(xfetch=2.72 * 0.74, predicted=2.72), Verdict.FAIL),
        (LAW, arms(xfetch=2.72, predicted=math.nan), Verdict.INVALID),
        (LAW, arms(xfetch=math.nan, predicted=2.72), Verdict.INVALID),
        (FEWER, arms(lock=13.0, direct=26.0), Verdict.PASS),
        (FEWER, arms(lock=13.1, direct=26.0), Verdict.FAIL),
        (FEWER, arms(lock=math.nan, direct=26.0), Verdict.INVALID),
        (FEWER, arms(lock=1.0, direct=math.nan), Verdict.INVALID),
        (NONE_FAIL, arms(direct=0.0, lock=0.0), Verdict.PASS),
        (NONE_FAIL, arms(direct=0.0, lock=1.0), Verdict.FAIL),
        (NONE_FAIL, arms(direct=0.0, lock=math.nan), Verdict.INVALID),
        (NONE_FAIL, {}, Verdict.INVALID),
    ],
)
def test_a_claim_passes_fails_or_has_no_data(
    claim: Claim, seen: dict[str, ArmResult], verdict: Verdict
) -> None:
    assert claim.check(seen)[0] is verdict


def test_an_estimate_of_no_samples_is_no_figure() -> None:
    assert not Estimate(1.0, 1.0, 1.0, 0, "mean95").known
