"""Every check and claim is shown seeded violations, one at a time, and must see each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.engine.run import run
from chaos.judge import run_checks as c
from chaos.judge.account_checks import counters_agree, redis_counted
from chaos.measures.ledgers import edits_undone, lost
from chaos.measures.recovery import catch_up
from chaos.model.evidence import (
    ActEvidence,
    Evidence,
    Finding,
    Ints,
    Ledger,
    Segment,
    Verdict,
)
from chaos.model.experiment import SEGMENT, At, Claim, Experiment
from chaos.record.reader import read_evidence
from tests.support.fake_stack import FakeSlow, World, herd_order, lab
from tests.support.segments import evidence_of

HERD = herd_order(World()).experiment
NO_ACT = replace(HERD, timeline=[])


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


def ledger(kind: str = "clicks", **change: int) -> Callable[[Evidence], Evidence]:
    """One ledger of the first segment has other figures."""

    def altered(segment: Segment) -> Segment:
        own = replace(segment.ledgers[kind], **change)
        return replace(segment, ledgers={**segment.ledgers, kind: own})

    return first_segment(altered)


def every_segment(**change: object) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, segments=[replace(s, **change) for s in e.segments])  # type: ignore[arg-type]


def act(**change: object) -> Callable[[Evidence], Evidence]:
    """The first segment's act is another."""
    return first_segment(lambda s: replace(s, acts=[replace(s.acts[0], **change)]))  # type: ignore[arg-type]


def counted(**change: float) -> Callable[[Evidence], Evidence]:
    """Counters of the first segment moved so far; `web_1_look_ups` is web-1.look_ups."""
    named = {NAMES[name]: value for name, value in change.items()}
    return first_segment(lambda s: replace(s, counted={**s.counted, **named}))


NAMES = {
    "redis_commands": "redis.commands",
    "replica_look_ups": "replica.look_ups",
    "web_look_ups": "web-1.look_ups",
    "web_requests": "web-1.requests",
}


def generator(**change: float) -> Callable[[Evidence], Evidence]:
    return first_segment(lambda s: replace(s, generator=replace(s.generator, **change)))  # type: ignore[arg-type]


def without_log_line(segment: Segment) -> Segment:
    look_ups = segment.look_ups
    shorter = {name: getattr(look_ups, name)[1:] for name in look_ups.__dataclass_fields__}
    return replace(segment, look_ups=type(look_ups)(**shorter))


def one_more_sent(segment: Segment) -> Segment:
    sent = segment.generator.sent + 1
    return replace(segment, generator=replace(segment.generator, sent=sent))


def answered(more: int) -> Callable[[Evidence], Evidence]:
    return first_segment(partial(with_answered, more))


def with_answered(more: int, segment: Segment) -> Segment:
    seen = segment.counted["web-1.requests"] + more
    return replace(segment, counted={**segment.counted, "web-1.requests": seen})


one_more_answered = partial(with_answered, 1)


def never_answered(segment: Segment) -> Segment:
    """The first request got no answer, and nobody knows whether it arrived."""
    return with_first_request(segment, "unknown", 0)


def with_first_request(segment: Segment, outcome: str, status: int) -> Segment:
    requests = segment.requests
    outcomes, statuses = requests.outcome.astype("U8"), requests.status.copy()
    outcomes[0], statuses[0] = outcome, status
    return replace(segment, requests=replace(requests, outcome=outcomes, status=statuses))


def unsettled(segment: Segment) -> Segment:
    return replace(segment, settled_s=math.nan)


def of_another_segment(segment: Segment) -> Segment:
    return replace(segment, acts=[replace(segment.acts[0], segment=2)])


def without_effect(segment: Segment) -> Segment:
    return replace(segment, acts=[replace(segment.acts[0], took_effect=False)])


def one_session(segment: Segment) -> Ints:
    """The first two requests are of one visit."""
    session = segment.requests.session.copy()
    session[1] = session[0]
    return session


