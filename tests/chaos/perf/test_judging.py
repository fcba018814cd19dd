"""The judgement follows from launches and counters alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chaos.model.evidence import Ints
from chaos.perf.gate import spoiled_message
from chaos.perf.judging import judgement
from chaos.perf.launches import ARMS, ArmName, Launch, figure, read_launch
from chaos.perf.service_file import Metric
from tests.support.gate_launches import REQUESTS, SERVICE, counted, launch, launches


def test_unchanged_code_passes_by_every_metric() -> None:
    judged_ = judgement(SERVICE, launches(4), [])
    assert judged_.verdict == "PASS"
    assert [each.decision.verdict for each in judged_.metrics] == ["PASS"] * 4


def test_a_slower_head_fails() -> None:
    judged_ = judgement(SERVICE, launches(6, head=1.1), [])
    assert judged_.verdict == "FAIL"
    assert judged_.metrics[0].decision.change == pytest.approx(0.1, abs=0.01)


def test_a_base_that_differs_from_itself_makes_the_run_void() -> None:
    judged_ = judgement(SERVICE, launches(6, again=1.1, head=1.2), [])
    assert judged_.verdict == "VOID"
    assert "p50" in judged_.void_by


def test_too_few_launches_decide_nothing() -> None:
    assert judgement(SERVICE, launches(3, head=2), []).verdict == "INCONCLUSIVE"


def test_a_counter_alone_fails() -> None:
    more = counted("read", "SQL statements", {"base": 1, "again": 1, "head": 2})
    assert judgement(SERVICE, launches(4), [more]).verdict == "FAIL"


def test_what_a_counter_decides_needs_no_launch() -> None:
    more = counted("read", "SQL statements", {"base": 1, "again": 1, "head": 2})
    assert judgement(SERVICE, [], [more]).is_over()
    assert not judgement(SERVICE, [], []).is_over()


@pytest.mark.parametrize(
    ("head", "over_after"), [(1.0, 4), (1.5, 4)], ids=["the same", "much slower"]
)
def test_launches_go_on_until_a_look_decides(head: float, over_after: int) -> None:
    made = launches(6, head=head)
    over = [n for n in range(7) if judgement(SERVICE, made[:n], []).is_over()]
    assert over[0] == over_after


def wild(count: int) -> list[Launch]:
    """Launches in which head is four times as slow, and as fast, in turns."""
    return [launch(n + 1, {"head": (0.5, 2.0)[n % 2]}) for n in range(count)]


def test_launches_end_undecided_where_more_would_hardly_decide() -> None:
    over = [n for n in range(13) if judgement(SERVICE, wild(n), []).is_over()]
    assert over == [6, 8, 10, 12]
    assert judgement(SERVICE, wild(6), []).verdict == "INCONCLUSIVE"


def test_as_long_as_head_may_fail_by_its_answers_launches_go_on() -> None:
    (first, *others) = wild(6)
    worse = [replace(first, statuses=_with(first, {"head": 3})), *others]
    assert not judgement(SERVICE, worse, []).is_over()
    as_bad = [replace(first, statuses=_with(first, {"head": 3, "again": 3})), *others]
    assert judgement(SERVICE, as_bad, []).is_over()


def spoiled(wrong: Sequence[Mapping[ArmName, int]]) -> list[Launch]:
    """Launches in which so many of each arm's answers are wrong."""
    made = launches(len(wrong))
    return [replace(one, statuses=_with(one, own)) for one, own in zip(made, wrong, strict=True)]


def _with(made: Launch, wrong: Mapping[ArmName, int]) -> Ints:
    statuses = made.statuses.copy()
    for arm, count in wrong.items():
        statuses[np.flatnonzero(made.arms == ARMS.index(arm))[:count]] = 500
    return statuses


def test_wrong_answers_of_head_fail_and_those_of_all_do_not() -> None:
    only_head = judgement(SERVICE, spoiled([{"head": 10}] * 4), [])
    assert (only_head.verdict, only_head.wrong) == ("FAIL", {"base": 0, "head": 40, "again": 0})
    all_alike = judgement(SERVICE, spoiled([{"base": 10, "head": 10, "again": 10}] * 4), [])
    assert all_alike.verdict == "PASS"


@pytest.mark.parametrize(
    ("heads", "verdict"),
    [
        ([40, 0, 0, 0], "INCONCLUSIVE"),
        ([0, 20, 20, 0], "FAIL"),
        ([20, 20, 0, 0, 0, 0], "INCONCLUSIVE"),
        ([1000] * 4, "FAIL"),
    ],
    ids=["a burst in one", "in half of them", "in a third of them", "nothing is answered"],
)
def test_wrong_answers_fail_if_they_repeat_over_launches_and_else_are_no_pass(
    heads: list[int], verdict: str
) -> None:
    judged = judgement(SERVICE, spoiled([{"head": count} for count in heads]), [])
    assert (judged.verdict, judged.wrong["head"]) == (verdict, sum(heads))


