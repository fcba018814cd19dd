"""Each check of the answers passes what can be, to the last millisecond, and nothing beyond."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chaos.experiments import load
from chaos.judge import answer_checks as a
from chaos.model.evidence import (
    Answers,
    Evidence,
    Finding,
    Gateway,
    LookUps,
    Segment,
    Verdict,
)
from chaos.model.experiment import At
from tests.support.fake_stack import FakeKill, World
from tests.support.segments import evidence_of, floats, followed, looked_up, segment_of

HERD = load("thundering-herd")
NOTHING = "there was nothing to judge it by"
TTL = {"CACHE_TTL_S": "0.8", "CACHE_TTL_JITTER": "0.1"}
# One look-up that takes 0.1 s, of a value that is then fresh for 0.72 to 0.88 s.
READ_S, ASKED_S, ANSWERED_S, STORED_S = 1.0, 1.01, 1.1, 1.12


def evidence(*segments: Segment, answers: Answers | None = None) -> Evidence:
    return evidence_of(segments, answers=answers or Answers())


def judged(finding: Finding) -> tuple[str, str]:
    return finding.verdict.value, finding.observed


# --- targets and statuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (Answers(9, 9), Verdict.PASS),
        (Answers(9, 0, misled=1), Verdict.FAIL),
        (Answers(9, 9, misheld=1), Verdict.FAIL),
        (Answers(9, 9, odd_statuses=1, unwritten=1), Verdict.FAIL),
        (Answers(9, 9, unwritten=1), Verdict.INVALID),
        (Answers(0, 9), Verdict.INVALID),
    ],
)
def test_a_wrong_target_is_a_failure_and_a_missing_write_is_not(
    answers: Answers, verdict: Verdict
) -> None:
    assert a.answers_are_right(HERD, evidence(answers=answers)).verdict is verdict


def test_an_example_is_named() -> None:
    answers = Answers(9, misled=2, examples=("link a at version 1 got B, expected A",))
    observed = "2 redirects to a wrong target; link a at version 1 got B, expected A"
    assert judged(a.answers_are_right(HERD, evidence(answers=answers))) == ("FAIL", observed)


# --- in time -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("took_s", "lag_s", "fine"), [(5.9, 0, 1), (6.1, 0, 0), (6.4, 0.5, 1)])
def test_an_answer_comes_within_the_timeout_but_for_a_stall(
    took_s: float, lag_s: float, fine: bool
) -> None:
    requests = replace(
        followed([1.0]), sent_s=floats([1 + lag_s]), done_s=floats([1 + lag_s + took_s])
    )
    finding = a.answers_came_in_time(HERD, evidence(segment_of(0, 9, requests=requests)))
    assert (finding.verdict is Verdict.PASS) is bool(fine)


def test_without_requests_nothing_is_known_to_be_in_time() -> None:
    finding = a.answers_came_in_time(HERD, evidence(segment_of(0, 9)))
    assert judged(finding) == ("INVALID", NOTHING)


# --- age and source ------------------------------------------------------------------------------


def served(source: str, sent_s: float, done_s: float, age_s: float, **more: Any) -> dict[str, Any]:
    return {"source": source, "sent_s": sent_s, "done_s": done_s, "age_s": age_s} | more


OWN = served("miss", 0.999, 1.13, 0.11)


def fit(*rows: dict[str, Any], look_ups: LookUps | None = None, **fields: Any) -> str:
    """What the check says of redirects of the most popular link; "" for nothing."""
    column = {name: floats([row[name] for row in rows]) for name in ("sent_s", "done_s", "age_s")}
    requests = replace(
        followed(column["sent_s"]),
        sent_s=column["sent_s"],
        done_s=column["done_s"],
        age_ms=column["age_s"] * 1000,
        served_from=np.array([row["source"] for row in rows]),
        outcome=np.array([row.get("outcome", "ok") for row in rows]),
        rank=np.array([row.get("rank", 0) for row in rows]),
    )
    one = looked_up([READ_S], [ASKED_S], [ANSWERED_S], [STORED_S])
    fields = {"settings": TTL, "look_ups": one if look_ups is None else look_ups} | fields
    finding = a.answers_fit_look_ups(HERD, evidence(segment_of(0, 9, requests=requests, **fields)))
    return finding.observed.removeprefix("direct: ") if finding.verdict is not Verdict.PASS else ""


@pytest.mark.parametrize(
    "row",
    [
        served("hit", 1.2, 1.202, 0.191),
        served("hit", 1.2, 1.202, 0.202),  # from just before it was asked: the pool was empty
        served("near", 1.2, 1.202, 0.191),
        served("wait", 1.119, 1.2, 0.19),
        served("stale", 1.9, 1.902, 0.892),
        served("hit", 2.0, 2.002, 0.992),  # 0.88 s after it was stored
    ],
)
def test_what_can_be_passes(row: dict[str, Any]) -> None:
    assert fit(OWN, row) == ""


NOBODY = "redirects of an age at which nobody looked up"
NOT_OWN = "redirects that say they looked up, but did not"
ALONE = "redirects that say they waited for a look-up, but there was none"
YOUNG, OLD = "redirects that say stale, but were not", "redirects that say fresh, but were not"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (served("hit", 1.2, 1.202, 0.189), NOBODY),
        (served("hit", 1.2, 1.202, 0.203), NOBODY),
        (served("hit", 1.2, 1.202, 0.0191), NOBODY),
        (served("hit", 1.2, 1.202, 0.191, rank=1), NOBODY),
        (served("miss", 1.05, 1.13, 0.11), NOT_OWN),
        (served("early", 0.99, 1.09, 0.08), NOT_OWN),
        (served("wait", 1.121, 1.2, 0.19), ALONE),
        (served("stale", 1.7, 1.702, 0.692), YOUNG),
        (served("hit", 2.02, 2.022, 1.012), OLD),
        (served("near", 2.02, 2.022, 1.012), OLD),
    ],
)
def test_what_cannot_be_is_named(row: dict[str, Any], why: str) -> None:
    assert f"1 {why}" in fit(OWN, row)


def test_a_look_up_has_its_request() -> None:
    hit = served("hit", 1.2, 1.202, 0.191)
    assert fit(hit) == "1 look-ups more than requests that made them"
    assert fit(hit, OWN, OWN) == "1 requests more than the look-ups they made"
    assert fit(hit, served("", 0.99, 1.5, np.nan, outcome="fail")) == ""
    assert fit(hit, served("stale", 1.9, 1.902, 0.892)) == ""  # in the background


def test_a_look_up_that_failed_explains_nothing_and_one_before_the_segment_does() -> None:
    one = looked_up([READ_S], [ASKED_S], [ANSWERED_S], [np.nan])
    hit, none = served("hit", 1.2, 1.202, 0.191), looked_up([], [], [], [])
    failed = replace(one, failed=np.array([True]))
    assert fit(hit, look_ups=failed) == f"1 {NOBODY}"
    assert fit(hit, look_ups=none) == f"1 {NOBODY}"
    assert fit(hit, look_ups=none, made_ready=one) == ""
    stranger = replace(one, rank=np.array([-1]))
    assert fit(hit, look_ups=stranger) == f"1 {NOBODY}"


def test_without_a_time_of_storing_nobody_knows_how_long_it_is_fresh_or_waited_for() -> None:
    unstored = looked_up([READ_S], [ASKED_S], [ANSWERED_S], [np.nan])
    old, late = served("hit", 5.0, 5.002, 3.992), served("wait", 2.0, 2.1, 1.09)
    assert fit(OWN, old, late, look_ups=unstored) == ""


def test_without_a_set_time_to_live_any_age_is_fresh_or_stale() -> None:
    rows = served("hit", 5.0, 5.002, 3.992), served("stale", 1.2, 1.202, 0.191)
    assert fit(OWN, *rows, settings={"CACHE_TTL_S": "0.8"}) == ""


def test_nothing_is_asked_where_a_web_process_is_to_be_killed() -> None:
    killed = replace(HERD, timeline=[At(1.0, FakeKill(World(), "web-1"))])
    requests = replace(followed([1.0]), age_ms=floats([700.0]))
    segment = segment_of(0, 9, requests=requests)
    wrong = "1 redirects of an age at which nobody looked up"
    finding = a.answers_fit_look_ups(HERD, evidence(segment))
    assert judged(finding) == ("INVALID", f"direct: {wrong}")
    assert judged(a.answers_fit_look_ups(killed, evidence(segment))) == ("INVALID", NOTHING)
    control = evidence(replace(segment, arm="control"))
    assert judged(a.answers_fit_look_ups(killed, control)) == ("INVALID", f"control: {wrong}")


def test_links_are_told_apart_however_many_and_whenever() -> None:
    draw = np.random.default_rng(7)
    group, own = draw.integers(0, 9, 60), draw.integers(0, 12, 400)
    begins, since = draw.uniform(0, 9, 60), draw.uniform(-5, 14, 400)
    ends = np.where(draw.random(60) < 0.1, np.inf, begins + draw.exponential(0.4, 60))
    until = since + draw.exponential(0.3, 400)
    wanted = [
        bool(((group == g) & (begins <= u + a.ROUNDING_S) & (ends >= s - a.ROUNDING_S)).any())
        for g, s, u in zip(own, since, until, strict=True)
    ]
    assert a._overlap(group, begins, ends, own, since, until).tolist() == wanted
    assert 20 < sum(wanted) < 380


# --- the gateway ---------------------------------------------------------------------------------


def told(took_ms: list[float], log_ms: list[float], *status: int, **fields: Any) -> str:
    """What the check says of these latencies at the client and in the log."""
    requests = followed(np.arange(len(took_ms)))
    requests = replace(requests, done_s=requests.sent_s + floats(took_ms) / 1000, **fields)
    gateway = Gateway(np.array([302] * (len(log_ms) - len(status)) + [*status]), floats(log_ms))
    finding = a.gateway_agrees(HERD, evidence(segment_of(0, 9, requests=requests, gateway=gateway)))
    return finding.observed.removeprefix("direct: ") if finding.verdict is not Verdict.PASS else ""


def test_the_client_waits_at_least_as_long_as_the_gateway() -> None:
    assert told([], []) == NOTHING
    assert told([9.0, 120.0, 1.0], [0.0, 125.9, 8.0]) == ""
    assert told([9.0, 48.0, 1.0], [0.0, 120.0, 8.0]) == (
        "an answer took 72.0 ms longer in its log than at the client"
    )


def test_and_not_much_longer() -> None:
    assert told([21.0, 21.0, 99.0], [1.0, 1.0, 1.0]) == ""
    assert told([22.0, 22.0], [1.0, 1.0]) == told([22.0, 22.0, 1.0], [1.0, 1.0, 1.0])
    assert told([22.0, 22.0, 1.0], [1.0, 1.0, 1.0]) == (
        "the client waited 21.0 ms longer for half of the answers"
    )
    assert told([22.0, 1.0], [1.0, 1.0]) == ""


@pytest.mark.parametrize(("late_ms", "most_ms"), [(19, 20), (30, 30), (51, 50)])
def test_where_requests_leave_late_answers_may_be_read_as_late(late_ms: int, most_ms: int) -> None:
    def told_late(excess_ms: float) -> str:
        due_s = np.arange(3) - late_ms / 1000
        return told([1 + excess_ms] * 3, [1.0] * 3, intended_s=due_s)

    assert told_late(most_ms - 1) == ""
    assert told_late(most_ms + 1) != ""


def test_of_seconds_a_twentieth_is_not_much() -> None:
    """Where half wait for seconds, the medians say little: they lie between the two halves."""
    assert told([9.0, 2100.0, 2100.0], [1.0, 2000.0, 2000.0]) == ""
    assert told([9.0, 2101.0, 2101.0], [1.0, 2000.0, 2000.0]) == (
        "the client waited 101.0 ms longer for half of the answers"
    )
    assert told([9.0, 9.0, 87.0, 2000.0, 2000.0], [1.0, 1.0, 31.0, 1999.0, 1999.0]) == ""


def test_each_answer_is_in_the_log_with_its_status() -> None:
    assert told([1.0, 1.0], [1.0]) == "1 answers with status 302 in its log, 2 at the client"
    assert told([1.0], [1.0, 1.0]) == "2 answers with status 302 in its log, 1 at the client"
    assert "0 answers with status 302" in told([1.0], [1.0], 503)


@pytest.mark.parametrize("status", [302, 499])
def test_one_without_an_answer_may_be_in_it(status: int) -> None:
    unknown = {"outcome": np.array(["ok", "unknown"]), "status": np.array([302, 0])}
    assert told([1.0, 5000.0], [1.0, 4999.0], status, **unknown) == ""
    assert told([1.0, 5000.0], [1.0], **unknown) == ""
    assert told([1.0, 5000.0], [1.0, 5000.0, 5000.0], status, status, **unknown) != ""


def test_nothing_is_asked_where_the_gateway_is_to_be_killed() -> None:
    killed = replace(HERD, timeline=[At(1.0, FakeKill(World(), "nginx"))])
    segment = segment_of(0, 9, requests=followed([1.0]))
    assert a.gateway_agrees(HERD, evidence(segment)).verdict is Verdict.INVALID
    assert judged(a.gateway_agrees(killed, evidence(segment))) == ("INVALID", NOTHING)