IN_FORCE = "replica link +120 ms was not in force as planned"
READ = (
    "singleflight: replica link +120 ms: 0.5 ms before, 120.5 ms during, "
    "120.5 ms shortly before its end, 0.5 ms after"
)

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
        generator(sent=958, offered=958),
        "singleflight: 958 due, 958 sent, 957 on record",
    ),
    "a request on record but not sent": (
        c.record_is_whole,
        generator(sent=956, offered=956),
        "singleflight: 956 due, 956 sent, 957 on record",
    ),
    "a request offered but not sent": (
        c.record_is_whole,
        generator(offered=958),
        "singleflight: 958 due, 957 sent, 957 on record",
    ),
    "a request of the control not on record, and one of an arm": (
        c.record_is_whole,
        lambda e: generator(offered=958)(replace(e, control=[one_more_sent(e.control[0])])),
        "control: 357 due, 358 sent, 357 on record; singleflight: 958 due, 957 sent, 957 on record",
    ),
    "no acts on record": (
        c.acts_are_proven,
        lambda e: every_segment(acts=[])(replace(e, segments=e.segments[:1])),
        f"0 of 0 acts proven; singleflight: {IN_FORCE}",
    ),
    "no segments, so no acts": (
        c.acts_are_proven,
        lambda e: replace(e, segments=[]),
        "0 of 0 acts proven",
    ),
    "one act missing": (
        c.acts_are_proven,
        first_segment(lambda s: replace(s, acts=[])),
        f"11 of 11 acts proven; singleflight: {IN_FORCE}",
    ),
    "one act without effect": (
        c.acts_are_proven,
        act(took_effect=False),
        f"11 of 12 acts proven; {READ}",
    ),
    "two acts without effect, of which one is enough to tell": (
        c.acts_are_proven,
        lambda e: act(took_effect=False)(last_segment(without_effect)(e)),
        f"10 of 12 acts proven; {READ}",
    ),
    "one act that stood too short a time to be probed again": (
        c.acts_are_proven,
        act(took_effect=False, again=None),
        f"11 of 12 acts proven; {READ.replace(', 120.5 ms shortly before its end', '')}",
    ),
    "one act that was not probed before": (
        c.acts_are_proven,
        act(took_effect=False, before=None),
        f"11 of 12 acts proven; {READ.replace('0.5 ms before', 'none before')}",
    ),
    "one act not healed": (
        c.acts_are_proven,
        act(healed=False),
        f"11 of 12 acts proven; {READ}",
    ),
    "one act more, of another kind": (
        c.acts_are_proven,
        first_segment(lambda s: replace(s, acts=[*s.acts, replace(s.acts[0], act="?")])),
        "13 of 13 acts proven; singleflight: more acts than planned",
    ),
    "one act twice": (
        c.acts_are_proven,
        first_segment(lambda s: replace(s, acts=[*s.acts, *s.acts])),
        f"13 of 13 acts proven; singleflight: {IN_FORCE}; singleflight: more acts than planned",
    ),
    "an act of another arm, and one of another segment": (
        c.acts_are_proven,
        lambda e: act(arm="lock")(last_segment(of_another_segment)(e)),
        "12 of 12 acts proven; singleflight: an act of another segment;"
        " direct: an act of another segment",
    ),
    "an act in the control": (
        c.acts_are_proven,
        lambda e: replace(e, control=[replace(e.control[0], acts=e.segments[0].acts)]),
        "13 of 13 acts proven; an act was in force in the control",
    ),
    "Postgres counts one more": (
        counters_agree,
        counted(replica_look_ups=47),
        "singleflight: replica 47, log 46",
    ),
    "the app counts one more": (
        counters_agree,
        counted(web_look_ups=47),
        "singleflight: app 47, log 46",
    ),
    "a line of the app's log is gone": (
        counters_agree,
        lambda e: first_segment(without_log_line)(last_segment(without_log_line)(e)),
        "singleflight: app 46, log 45; singleflight: replica 46, log 45; "
        "direct: app 129, log 128; direct: replica 129, log 128",
    ),
    "Redis counts less than was stored": (
        redis_counted,
        counted(redis_commands=45),
        "singleflight: 45 commands, 46 look-ups stored",
    ),
    "no counters at all": (
        counters_agree,
        lambda e: replace(e, segments=[]),
        "there was nothing to judge it by",
    ),
    "a request more than was sent": (
        c.nobody_else_used_the_lab,
        answered(+1),
        "singleflight: 958 answered, 957 to 957 due",
    ),
    "a request that web never saw": (
        c.nobody_else_used_the_lab,
        answered(-1),
        "singleflight: 956 answered, 957 to 957 due",
    ),
    "a request more than web can have seen": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(first_segment(never_answered)(e)),
        "singleflight: 958 answered, 956 to 957 due",
    ),
    "two requests less than web must have seen": (
        c.nobody_else_used_the_lab,
        lambda e: answered(-2)(first_segment(never_answered)(e)),
        "singleflight: 955 answered, 956 to 957 due",
    ),
    "a stranger in the control, and one in an arm": (
        c.nobody_else_used_the_lab,
        lambda e: answered(+1)(replace(e, control=[*map(one_more_answered, e.control)])),
        "control: 358 answered, 357 to 357 due; singleflight: 958 answered, 957 to 957 due",
    ),
    "nobody at all used the lab": (
        c.nobody_else_used_the_lab,
        lambda e: replace(e, segments=[], control=[]),
        "0 requests answered, of which 0 could be another's",
    ),
    "too few expiries": (
        c.enough_events,
        lambda e: replace(e, segments=e.segments[:6]),
        "direct 3, singleflight 4, lock 4, lease 4, xfetch 10, swr 4",
    ),
    "no arms": (
        c.enough_events,
        lambda e: replace(e, plan={**e.plan, "arms": {}}, segments=[]),
        "no arm",
    ),
    "nothing acknowledged": (
        c.ledgers_are_exact,
        every_segment(ledgers={"clicks": Ledger(1, 0, 0, 0, 0, 0)}),
        "nothing was read back",
    ),
    "no ledgers": (c.ledgers_are_exact, every_segment(ledgers={}), "nothing was read back"),
    "no ledgers of the control": (
        c.ledgers_are_exact,
        lambda e: replace(e, control=[replace(e.control[0], ledgers={})]),
        "nothing was read back",
    ),
    "no read-back": (
        c.ledgers_are_exact,
        lambda e: replace(e, read_back=False),
        "nothing was read back",
    ),
    "rows that the lab itself lost": (
        c.ledgers_are_exact,
        lambda e: replace(e, damage=["clicks: 20 rows fewer than were written"]),
        "the lab's own record lost some of it",
    ),
    "clicks that still wait": (
        c.ledgers_are_exact,
        lambda e: first_segment(unsettled)(last_segment(unsettled)(e)),
        "clicks still waited after singleflight, direct",
    ),
    "clicks of the control that still wait": (
        c.ledgers_are_exact,
        lambda e: replace(e, control=[*map(unsettled, e.control)]),
        "clicks still waited after control",
    ),
    "a visit more than sessions on record": (
        c.record_is_whole,
        generator(visits=958),
        "singleflight: 958 visits, 957 sessions on record",
    ),
    "two sessions said to be one": (
        c.record_is_whole,
        first_segment(lambda s: replace(s, requests=replace(s.requests, session=one_session(s)))),
        "singleflight: 957 visits, 956 sessions on record",
    ),
}


