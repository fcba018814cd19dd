"""Every check and claim is shown seeded violations, one at a time, and must see each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.engine.run import run
from chaos.judge import claims
from chaos.judge import run_checks as c
from chaos.measures import expiries as m
from chaos.model.evidence import (
    ArmResult,
    Clicks,
    Estimate,
    Evidence,
    Finding,
    Oddities,
    Predicted,
    Segment,
    Verdict,
)
from chaos.model.experiment import Claim
from chaos.record.reader import read_evidence
from tests.support.fake_stack import World, herd_order, lab

HERD = m.origin_queries


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    directory = tmp_path_factory.mktemp("sound") / "run"
    world = World()
    run(herd_order(world), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


def first_segment(change: Callable[[Segment], Segment]) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, segments=[change(e.segments[0]), *e.segments[1:]])


def last_segment(change: Callable[[Segment], Segment]) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, segments=[*e.segments[:-1], change(e.segments[-1])])


def clicks(**change: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, clicks=replace(e.clicks, **change) if e.clicks else None)


def fault(**change: object) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, faults=[replace(e.faults[0], **change), *e.faults[1:]])  # type: ignore[arg-type]


def counted(**change: int) -> Callable[[Evidence], Evidence]:
    return first_segment(lambda s: replace(s, counted=replace(s.counted, **change)))


def generator(**change: float) -> Callable[[Evidence], Evidence]:
    return first_segment(lambda s: replace(s, generator=replace(s.generator, **change)))  # type: ignore[arg-type]


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


def one_more_sent(segment: Segment) -> Segment:
    sent = segment.generator.sent + 1
    return replace(segment, generator=replace(segment.generator, sent=sent))


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


IN_FORCE = "replica link +120 ms was not in force as planned"

# Who sees what, and in which words.
MUTANTS: dict[str, tuple[c.Check, Callable[[Evidence], Evidence], str]] = {
    "trouble": (c.ran_to_its_end, lambda e: replace(e, trouble="web-1 died"), "web-1 died"),
    "no segments on record": (
        c.record_is_whole,
        lambda e: replace(e, segments=[]),
        "no segment is",
    ),
    "a request sent but not on record": (
        c.record_is_whole,
        generator(sent=872, offered=872),
        "singleflight: 872 due, 872 sent, 871 on record",
    ),
    "a request on record but not sent": (
        c.record_is_whole,
        generator(sent=870, offered=870),
        "singleflight: 870 due, 870 sent, 871 on record",
    ),
    "a request offered but not sent": (
        c.record_is_whole,
        generator(offered=872),
        "singleflight: 872 due, 871 sent, 871 on record",
    ),
    "a request of the control not on record, and one of an arm": (
        c.record_is_whole,
        lambda e: generator(offered=872)(replace(e, control=[one_more_sent(e.control[0])])),
        "control: 352 due, 353 sent, 352 on record; singleflight: 872 due, 871 sent, 871 on record",
    ),
    "no control": (
        c.control_is_healthy,
        lambda e: replace(e, control=[]),
        "0 requests, 0 failed",
    ),
    "one unanswered request in the control": (
        c.control_is_healthy,
        failing_control,
        "352 requests, 1 failed",
    ),
    "no faults on record": (
        c.faults_are_proven,
        lambda e: replace(e, faults=[], segments=e.segments[:1]),
        f"0 of 0 injections proven; singleflight: {IN_FORCE}",
    ),
    "no fault planned": (
        c.faults_are_proven,
        lambda e: replace(e, faults=[], plan={**e.plan, "faults": []}),
        "0 of 0 injections proven",
    ),
    "one fault missing": (
        c.faults_are_proven,
        lambda e: replace(e, faults=e.faults[1:]),
        f"11 of 11 injections proven; singleflight: {IN_FORCE}",
    ),
    "one fault without effect": (
        c.faults_are_proven,
        fault(took_effect=False),
        "11 of 12 injections proven",
    ),
    "one fault not healed": (
        c.faults_are_proven,
        fault(healed=False),
        "11 of 12 injections proven",
    ),
    "one fault more, in nobody's time": (
        c.faults_are_proven,
        lambda e: replace(e, faults=[*e.faults, replace(e.faults[0], injected_s=0, healed_s=1)]),
        "13 of 13 injections proven",
    ),
    "late requests": (
        c.generator_was_on_time,
        generator(late=200),
        "singleflight 11.51% late, 0 unsent",
    ),
    "one unsent request": (
        c.generator_was_on_time,
        generator(unsent=1),
        "at most 0.00% of an arm late, 1 unsent",
    ),
    "one unsent request for want of a socket, by a busy process": (
        c.generator_was_on_time,
        generator(unsent=2, no_socket=1, cpu_share=0.9),
        "at most 0.00% of an arm late, 2 unsent, 1 of them for want of a socket or file descriptor;"
        " the generator's process used 90% of a core",
    ),
    "nothing sent in any segment": (
        c.generator_was_on_time,
        lambda e: replace(
            e,
            segments=[replace(s, generator=replace(s.generator, sent=0)) for s in e.segments],
        ),
        "direct sent nothing, singleflight sent nothing, lock sent nothing, lease sent nothing,"
        " xfetch sent nothing, swr sent nothing, 0 unsent",
    ),
    "an arm never ran": (
        c.generator_was_on_time,
        lambda e: replace(e, segments=e.segments[:5]),
        "swr sent nothing, 0 unsent",
    ),
    "no arm was to run": (
        c.generator_was_on_time,
        lambda e: replace(e, plan={**e.plan, "arms": {}}),
        "no arm, 0 unsent",
    ),
    "Postgres counts one more": (
        c.counters_agree,
        counted(postgres_origin_queries=7),
        "singleflight: Postgres 7, app 6, log 6",
    ),
    "the app counts one more": (
        c.counters_agree,
        counted(app_origin_queries=7),
        "singleflight: Postgres 6, app 7, log 6",
    ),
    "a line of the app's log is gone": (
        c.counters_agree,
        lambda e: first_segment(without_log_line)(last_segment(without_log_line)(e)),
        "singleflight: Postgres 6, app 6, log 5; direct: Postgres 81, app 81, log 80",
    ),
    "no counters at all": (
        c.counters_agree,
        lambda e: replace(e, segments=[]),
        "0 in Postgres, in the app and in its log",
    ),
    "a request more than was sent": (
        c.nobody_else_used_the_lab,
        answered(+1),
        "singleflight: 872 answered, 871 to 871 due",
    ),
    "a request that web never saw": (
        c.nobody_else_used_the_lab,
        answered(-1),
        "singleflight: 870 answered, 871 to 871 due",
    ),
    "a request more than web can have seen": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(first_segment(never_answered)(e)),
        "singleflight: 872 answered, 870 to 871 due",
    ),
    "two requests less than web must have seen": (
        c.nobody_else_used_the_lab,
        lambda e: answered(-2)(first_segment(never_answered)(e)),
        "singleflight: 869 answered, 870 to 871 due",
    ),
    "a request more although a web process was killed": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(counted(web_starts=1)(e)),
        "singleflight: 872 answered, 0 to 871 due",
    ),
    "a stranger in the control, and one in an arm": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(replace(e, control=[*map(one_more_answered, e.control)])),
        "control: 353 answered, 352 to 352 due; singleflight: 872 answered, 871 to 871 due",
    ),
    "nobody at all used the lab": (
        c.nobody_else_used_the_lab,
        lambda e: replace(e, segments=[], control=[]),
        "0 requests answered, of which 0 could be another's",
    ),
    "too few expiries": (
        c.enough_expiries,
        lambda e: replace(e, segments=e.segments[:6]),
        "direct 3, singleflight 3, lock 3, lease 3, xfetch 8, swr 3",
    ),
    "no arms": (
        c.enough_expiries,
        lambda e: replace(e, plan={**e.plan, "arms": {}}, segments=[]),
        "no arm",
    ),
    "no click acknowledged": (
        c.clicks_are_exact,
        clicks(acknowledged=0),
        "nothing was read back",
    ),
    "no read-back": (
        c.clicks_are_exact,
        lambda e: replace(e, clicks=None),
        "nothing was read back",
    ),
}


def test_every_check_of_a_run_has_its_mutants_and_passes_without_them(sound: Evidence) -> None:
    own = [check for check in c.RUN_CHECKS if check.__module__ == c.__name__]
    assert {check for check, _, _ in MUTANTS.values()} == set(own)
    assert [(f.verdict, f.text, f.observed) for f in (check(sound) for check in own)] == [
        (Verdict.PASS, text, observed) for text, observed in SOUND.items()
    ]


SOUND = {
    "the run came to its end": "it did",
    "every request sent is on record": "all are",
    "the control without faults is healthy": "352 requests, 0 failed",
    "every fault took effect and was healed": "12 of 12 injections proven",
    "the generator was on time": "at most 0.00% of an arm late, 0 unsent",
    "Postgres and the app count the same origin queries": (
        "243 in Postgres, in the app and in its log"
    ),
    "nobody else used the lab": "10361 requests answered, of which 0 could be another's",
    "every arm saw at least 6 expiries": (
        "direct 6, singleflight 6, lock 6, lease 6, xfetch 14, swr 6"
    ),
    "every acknowledged click is counted exactly once": (
        "10361 acknowledged, 0 lost, 0 duplicated, 0 unexpected, totals off by 0"
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_violation_is_seen_and_named(sound: Evidence, name: str) -> None:
    check, mutate, words = MUTANTS[name]
    seen = check(mutate(sound))
    assert (seen.verdict, seen.observed) == (Verdict.INVALID, words)
    assert seen.text == check(sound).text


@pytest.mark.parametrize(
    ("outcome", "status", "counted_more", "verdict"),
    [
        ("unknown", 0, 0, Verdict.PASS),
        ("unknown", 0, -1, Verdict.PASS),
        ("fail", 502, 0, Verdict.PASS),
        ("fail", 502, -1, Verdict.PASS),
        ("fail", 500, -1, Verdict.PASS),
        ("fail", 499, -1, Verdict.INVALID),
        ("fail", 0, -1, Verdict.PASS),
        ("fail", 0, 0, Verdict.INVALID),
    ],
)
def test_a_request_that_may_not_have_arrived_is_no_sign_of_somebody_else(
    sound: Evidence, outcome: str, status: int, counted_more: int, verdict: Verdict
) -> None:
    doubtful = first_segment(lambda s: with_first_request(s, outcome, status))(sound)
    assert c.nobody_else_used_the_lab(answered(counted_more)(doubtful)).verdict is verdict


@pytest.mark.parametrize(("count", "verdict"), [(0, Verdict.INVALID), (1, Verdict.PASS)])
def test_one_look_up_is_enough_for_counters_to_agree(
    sound: Evidence, count: int, verdict: Verdict
) -> None:
    segment = sound.segments[0]
    columns = segment.origin.__dataclass_fields__
    origin = replace(
        segment.origin, **{name: getattr(segment.origin, name)[:count] for name in columns}
    )
    seen = replace(segment.counted, postgres_origin_queries=count, app_origin_queries=count)
    few = replace(sound, segments=[replace(segment, origin=origin, counted=seen)])
    assert c.counters_agree(few).verdict is verdict


def test_one_answered_request_makes_a_healthy_control(sound: Evidence) -> None:
    (control,) = sound.control
    columns = control.requests.__dataclass_fields__
    one = {name: getattr(control.requests, name)[:1] for name in columns}
    alone = replace(control, requests=replace(control.requests, **one))
    assert c.control_is_healthy(replace(sound, control=[alone])).verdict is Verdict.PASS


def test_what_a_killed_web_process_had_counted_is_not_missed(sound: Evidence) -> None:
    killed = counted(web_starts=1)(answered(-50)(sound))
    assert c.nobody_else_used_the_lab(killed).verdict is Verdict.PASS


@given(*[st.integers(0, 5)] * 4)
def test_clicks_are_exact_only_if_nothing_is_wrong(a: int, b: int, x: int, y: int) -> None:
    clicks = Clicks(10, 10, a, b, x, y)
    evidence = Evidence({}, None, [], [], [], Oddities(0, 0, 0, 0, 0), clicks, None)  # type: ignore[arg-type]
    seen = c.clicks_are_exact(evidence)
    assert seen.verdict is (Verdict.PASS if a == b == x == y == 0 else Verdict.FAIL)
    assert seen.observed == (
        f"10 acknowledged, {a} lost, {b} duplicated, {x} unexpected, totals off by {y}"
    )


@pytest.mark.parametrize(
    ("acknowledged", "verdict"), [(0, Verdict.INVALID), (1, Verdict.PASS), (2, Verdict.PASS)]
)
def test_one_acknowledged_click_is_enough_to_judge_by(
    sound: Evidence, acknowledged: int, verdict: Verdict
) -> None:
    assert c.clicks_are_exact(clicks(acknowledged=acknowledged)(sound)).verdict is verdict


# --- when a fault was in force ------------------------------------------------------------------


def around(
    evidence: Evidence, *, injected_s: float, healed_s: float | None, second: float = 0.0
) -> Finding:
    """The first arm alone, for 3.5 s from second 100; from and to when its fault is in force."""
    only = replace(evidence.segments[0], started_s=100.0, ended_s=103.5)
    healed = None if healed_s is None else 100 + healed_s
    own = replace(evidence.faults[0], injected_s=100 + injected_s, healed_s=healed)
    plan = {**evidence.plan, "faults": [{"fault": own.fault, "second": second}]}
    return c.faults_are_proven(replace(evidence, segments=[only], faults=[own], plan=plan))


@pytest.mark.parametrize(
    ("second", "injected_s", "healed_s", "verdict"),
    [
        (0.0, 0.0, 3.5, Verdict.PASS),
        (0.0, -0.1, 3.6, Verdict.PASS),
        (-1.0, 0.0, 3.5, Verdict.PASS),
        (0.0, 0.001, 3.5, Verdict.INVALID),
        (0.0, 0.0, 3.499, Verdict.INVALID),
        (0.0, 0.0, None, Verdict.INVALID),
        (0.0, -9.0, -5.0, Verdict.INVALID),
        (1.0, 1.0, 3.5, Verdict.PASS),
        (1.0, 1.2, 3.5, Verdict.PASS),
        (1.0, 0.999, 3.5, Verdict.INVALID),
        (1.0, 2.0, 3.5, Verdict.PASS),
        (1.0, 2.001, 3.5, Verdict.INVALID),
        (3.0, 3.5, 3.6, Verdict.INVALID),
    ],
)
def test_a_fault_is_in_force_from_when_it_is_due_to_the_end_of_its_segment(
    sound: Evidence, second: float, injected_s: float, healed_s: float | None, verdict: Verdict
) -> None:
    seen = around(sound, second=second, injected_s=injected_s, healed_s=healed_s)
    assert seen.verdict is verdict
    assert ("not in force as planned" in seen.observed) is (verdict is Verdict.INVALID)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"arm": "direct"}, Verdict.INVALID),
        ({"fault": "cache link +120 ms"}, Verdict.INVALID),
        ({}, Verdict.PASS),
    ],
)
def test_a_fault_is_in_force_only_for_its_arm_and_by_its_name(
    sound: Evidence, change: dict[str, str], verdict: Verdict
) -> None:
    own = replace(sound.faults[0], **change)  # type: ignore[arg-type]
    only = replace(sound, segments=sound.segments[:1], faults=[own])
    assert c.faults_are_proven(only).verdict is verdict


@pytest.mark.parametrize(
    ("from_s", "to_s", "words"),
    [
        (-1.0, 0.0, ""),
        (-1.0, 0.001, "; a fault was in force in the control"),
        (0.5, 1.0, "; a fault was in force in the control"),
        (1.499, 1.6, "; a fault was in force in the control"),
        (1.5, 1.6, ""),
        (-1.0, None, "; a fault was in force in the control"),
    ],
)
def test_no_fault_is_in_force_in_the_control(
    sound: Evidence, from_s: float, to_s: float | None, words: str
) -> None:
    (control,) = sound.control
    healed_s = None if to_s is None else control.started_s + to_s
    stray = replace(sound.faults[0], injected_s=control.started_s + from_s, healed_s=healed_s)
    seen = c.faults_are_proven(replace(sound, faults=[*sound.faults, stray]))
    assert seen.observed == f"13 of 13 injections proven{words}"
    assert seen.verdict is Verdict.INVALID


# --- when the generator was late ----------------------------------------------------------------


def sent_late(segment: Segment, count: int, lag_s: float) -> Segment:
    """All due at second 0, and some of them late, on record only."""
    sent_s = np.zeros(len(segment.requests))
    sent_s[:count] = lag_s
    due_s = np.zeros(len(segment.requests))
    return replace(segment, requests=replace(segment.requests, intended_s=due_s, sent_s=sent_s))


def with_requests(evidence: Evidence, count: int, late: int, lag_s: float) -> Evidence:
    """One arm's two segments, of so many requests each as the generator says, late on record."""
    own = [s for s in evidence.segments if s.arm == "lock"]
    said = [replace(s, generator=replace(s.generator, sent=count)) for s in own]
    plan = {**evidence.plan, "arms": {"lock": {}}}
    return replace(evidence, plan=plan, segments=[sent_late(s, late, lag_s) for s in said])