def test_a_head_that_takes_base_down_with_it_is_named() -> None:
    counts: Mapping[ArmName, int] = {"base": 100, "head": 100, "again": 100}
    both = spoiled_message({"base": 50, "head": 60, "again": 2}, counts, "no answer in time")
    assert both.endswith("no answer in time; nor does head: 60 of 100 (it may starve base)")
    assert "head" not in spoiled_message({"base": 50, "head": 1, "again": 2}, counts, "why")


def test_a_status_that_is_expected_of_another_kind_is_wrong() -> None:
    made = launch()
    swapped = replace(made, statuses=np.full(3000, 201))
    assert swapped.wrong(REQUESTS)["head"] == 0  # 201 is below 400, too
    assert replace(made, statuses=np.full(3000, 200)).wrong(REQUESTS)["head"] == 500


def test_a_metric_may_be_of_one_kind_of_request() -> None:
    made = launch()
    slower = replace(made, latency_s=np.where(made.kinds == 1, 1.0, made.latency_s))
    of_write = Metric(figure="p50", request="write", pass_below=3)
    assert figure(slower, "head", of_write, REQUESTS) == pytest.approx(1000)
    assert (
        figure(slower, "head", Metric(figure="p50", request="read", pass_below=3), REQUESTS) < 100
    )


def test_cpu_is_shared_out_among_the_requests() -> None:
    assert figure(launch(), "base", Metric(figure="cpu", pass_below=3), REQUESTS) == pytest.approx(
        0.1, rel=0.02
    )


ALONE = replace(
    launch(),
    block_arms=np.array([0, 2, 1, 1, 2, 0]),
    block_s=np.full(6, 0.5),
    block_answers=np.array([1000, 0, 500, 500, 0, 3000]),
    block_wanted_s=np.full(6, 0.48),
    block_spare_s=np.full(6, 0.0),
)


def test_capacity_is_the_time_a_request_takes_of_an_arm_alone() -> None:
    metric = Metric(figure="capacity", pass_below=10)
    seen = [figure(ALONE, arm, metric, REQUESTS) for arm in ARMS]
    assert seen == pytest.approx([0.25, 1.0, 1000.0])  # the last one has no answer
    assert np.isnan(figure(launch(), "base", metric, REQUESTS))


def test_a_head_that_answers_nothing_under_full_load_fails() -> None:
    service = SERVICE.model_copy(update={"metrics": [Metric(figure="capacity", pass_below=10)]})
    silent = [
        in_blocks(each, [1000 + noise, 0, 1004 - noise])
        for each, noise in zip(launches(4), (0, 3, 5, 2), strict=True)
    ]
    assert judgement(service, silent, []).verdict == "FAIL"


def in_blocks(
    launch: Launch,
    answers: list[int],
    wanted_s: tuple[float, float, float] = (0.48, 0.48, 0.48),
    spare_s: float = 0.0,
) -> Launch:
    """The launch with a block of half a second for base, head and base again."""
    return replace(
        launch,
        block_arms=np.arange(3),
        block_s=np.full(3, 0.5),
        block_answers=np.array(answers),
        block_wanted_s=np.array(wanted_s),
        block_spare_s=np.full(3, spare_s),
    )


@pytest.mark.parametrize(
    ("wanted_s", "spare_s", "verdict"),
    [
        ((0.48, 0.48, 0.48), 0.0, "PASS"),
        ((0.2, 0.2, 0.2), 0.1, "PASS"),  # they wait for something of their own
        ((0.2, 0.2, 0.2), 0.0, "INCONCLUSIVE"),
        ((0.41, 0.5, 0.41), 0.0, "INCONCLUSIVE"),  # base could do more than head
        ((0.5, 0.41, 0.5), 0.0, "INCONCLUSIVE"),
    ],
)
def test_a_capacity_that_was_the_clients_is_no_pass(
    wanted_s: tuple[float, float, float], spare_s: float, verdict: str
) -> None:
    service = SERVICE.model_copy(update={"metrics": [Metric(figure="capacity", pass_below=10)]})
    asked = [
        in_blocks(each, [1000 + noise, 1002, 1004 - noise], wanted_s, spare_s)
        for each, noise in zip(launches(4), (0, 3, 5, 2), strict=True)
    ]
    seen = judgement(service, asked, [])
    assert (seen.verdict, seen.asked_too_slowly) == (verdict, verdict != "PASS")


def test_samples_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    made = replace(ALONE, number=7)
    made.keep(tmp_path)
    again = read_launch(tmp_path / "launch-07.npz")
    assert again.number == 7
    exact = ("arms", "kinds", "due_s", "statuses", "cpu_s")
    blocks = ("block_arms", "block_s", "block_answers", "block_wanted_s", "block_spare_s")
    for name in (*exact, *blocks):
        assert np.array_equal(getattr(again, name), getattr(made, name))
    assert again.latency_s == pytest.approx(made.latency_s, rel=1e-6)
    assert judgement(SERVICE, [again], []).metrics[0].figures["head"] == pytest.approx(
        judgement(SERVICE, [made], []).metrics[0].figures["head"], rel=1e-6
    )