# What `tests.support.mutants` and `test_account_checks.py` show violations of.
ELSEWHERE = {"nothing_was_lost_by_the_lab", "statements_are_known", "web_processes_share"}


def test_every_check_of_a_run_has_its_mutants_and_passes_without_them(sound: Evidence) -> None:
    here = {c.__name__, counters_agree.__module__}
    own = [k for k in c.RUN_CHECKS if k.__module__ in here and k.__name__ not in ELSEWHERE]
    assert {check for check, _, _ in MUTANTS.values()} == set(own)
    assert [(f.verdict, f.text, f.observed) for f in seen_by_each(own, sound)] == [
        (Verdict.PASS, text, observed) for text, observed in SOUND.items()
    ]


def seen_by_each(checks: list[c.Check], evidence: Evidence) -> list[Finding]:
    return [found for check in checks if (found := check(HERD, evidence)) is not None]


SOUND = {
    "the run came to its end": "it did",
    "every request sent is on record": "all are",
    "every act took effect and was healed": "12 of 12 acts proven",
    "Postgres and the app count the same look-ups": "746 in Postgres, in the app and in its log",
    "Redis counted what the app stored": "746 stored",
    "nobody else used the lab": "11847 requests answered, of which 0 could be another's",
    "every arm saw at least 6 expiries": (
        "direct 6, singleflight 8, lock 8, lease 8, xfetch 16, swr 8"
    ),
    "all that was acknowledged is in the primary, exactly once": "11730 acknowledged",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_violation_is_seen_and_named(sound: Evidence, name: str) -> None:
    check, mutate, words = MUTANTS[name]
    (seen,) = seen_by_each([check], mutate(sound))
    assert (seen.verdict, seen.observed) == (Verdict.INVALID, words)
    assert [seen.text] == [found.text for found in seen_by_each([check], sound)]


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
    assert c.nobody_else_used_the_lab(HERD, answered(counted_more)(doubtful)).verdict is verdict


@pytest.mark.parametrize(("count", "verdict"), [(0, Verdict.PASS), (1, Verdict.PASS)])
def test_no_look_up_at_all_is_a_count_that_agrees_too(
    sound: Evidence, count: int, verdict: Verdict
) -> None:
    segment = sound.segments[0]
    columns = segment.look_ups.__dataclass_fields__
    look_ups = replace(
        segment.look_ups, **{name: getattr(segment.look_ups, name)[:count] for name in columns}
    )
    seen = {**segment.counted, "replica.look_ups": count, "web-1.look_ups": count}
    few = replace(sound, segments=[replace(segment, look_ups=look_ups, counted=seen)])
    assert counters_agree(HERD, few).verdict is verdict


def test_what_a_killed_web_process_had_counted_is_not_missed(sound: Evidence) -> None:
    killed = counted(web_requests=math.nan)(sound)
    seen = c.nobody_else_used_the_lab(HERD, killed)
    assert seen.verdict is Verdict.PASS
    assert seen.observed == "10890 requests answered, of which 0 could be another's"


@pytest.mark.parametrize(
    ("failed", "postgres", "app", "verdict"),
    [
        (0, 46, 46, Verdict.PASS),
        (1, 46, 46, Verdict.PASS),
        (1, 45, 46, Verdict.PASS),
        (1, 44, 46, Verdict.INVALID),
        (1, 47, 46, Verdict.INVALID),
        (1, 45, 45, Verdict.INVALID),
        (0, math.nan, 46, Verdict.PASS),
        (0, math.nan, 47, Verdict.INVALID),
        (0, 46, math.nan, Verdict.PASS),
        (0, 45, math.nan, Verdict.INVALID),
    ],
)
def test_postgres_may_have_answered_what_failed_and_counts_of_a_part_that_began_anew_are_unknown(
    sound: Evidence, failed: int, postgres: float, app: float, verdict: Verdict
) -> None:
    def change(segment: Segment) -> Segment:
        wrong = np.arange(len(segment.look_ups)) < failed
        return replace(segment, look_ups=replace(segment.look_ups, failed=wrong))

    evidence = counted(replica_look_ups=postgres, web_look_ups=app)(first_segment(change)(sound))
    assert counters_agree(HERD, evidence).verdict is verdict


# --- events and ledgers -------------------------------------------------------------------------


def test_a_segment_is_the_event_of_an_experiment_that_names_none(sound: Evidence) -> None:
    plain = Experiment(**{**vars(HERD), "event": SEGMENT})
    once = replace(sound, mode=replace(sound.mode, events=1))
    assert c.enough_events(plain, once) == Finding(
        "every arm saw at least 1 segment",
        Verdict.PASS,
        "direct 2, singleflight 2, lock 2, lease 2, xfetch 2, swr 2",
    )


@given(st.fixed_dictionaries({name: st.integers(0, 3) for name in c.WRONG}))
def test_a_ledger_is_exact_only_if_nothing_is_wrong(wrong: dict[str, int]) -> None:
    base = Segment(**dict.fromkeys(Segment.__dataclass_fields__))  # type: ignore[arg-type]
    own = replace(base, arm="lock", settled_s=1.0, ledgers={"edits": Ledger(9, 9, 9, **wrong)})
    evidence = replace(NOTHING, segments=[own, own])
    seen = c.ledgers_are_exact(HERD, evidence)
    assert seen.verdict is Verdict.of(not any(wrong.values()))
    told = [f"lock: edits {name} {2 * wrong[name]}" for name in c.WRONG if wrong[name]]
    assert seen.observed == (", ".join(told) or "18 acknowledged")


NOTHING = evidence_of([])


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [("lost", Verdict.PASS), ("duplicated", Verdict.PASS), ("unexpected", Verdict.FAIL)],
)
def test_a_claim_of_a_sum_judges_each_figure_of_it(figure: str, verdict: Verdict) -> None:
    claim = Claim("?", ("lock",), (edits_undone(),), lambda _: (Verdict.PASS, ""), ("lock",))
    base = Segment(**dict.fromkeys(Segment.__dataclass_fields__))  # type: ignore[arg-type]
    wrong = {"lost": 0, "duplicated": 0, "unexpected": 0, figure: 1}
    own = replace(base, arm="lock", settled_s=1.0, ledgers={"edits": Ledger(9, 9, 9, **wrong)})
    evidence = evidence_of([own], plan={"arms": {"lock": {}}})
    assert c.ledgers_are_exact(replace(HERD, claims=[claim]), evidence).verdict is verdict