@pytest.mark.parametrize(
    ("late", "lag_s", "verdict", "words"),
    [
        (4, 0.011, Verdict.PASS, "at most 1.00% of an arm late, 0 unsent"),
        (5, 0.011, Verdict.INVALID, "lock 1.25% late, 0 unsent"),
        (5, c.LATE_S + c.ROUNDING_S, Verdict.PASS, "at most 0.00% of an arm late, 0 unsent"),
        (5, 0.0100021, Verdict.INVALID, "lock 1.25% late, 0 unsent"),
    ],
)
def test_one_per_cent_of_an_arm_may_be_over_ten_milliseconds_late(
    sound: Evidence, late: int, lag_s: float, verdict: Verdict, words: str
) -> None:
    seen = c.generator_was_on_time(with_requests(sound, 400, late, lag_s))
    assert (seen.verdict, seen.observed) == (verdict, words)


def test_one_request_is_enough_to_be_on_time(sound: Evidence) -> None:
    one = with_requests(sound, 1, 0, 0.0)
    seen = c.generator_was_on_time(replace(one, segments=one.segments[:1]))
    assert seen.verdict is Verdict.PASS


def test_lateness_is_what_the_generator_says_or_the_record_shows_whichever_is_graver(
    sound: Evidence,
) -> None:
    for said, shown in [(6, 2), (2, 6)]:
        record = with_requests(sound, 400, shown, 0.02)
        own = [replace(s, generator=replace(s.generator, late=said)) for s in record.segments]
        seen = c.generator_was_on_time(replace(record, segments=own))
        assert seen.observed == "lock 1.50% late, 0 unsent"


