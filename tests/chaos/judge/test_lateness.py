"""A late request makes a run INVALID where it decides a claim, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from chaos.engine.run import run
from chaos.judge import lateness
from chaos.judge.claims import at_most, fewer_than
from chaos.judge.rows import rows_of
from chaos.judge.verdict import judge
from chaos.measures.estimates import worst
from chaos.measures.outcomes import latency, tries
from chaos.measures.staleness import stale
from chaos.model.evidence import Evidence, Finding, Floats, Requests, Segment, Verdict
from chaos.model.experiment import Claim, Experiment
from chaos.record.reader import read_evidence
from tests.support.fake_stack import World, herd_order, lab
from tests.support.segments import followed, segment_of

HERD = herd_order(World()).experiment
P99 = latency(99)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return recorded(tmp_path_factory)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return recorded(tmp_path_factory, "generator a little late")


@pytest.fixture(scope="module")
def very(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return recorded(tmp_path_factory, "generator late")


def recorded(parent: pytest.TempPathFactory, *flaws: str) -> Evidence:
    directory = parent.mktemp("lateness") / "run"
    world = World(frozenset(flaws))
    run(herd_order(world), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


def effect(evidence: Evidence, experiment: Experiment = HERD) -> lateness.Lateness:
    return lateness.weighed(experiment, evidence, rows_of(experiment, evidence))


def on_time(evidence: Evidence, experiment: Experiment = HERD) -> Finding:
    return lateness.generator_was_on_time(evidence, effect(evidence, experiment))


def first(change: Callable[[Segment], Segment], evidence: Evidence) -> Evidence:
    return replace(evidence, segments=[change(evidence.segments[0]), *evidence.segments[1:]])


def generator(evidence: Evidence, **change: float) -> Evidence:
    return first(
        lambda s: replace(s, generator=replace(s.generator, **change)),  # type: ignore[arg-type]
        evidence,
    )


# --- the verdict -------------------------------------------------------------------------------


def test_a_run_in_time_says_so(sound: Evidence) -> None:
    assert (on_time(sound).verdict, on_time(sound).observed) == (
        Verdict.PASS,
        "none late; 0 unsent",
    )


def test_late_requests_that_decide_nothing_are_told_and_the_run_stands(little: Evidence) -> None:
    result = judge(HERD, little)
    assert result.verdict is Verdict.PASS
    (told,) = (c for c in result.checks if c.text.startswith("the generator was on time"))
    assert told.observed.count(" late, by 30 ms at most") == len(HERD.arms)
    assert told.observed.endswith("no claim depends on it; 0 unsent")
    assert lateness.disturbed(HERD, little) == set()


def test_where_they_decide_a_claim_it_is_invalid_with_both_figures(very: Evidence) -> None:
    result = judge(HERD, very)
    text = "swr: p99 after expiry ≤ 100 ms"
    both = "201.00 [120.27, 201.00] ms (FAIL), but 1.00 [1.00, 1.00] ms without late reads (PASS)"
    assert result.verdict is Verdict.INVALID
    assert {(c.text, c.verdict, c.observed) for c in result.claims if c.verdict != "PASS"} == {
        (text, Verdict.INVALID, both)
    }
    assert {row.name: row.verdict for row in result.arms if row.verdict != "PASS"} == {
        "swr": Verdict.INVALID
    }
    (told,) = (c for c in result.checks if c.verdict is Verdict.INVALID)
    assert told.observed.startswith(f"{text}: {both}; direct ")
    assert told.arms == ("swr",)
    assert lateness.disturbed(HERD, very) == {"swr"}


def test_only_what_is_over_ten_milliseconds_late_is(sound: Evidence) -> None:
    def lagging(lag_s: float) -> Evidence:
        def change(segment: Segment) -> Segment:
            sent_s = segment.requests.intended_s + lag_s
            return replace(segment, requests=replace(segment.requests, sent_s=sent_s))

        return first(change, sound)

    assert not effect(lagging(0.010)).arms
    assert effect(lagging(0.0101)).arms["singleflight"].late == 957


# --- the worst that it can mean ----------------------------------------------------------------

LATE, WAITING = 0.5, 0.010


def arm(*requests: Requests) -> list[Segment]:
    return [segment_of(0.0, 10.0, requests=own, arm="lock") for own in requests]


def steady(count: int = 100) -> Requests:
    due_s = np.arange(count) / 10
    return replace(followed(due_s), sent_s=due_s, done_s=due_s + WAITING)


def late(requests: Requests, rows: Floats | slice, lag_s: float = LATE) -> Requests:
    sent_s, done_s = requests.sent_s.copy(), requests.done_s.copy()
    sent_s[rows] += lag_s
    done_s[rows] += lag_s
    return replace(requests, sent_s=sent_s, done_s=done_s)


def flips(sound: Evidence, claim: Claim, own: list[Segment], *others: Segment) -> list[str]:
    measures = [*claim.measures]
    arms = [one for one in HERD.arms if one.name in ("lock", "lease")]
    arms = [replace(one, predictions={}) for one in arms]
    experiment = replace(HERD, arms=arms, measures=measures, claims=[claim], inputs=[])
    plan = {**sound.plan, "arms": {"lock": {}, "lease": {}}}
    changed = replace(sound, plan=plan, segments=[*own, *others])
    found = effect(changed, experiment)
    assert not found.trouble
    return [flip.observed for flip in found.flips]


def test_late_reads_are_left_out(sound: Evidence) -> None:
    own = arm(late(steady(), slice(0, 5)))
    (seen,) = flips(sound, at_most("lock", P99, 100), own)
    assert "(FAIL)" in seen
    assert seen.endswith("without late reads (PASS)")
    assert flips(sound, at_most("lock", P99, 800), own) == []


def test_late_writes_stay_but_are_moved(sound: Evidence) -> None:
    own = steady()
    edits = replace(own, operation=np.array(["edit"] * 5 + ["follow"] * 95))
    (seen,) = flips(sound, at_most("lock", P99, 100), arm(late(edits, slice(0, 5))))
    assert seen.endswith("with late requests due when they left (PASS)")


def test_all_tries_of_a_late_read_are_left_out(sound: Evidence) -> None:
    own = steady()
    session, attempt = own.session.copy(), own.attempt.copy()
    session[1], attempt[1] = session[0], 2
    again = replace(own, session=session, attempt=attempt)
    fact = replace(tries(), summary=worst, within=None)
    (seen,) = flips(sound, at_most("lock", fact, 1.0), arm(late(again, slice(1, 2))))
    assert seen.startswith("1.01")
    assert "but 1.00" in seen


def test_look_ups_that_only_late_reads_can_have_made_go_with_them(sound: Evidence) -> None:
    segment = next(s for s in sound.segments if s.arm == "direct")
    mask = np.isin(segment.requests.served_from, ["miss"])
    rows = np.flatnonzero(mask)
    gone = np.zeros(len(segment.requests), dtype=np.bool_)
    gone[rows] = True
    changed = lateness.WORST["without late reads"](segment, gone)
    assert len(changed.requests) == len(segment.requests) - len(rows)
    assert len(changed.look_ups) < len(segment.look_ups) - len(rows) / 2
    nobody = lateness.WORST["without late reads"](segment, np.zeros_like(gone))
    assert len(nobody.look_ups) == len(segment.look_ups)


def test_moved_requests_stay_in_the_order_they_are_due(sound: Evidence) -> None:
    (segment,) = arm(late(steady(), slice(0, 5)))
    mask = np.arange(100) < 5
    moved = lateness.WORST["with late requests due when they left"](segment, mask).requests
    assert np.all(np.diff(moved.intended_s) >= 0)
    assert sorted(moved.latency_ms.round(6)) == [10.0] * 100


def test_each_arm_of_a_claim_is_changed_alone_and_all_together(sound: Evidence) -> None:
    claim = fewer_than("lock", "lease", P99)
    other = segment_of(0.0, 10.0, requests=late(steady(), slice(0, 40), 0.4), arm="lease")
    own = arm(late(steady(), slice(0, 40), 0.05))
    (seen,) = flips(sound, claim, own, other)
    assert seen.endswith("(FAIL)")
    assert "(PASS), but" in seen


def crash(_: Segment) -> Floats:
    raise ZeroDivisionError


def test_an_effect_that_is_not_known_makes_a_run_invalid(sound: Evidence) -> None:
    broken = replace(stale(), of=crash)
    experiment = replace(HERD, measures=[broken], claims=[at_most("lock", broken, 1)])
    with pytest.raises(ZeroDivisionError):
        rows_of(experiment, sound)
    found = lateness.weighed(experiment, late_arm(sound), rows_of(HERD, sound))
    told = lateness.generator_was_on_time(late_arm(sound), found)
    assert told.verdict is Verdict.INVALID
    assert "its effect is not known: ZeroDivisionError" in told.observed


def late_arm(evidence: Evidence) -> Evidence:
    own = [
        replace(s, requests=late(replace(s.requests), slice(0, 3))) if s.arm == "lock" else s
        for s in evidence.segments
    ]
    return replace(evidence, segments=own)


# --- the check ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unsent": 1}, "none late; 1 unsent"),
        (
            {"unsent": 2, "no_socket": 1, "cpu_share": 0.9},
            "none late; 2 unsent, 1 of them for want of a socket or file descriptor;"
            " the generator's process used 90% of a core",
        ),
        ({"unsent": 1, "cpu_share": 0.89}, "none late; 1 unsent"),
        ({"late": 200}, "singleflight: 200 late by the generator's count, 0 on record; 0 unsent"),
    ],
)
def test_what_was_not_sent_or_is_denied_is_named(
    sound: Evidence, change: dict[str, float], words: str
) -> None:
    seen = on_time(generator(sound, **change))
    assert (seen.verdict, seen.observed) == (Verdict.INVALID, words)


def test_what_found_no_socket_may_have_been_late(sound: Evidence) -> None:
    assert "count" not in on_time(generator(sound, late=2, no_socket=2)).observed
    assert "count" in on_time(generator(sound, late=3, no_socket=2)).observed


def test_an_arm_that_never_ran_is_named(sound: Evidence) -> None:
    assert on_time(replace(sound, segments=sound.segments[:5])).observed.startswith(
        "swr sent nothing"
    )
    silent = [replace(s, generator=replace(s.generator, sent=0)) for s in sound.segments]
    assert "direct sent nothing" in on_time(replace(sound, segments=silent)).observed
    nobody = replace(sound, plan={**sound.plan, "arms": {}})
    assert (on_time(nobody).verdict, on_time(nobody).observed) == (
        Verdict.INVALID,
        "no arm; 0 unsent",
    )


@pytest.mark.parametrize(("count", "verdict"), [(50, Verdict.PASS), (51, Verdict.INVALID)])
def test_an_arm_that_was_mostly_late_had_another_traffic(
    sound: Evidence, count: int, verdict: Verdict
) -> None:
    (own,) = arm(late(steady(), slice(0, count)))
    own = replace(own, generator=replace(own.generator, sent=100, late=count))
    experiment = replace(HERD, claims=[])
    lock = replace(sound, plan={**sound.plan, "arms": {"lock": {}}}, segments=[own])
    found = lateness.Lateness({"lock": lateness.LateArm(count, 100, LATE)}, [])
    seen = lateness.generator_was_on_time(lock, found)
    assert experiment.claims == []
    assert seen.verdict is verdict
    assert ("another traffic" in seen.observed) is (verdict is Verdict.INVALID)


def test_the_busiest_segment_s_generator_is_named(sound: Evidence) -> None:
    cpu_shares = [0.95, 0.91, *[math.nan] * 10]
    own = [
        replace(s, generator=replace(s.generator, cpu_share=share, unsent=1, no_socket=1))
        for s, share in zip(sound.segments, cpu_shares, strict=True)
    ]
    assert on_time(replace(sound, segments=own)).observed == (
        "none late; 12 unsent, 12 of them for want of a socket or file descriptor;"
        " the generator's process used 95% of a core"
    )