def test_errors_of_two_arms_do_not_cancel_out(sound: Evidence) -> None:
    own = [*sound.segments]
    for place, wrong in ((0, {"lost": 1}), (1, {"duplicated": 1})):
        clicks = replace(own[place].ledgers["clicks"], **wrong)
        own[place] = replace(own[place], ledgers={**own[place].ledgers, "clicks": clicks})
    seen = c.ledgers_are_exact(HERD, replace(sound, segments=own))
    assert seen.verdict is Verdict.FAIL
    assert seen.observed == "singleflight: clicks lost 1, xfetch: clicks duplicated 1"


@pytest.mark.parametrize(
    ("mode", "acknowledged", "without"),
    [("", 100, 0), ("", 99, 1), ("buffered", 99, 1), ("sync", 50, 0), ("outbox", 49, 51)],
)
def test_redirects_name_their_click_or_most_of_them_where_they_wait_for_it(
    mode: str, acknowledged: int, without: int
) -> None:
    base = Segment(**dict.fromkeys(Segment.__dataclass_fields__))  # type: ignore[arg-type]
    books = {"clicks": Ledger(100, acknowledged, acknowledged, 0, 0, 0)}
    own = replace(base, arm="lock", settled_s=1.0, ledgers=books, settings={"CLICK_MODE": mode})
    seen = c.ledgers_are_exact(HERD, replace(NOTHING, segments=[own]))
    words = (
        f"lock: redirects without a click id {without}"
        if without
        else f"{acknowledged} acknowledged"
    )
    assert (seen.verdict, seen.observed) == (Verdict.of(not without), words)