def test_a_busy_generator_is_named_only_if_something_was_late(sound: Evidence) -> None:
    busy = generator(cpu_share=1.0)(sound)
    assert c.generator_was_on_time(busy).observed == "at most 0.00% of an arm late, 0 unsent"
    idle = generator(cpu_share=0.89, unsent=1)(sound)
    assert c.generator_was_on_time(idle).observed == "at most 0.00% of an arm late, 1 unsent"


def test_the_busiest_segment_s_generator_is_named(sound: Evidence) -> None:
    cpu_shares = [0.95, 0.91, *[math.nan] * 10]
    own = [
        replace(s, generator=replace(s.generator, cpu_share=share, unsent=1, no_socket=1))
        for s, share in zip(sound.segments, cpu_shares, strict=True)
    ]
    assert c.generator_was_on_time(replace(sound, segments=own)).observed == (
        "at most 0.00% of an arm late, 12 unsent, 12 of them for want of a socket or file"
        " descriptor; the generator's process used 95% of a core"
    )


# --- claims ------------------------------------------------------------------------------------


def arms(*, predicted: float = 26.0, **values: float) -> dict[str, ArmResult]:
    """Arms by what was measured of them, each with an interval of one to both sides."""
    return {
        name: ArmResult(
            name=name,
            naive=name == "direct",
            verdict=Verdict.PASS,
            measures={HERD.name: Estimate(value, value - 1, value + 1, 6, "mean95")},
            predictions={HERD.name: Predicted(predicted, "", "", False)},
            inputs={},
        )
        for name, value in values.items()
    }


