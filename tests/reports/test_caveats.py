"""The report's caveats follow from the run."""

from __future__ import annotations

from typing import Any

from reports.caveats import caveats
from tests.support.results import busy_result, result_with

LINK = "this one was idle behind its link"
ALIKE = {"curve": "steady", "rate_per_s": 240, "hot_share": 0.9, "keys": 20}


def said(result: dict[str, Any], plan: dict[str, Any] | None = None) -> str:
    return " ".join(caveats(result, plan or {}))


def planned(**tries: int) -> dict[str, Any]:
    return {
        "arms": {arm: {"traffic": ALIKE | {"retries": {"tries": n}}} for arm, n in tries.items()}
    }


def test_a_part_behind_a_slow_link_was_idle_and_a_killed_one_was_not() -> None:
    assert f"replica link +120 ms happened at the proxy between two parts. {BUSY} {LINK}" in said(
        result_with()
    )
    assert "link" not in said(busy_result() | {"arms": []})
    assert LINK not in said(result_with() | {"acts": []})


BUSY = "A part that is slow because it is busy also loses throughput, memory and connections;"


def test_only_traffic_without_retries_is_said_to_have_none() -> None:
    assert "no distant clients, no client retries." in said(result_with(), planned(a=1, b=1))
    text = said(result_with(), planned(a=1, b=3))
    assert "client retries" not in text
    assert "90% for one key of 20 (a); steady, from 240/s" in text
    assert "for one key of 20, up to 3 tries each (b), over loopback" in text


def test_no_loss_is_not_called_none_ever() -> None:
    """None of 1,000 leaves room for 0.3 % (the rule of three)."""
    result = busy_result()
    result["arms"][1]["ledgers"]["clicks"] |= {"acknowledged": 1000}

    assert "may still lose up to 0.3 % of clicks, 2.6 % of links" in said(result)
    for arm in result["arms"]:
        arm["ledgers"]["clicks"]["lost"] = 1
    assert "% of clicks" not in said(result)


def test_what_was_not_over_and_the_far_tail_are_told_where_there_are_such_figures() -> None:
    result = busy_result()
    assert "its segment was over before" not in said(result)
    assert "99th percentile of one segment" in said(result)
    for arm in result["arms"]:
        arm["measures"] = {result["headline"]: arm["measures"][result["headline"]]}
    assert "99th percentile of one segment" not in said(result)
    result["arms"][0]["measures"][result["headline"]]["at_least"] = True
    assert "How long it lasts in the end, where a figure has ≥" in said(result)


def test_exact_totals_need_no_statistics() -> None:
    assert "95 % intervals assume" not in said(busy_result())
    assert "an arm's expiries are alike" in said(result_with())


def test_repetitions_that_were_all_alike_are_not_called_certain() -> None:
    result = result_with()
    result["arms"][2]["measures"][result["headline"]] |= {"low": 1.0, "high": 1.0, "samples": 6}
    assert "after 6 equal results up to 39% of others may differ (95 % confidence)" in said(result)


def test_without_repetitions_nothing_is_said_of_their_likeness() -> None:
    assert "equal results" not in said(result_with() | {"arms": []})