def test_what_the_control_lost_counts(sound: Evidence) -> None:
    (control,) = sound.control
    links = replace(control.ledgers["links"], lost=2)
    odd = replace(control, ledgers={**control.ledgers, "links": links})
    seen = c.ledgers_are_exact(HERD, replace(sound, control=[odd]))
    assert (seen.verdict, seen.observed) == (Verdict.FAIL, "control: links lost 2")


def claiming(
    *arms: str, kind: Literal["clicks", "links"] = "clicks", full_only: bool = False
) -> Experiment:
    """An experiment that claims something of what these arms lost."""
    claim = Claim("?", arms, (lost(kind),), lambda _: (Verdict.PASS, ""), ("lock",), full_only)
    return replace(HERD, claims=[claim])


@pytest.mark.parametrize(
    ("experiment", "change", "verdict"),
    [
        (claiming("singleflight"), ledger(lost=1), Verdict.PASS),
        (claiming("singleflight", "direct"), ledger(lost=1), Verdict.PASS),
        (claiming(), ledger(lost=1), Verdict.PASS),
        (claiming("singleflight"), ledger(duplicated=1), Verdict.FAIL),
        (claiming("singleflight"), ledger("links", lost=1), Verdict.FAIL),
        (claiming("singleflight", kind="links"), ledger(lost=1), Verdict.FAIL),
        (claiming("direct"), ledger(lost=1), Verdict.FAIL),
        (claiming("direct", "singleflight"), ledger(lost=1), Verdict.FAIL),
        (claiming("singleflight", full_only=True), ledger(lost=1), Verdict.FAIL),
    ],
)
def test_what_a_claim_judges_is_left_to_it_and_nothing_else(
    sound: Evidence,
    experiment: Experiment,
    change: Callable[[Evidence], Evidence],
    verdict: Verdict,
) -> None:
    assert c.ledgers_are_exact(experiment, change(sound)).verdict is verdict