SHOWS = partial(
    claims.shows_failure, "direct", HERD, share_of_prediction=0.5, prediction_at_least=20
)
LIMIT = partial(claims.at_most, "lock", HERD, 1.5)
LAW = partial(claims.follows_law, "xfetch", HERD, within=0.25, full_only=True)
FEWER = partial(claims.fewer_than, "lock", "direct", HERD, share=0.5)
NONE_FAIL = partial(claims.no_failures, HERD)

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


@pytest.mark.parametrize(
    ("claim", "seen", "verdict", "words"),
    [
        (SHOWS, arms(direct=13.0), PASS, "13.00 [12.00, 14.00] queries, theory 26.0"),
        (SHOWS, arms(direct=12.9), INVALID, "12.90 [11.90, 13.90] queries, theory 26.0"),
        (SHOWS, arms(direct=10, predicted=20), PASS, "10.00 [9.00, 11.00] queries, theory 20.0"),
        (SHOWS, arms(direct=19, predicted=19.9), INVALID, "theory expects 19.9: too small to show"),
        (SHOWS, arms(direct=math.nan), INVALID, "no data"),
        (SHOWS, arms(direct=26, predicted=math.nan), INVALID, "no data"),
        (SHOWS, arms(direct=math.nan, predicted=1), INVALID, "no data"),
        (LIMIT, arms(lock=1.5), PASS, "1.50 [0.50, 2.50] queries"),
        (LIMIT, arms(lock=1.6), FAIL, "1.60 [0.60, 2.60] queries"),
        (LIMIT, arms(lock=math.nan), INVALID, "no data"),
        (LIMIT, arms(lock=math.inf), INVALID, "no data"),
        (LAW, arms(xfetch=5, predicted=4), PASS, "5.00 [4.00, 6.00] queries, theory 4.00"),
        (LAW, arms(xfetch=5.1, predicted=4), FAIL, "5.10 [4.10, 6.10] queries, theory 4.00"),
        (LAW, arms(xfetch=3, predicted=4), PASS, "3.00 [2.00, 4.00] queries, theory 4.00"),
        (LAW, arms(xfetch=2.9, predicted=4), FAIL, "2.90 [1.90, 3.90] queries, theory 4.00"),
        (LAW, arms(xfetch=0.5, predicted=0.5), PASS, "0.50 [-0.50, 1.50] queries, theory 0.50"),
        (LAW, arms(xfetch=0, predicted=0), INVALID, "no data"),
        (LAW, arms(xfetch=2.72, predicted=math.nan), INVALID, "no data"),
        (LAW, arms(xfetch=math.nan, predicted=2.72), INVALID, "no data"),
        (
            *(FEWER, arms(lock=13, direct=26), PASS),
            "13.00 [12.00, 14.00] queries, direct 26.00 [25.00, 27.00]",
        ),
        (
            *(FEWER, arms(lock=13.1, direct=26), FAIL),
            "13.10 [12.10, 14.10] queries, direct 26.00 [25.00, 27.00]",
        ),
        (FEWER, arms(lock=math.nan, direct=26), INVALID, "no data"),
        (FEWER, arms(lock=1, direct=math.nan), INVALID, "no data"),
        (NONE_FAIL, arms(direct=0, lock=0), PASS, "0 failed"),
        (NONE_FAIL, arms(direct=0, lock=1), FAIL, "lock 1"),
        (NONE_FAIL, arms(direct=2, lock=1), FAIL, "direct 2, lock 1"),
        (NONE_FAIL, arms(direct=0, lock=math.nan), INVALID, "no data"),
        (NONE_FAIL, {}, INVALID, "no data"),
    ],
)
def test_a_claim_passes_fails_or_has_no_data(
    claim: Callable[[], Claim], seen: dict[str, ArmResult], verdict: Verdict, words: str
) -> None:
    assert claim().check(seen) == (verdict, words)


@pytest.mark.parametrize(
    ("claim", "arm", "text", "full_only"),
    [
        (
            *(SHOWS, "direct"),
            "direct shows the failure: origin queries per expiry ≥ 0.5 × theory",
            False,
        ),
        (LIMIT, "lock", "lock: origin queries per expiry ≤ 1.5", False),
        (LAW, "xfetch", "xfetch: origin queries per expiry within 25% of its law", True),
        (FEWER, "lock", "lock: origin queries per expiry ≤ 0.5 × direct's", False),
        (NONE_FAIL, None, "no arm fails a request", False),
    ],
)
def test_a_claim_says_what_it_claims_and_of_whom(
    claim: Callable[[], Claim], arm: str | None, text: str, full_only: bool
) -> None:
    made = claim()
    assert (made.arm, made.text, made.full_only) == (arm, text, full_only)


def test_an_estimate_of_no_samples_is_no_figure() -> None:
    assert not Estimate(1.0, 1.0, 1.0, 0, "mean95").known
