"""The comparison with other tools: the truth on paper, and limits of deviation."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from chaos.model.evidence import Generator
from chaos.model.stack import StackError
from tools.bench.crosscheck import PAPER, SERVED, ToolReport, doubts
from tools.bench.crosscheck import judged as crosschecked
from tools.bench.generator import Sending
from tools.bench.generator import judged as generator_judged
from tools.bench.report import Report, Table, markdown
from tools.bench.tools import OURS, REFERENCE, VEGETA, ToolReading, median, reading
from tools.bench.truth import CASES, QUANTILES, ServerModel

FREEZE = CASES["freeze"]


def served(case: ServerModel, count: int = 100_000) -> list[float]:
    """Simulate latencies of requests at random moments."""
    draw = random.Random(5)
    found = []
    for _ in range(count):
        into_s = draw.uniform(0, case.every_s)
        waits_s = max(0.0, case.freeze_s - into_s)
        found.append(waits_s + case.service_s(draw.random()))
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_paper_agrees_with_people_who_come_one_by_one(name: str) -> None:
    case, seen = CASES[name], reading(served(CASES[name]))
    for share in QUANTILES:
        assert seen.quantiles_s[share] == pytest.approx(case.quantile_s(share), rel=0.02)


@pytest.mark.parametrize("t_s", [0.25, 0.5, 1.0, 1.5])
def test_a_freeze_slows_as_many_as_the_formula_says(t_s: float) -> None:
    assert reading(served(FREEZE)).slower_share(t_s) == pytest.approx(
        FREEZE.slower_share(t_s), rel=0.03
    )


def test_a_freeze_of_two_seconds_in_twenty_shows_in_p99() -> None:
    assert FREEZE.quantile_s(0.99) == pytest.approx(1.8, abs=0.03)
    assert FREEZE.quantile_s(0.5) == 0.02


def seen(case: ServerModel, ours: float = 1.0, told: Generator | None = None) -> ToolReport:
    """Return exact reports of all tools, but ours slower by a factor."""
    truth = reading(served(case, 20_000))
    count = len(truth.latencies_s)
    mine = ToolReading(
        {share: ours * value for share, value in truth.quantiles_s.items()},
        ours * truth.latencies_s,
        told or Generator(count, count, 0, 0, 0.1, 1.0),
    )
    return ToolReport(case, {SERVED: truth, OURS: mine, REFERENCE: truth}, [])


@pytest.mark.parametrize(("ours", "code"), [(1.0, 0), (1.04, 0), (1.06, 1), (0.94, 1)])
def test_five_percent_is_the_most_that_ours_may_differ(ours: float, code: int) -> None:
    report = crosschecked({"steady": seen(CASES["steady"], ours)}, 400.0)
    assert report.exit_code == code
    assert bool(report.failed) == bool(code)


def test_a_closed_loop_in_our_place_would_be_caught() -> None:
    truth = seen(FREEZE)
    blind = np.full(1000, 0.02)
    mine = replace(reading(blind.tolist()), generator=truth.readings[OURS].generator)
    report = crosschecked({"freeze": ToolReport(FREEZE, {**truth.readings, OURS: mine}, [])}, 400.0)
    assert report.exit_code == 1
    assert any("p99 is -98" in what for what in report.failed)
    assert any("slower than 1 s is -100" in what for what in report.failed)


def test_what_proves_nothing_is_invalid_whatever_it_shows() -> None:
    doubtful = replace(seen(CASES["steady"], 2.0), problems=["a freeze lasted 9 s"])
    assert crosschecked({"steady": doubtful}, 400.0).exit_code == 3


@pytest.mark.parametrize(
    ("who", "times", "why"),
    [(SERVED, 1.06, "server itself"), (VEGETA, 0.94, "vegeta was late"), (OURS, 1.06, "")],
)
def test_a_machine_that_is_not_quiet_is_told_from_a_tool_that_is_wrong(
    who: str, times: float, why: str
) -> None:
    truth = seen(CASES["steady"]).readings
    readings = {**truth, VEGETA: truth[SERVED]}
    figures = {share: times * value for share, value in readings[who].quantiles_s.items()}
    doubtful = {**readings, who: replace(readings[who], quantiles_s=figures)}
    found = list(doubts(CASES["steady"], doubtful))
    assert not list(doubts(CASES["steady"], readings))
    assert all(why in each for each in found)
    assert bool(found) == bool(why)


def test_a_generator_that_was_late_or_lost_a_record_is_doubtful() -> None:
    truth = seen(CASES["steady"]).readings
    readings = {**truth, VEGETA: truth[SERVED]}
    for told in (Generator(20_000, 20_000, 201, 0, 0.1, 1.0), Generator(9, 9, 0, 0, 0.1, 1.0)):
        mine = replace(truth[OURS], generator=told)
        assert list(doubts(CASES["steady"], {**readings, OURS: mine}))


def test_a_stall_in_one_round_of_three_does_not_move_the_median() -> None:
    calm, stalled = {OURS: reading([0.1] * 100)}, {OURS: reading([0.1] * 90 + [9.0] * 10)}
    assert median([calm, stalled, calm])[OURS].quantiles_s[0.999] == 0.1


def test_a_tool_without_any_latency_is_no_reading() -> None:
    with pytest.raises(StackError):
        reading([])


# --- how much it holds -------------------------------------------------------------------------


def held(share: float, **told: float) -> Sending:
    account = replace(Generator(1000, 1000, 2, 0, 0.1, 4.0), **told)  # type: ignore[arg-type]
    return Sending(1000.0, 0.09, 0.02, account, share)


def test_a_rate_is_held_only_if_all_was_sent_and_on_time() -> None:
    assert held(0.6).held
    assert not held(0.6, unsent=1).held
    assert not held(0.6, late=11).held
    assert not held(0.6, lag_p99_ms=10.1).held
    assert not Sending(9000.0, 0.9, 0.02).held


def test_less_than_the_wanted_share_fails() -> None:
    closed = Sending(9000.0, 0.9, 0.02)
    enough = [[closed, held(0.5), held(0.6), held(0.7, late=900)]] * 3
    too_little = [[closed, held(0.5), held(0.6, late=900)]] * 2 + [enough[0]]
    assert generator_judged(enough).exit_code == 0
    assert generator_judged(too_little).exit_code == 1
    assert "up to 0.6" in generator_judged(enough).notes[0]


def test_rounds_in_which_others_took_the_core_claim_nothing() -> None:
    disturbed = [Sending(3000.0, 0.4, 0.5), held(0.4, late=900)]
    quiet = [Sending(9000.0, 0.9, 0.02), held(0.6), held(0.7, late=900)]
    assert generator_judged([disturbed] * 3).exit_code == 3
    assert generator_judged([disturbed, disturbed, quiet]).exit_code == 0


def test_the_report_is_a_table_in_markdown_that_ends_with_its_verdict() -> None:
    machine: dict[str, object] = dict.fromkeys(
        ("cpu", "cores", "kernel", "python", "commit", "measured_at"), "x"
    )
    table = Table("speed", ["tool", "p50"], [[PAPER, "1"], [OURS, "22"]])
    text = markdown(Report([table], failed=["too slow"]), machine)
    assert "| tool      | p50 |\n| --------- | --: |\n| on paper  |   1 |" in text
    assert "- FAIL: too slow" in text
    assert "- PASS" in markdown(Report([table]), machine)