def test_a_claim_that_an_arm_left_out_kept_from_being_made_judges_nothing(sound: Evidence) -> None:
    arms = {name: arm for name, arm in sound.plan["arms"].items() if name != "lock"}
    evidence = ledger(lost=1)(replace(sound, plan={**sound.plan, "arms": arms}))
    seen = c.ledgers_are_exact(claiming("singleflight", "lock"), evidence)
    assert (seen.verdict, seen.observed) == (Verdict.FAIL, "singleflight: clicks lost 1")


def test_how_long_clicks_wait_may_be_what_an_arm_is_judged_by(sound: Evidence) -> None:
    claim = Claim("?", ("singleflight",), (catch_up(),), lambda _: (Verdict.PASS, ""))
    evidence = first_segment(unsettled)(sound)
    experiment = replace(HERD, claims=[claim])
    assert c.ledgers_are_exact(experiment, evidence).verdict is Verdict.PASS
    other = replace(claim, arms=("lock",))
    unjudged = c.ledgers_are_exact(replace(HERD, claims=[other]), evidence)
    assert unjudged.verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("acknowledged", "verdict"), [(0, Verdict.INVALID), (1, Verdict.PASS), (2, Verdict.PASS)]
)
def test_one_acknowledged_thing_is_enough_to_judge_by(
    sound: Evidence, acknowledged: int, verdict: Verdict
) -> None:
    only = replace(sound.segments[0], ledgers={"links": Ledger(9, acknowledged, 0, 0, 0, 0)})
    assert c.ledgers_are_exact(HERD, replace(sound, segments=[only])).verdict is verdict


# --- when an act was in force -------------------------------------------------------------------


def around(evidence: Evidence, at: At, *acts: ActEvidence) -> Finding:
    """The first arm alone, for 3.5 s from second 100, with these acts in it."""
    only = replace(evidence.segments[0], started_s=100.0, ended_s=103.5, acts=acts)
    experiment = replace(HERD, timeline=[at])
    found = c.acts_are_proven(experiment, replace(evidence, segments=[only]))
    assert found is not None
    return found


def in_force(evidence: Evidence, injected_s: float, lifted_s: float | None) -> ActEvidence:
    """The act of the first segment, from and to these seconds of it; it takes effect at once."""
    lifted = None if lifted_s is None else 100 + lifted_s
    from_s = 100 + injected_s
    act = evidence.segments[0].acts[0]
    return replace(act, begun_s=from_s, injected_s=from_s, lifted_s=lifted)


@pytest.mark.parametrize(
    ("second", "until_s", "injected_s", "lifted_s", "fine"),
    [
        (0.0, None, 0.0, 3.5, True),
        (0.0, None, -0.1, 3.6, True),
        (-1.0, None, 0.0, 3.5, True),
        (0.0, None, 0.001, 3.5, False),
        (0.0, None, 0.0, 3.499, False),
        (0.0, None, 0.0, None, False),
        (0.0, None, -9.0, -5.0, False),
        (1.0, None, 1.0, 3.5, True),
        (1.0, None, 1.2, 3.5, True),
        (1.0, None, 0.999, 3.5, False),
        (1.0, None, 2.0, 3.5, True),
        (1.0, None, 2.001, 3.5, False),
        (1.0, 2.0, 1.0, 2.0, True),
        (1.0, 2.0, 1.9, 3.0, True),
        (1.0, 2.0, 1.0, 1.999, False),
        (1.0, 2.0, 1.0, 3.001, False),
        (1.0, 2.0, 1.0, None, False),
        (0.0, 2.0, -1.0, 2.5, True),
        (0.0, 2.0, -1.0, 3.5, False),
    ],
)
def test_an_act_is_in_force_from_when_it_is_due_to_its_end_or_its_segment_s(
    sound: Evidence,
    second: float,
    until_s: float | None,
    injected_s: float,
    lifted_s: float | None,
    fine: bool,
) -> None:
    at = At(second, FakeSlow(World(), 120), until_s)
    seen = around(sound, at, in_force(sound, injected_s, lifted_s))
    assert (seen.verdict is Verdict.PASS) is fine
    assert ("not in force as planned" in seen.observed) is not fine


@pytest.mark.parametrize(
    ("begun_s", "injected_s", "fine"),
    [
        (2.0, 6.0, True),  # on time, and a container engine took its time
        (2.0, 6.001, False),
        (2.001, 2.001, False),  # late
        (1.5, 1.4, False),
        (0.999, 1.5, False),
        (None, 1.5, True),
        (None, 2.5, False),
    ],
)
def test_an_act_begins_on_time_and_is_soon_in_force(
    sound: Evidence, begun_s: float | None, injected_s: float, fine: bool
) -> None:
    at = At(1.0, FakeSlow(World(), 120))
    act = replace(
        in_force(sound, injected_s, 3.5), begun_s=None if begun_s is None else 100 + begun_s
    )
    assert (around(sound, at, act).verdict is Verdict.PASS) is fine


def test_an_act_counts_by_its_name(sound: Evidence) -> None:
    other = replace(sound.segments[0].acts[0], act="cache link +120 ms")
    only = replace(sound, segments=[replace(sound.segments[0], acts=[other])])
    found = c.acts_are_proven(HERD, only)
    assert found is not None
    assert found.observed == f"1 of 1 acts proven; singleflight: {IN_FORCE}"


def test_an_arm_may_have_acts_of_its_own(sound: Evidence) -> None:
    arms = [replace(arm, timeline=[]) if arm.name == "lock" else arm for arm in HERD.arms]
    calm = replace(HERD, arms=arms)
    assert "lock: more acts than planned" in seen_of_acts(calm, sound).observed
    own = [replace(s, acts=[]) if s.arm == "lock" else s for s in sound.segments]
    assert seen_of_acts(calm, replace(sound, segments=own)).verdict is Verdict.PASS


def seen_of_acts(experiment: Experiment, evidence: Evidence) -> Finding:
    found = c.acts_are_proven(experiment, evidence)
    assert found is not None
    return found


def test_an_experiment_without_acts_is_not_asked_for_proof_unless_there_was_one(
    sound: Evidence,
) -> None:
    calm = every_segment(acts=[])(sound)
    assert c.acts_are_proven(NO_ACT, calm) is None
    assert seen_of_acts(NO_ACT, sound).verdict is Verdict.INVALID
