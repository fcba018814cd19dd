"""The judgement of a gate's run: a pure function of its launches and counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chaos.model.evidence import Floats
from chaos.perf.counters import Counted, asks_for_more
from chaos.perf.launches import (
    ArmName,
    Launch,
    asked_too_slowly,
    changes,
    figures,
    null_changes,
)
from chaos.perf.sequential import (
    FALSE_ALARM,
    LOOKS,
    Decision,
    Margin,
    decide,
    differing,
    is_futile,
    overall,
)
from chaos.perf.service_file import Metric, Service

REPEATED = 2  # launches in which head has more wrong answers, at least

GateVerdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "VOID"]


@dataclass(frozen=True)
class MetricJudgement:
    """A metric, its figures launch by launch, and what was decided."""

    metric: Metric
    figures: Mapping[ArmName, Floats]
    decision: Decision


@dataclass(frozen=True)
class Judgement:
    """The verdict of the run so far, and all that it rests on.

    `void_by` are the metrics by which base differs from itself: then no difference means anything.
    `asked_too_slowly`: the blocks measured the client, so capacity as before says nothing.
    `asks_for_more`: by a counter. `is_futile`: more launches would hardly decide.
    """

    verdict: GateVerdict
    metrics: Sequence[MetricJudgement]
    void_by: Sequence[str]
    wrong: Mapping[ArmName, int]  # answers that were not as expected
    wrong_decides: bool
    asked_too_slowly: bool
    asks_for_more: bool
    is_futile: bool
    launches: int

    @property
    def is_final(self) -> bool:
        """True if more launches cannot change it."""
        return self.verdict != "INCONCLUSIVE"

    def is_over(self, looks: Sequence[int] = LOOKS) -> bool:
        """True if no launch should follow.

        What a counter decides needs none. Else there are enough for the first look, or, as long as
        they may decide, for the last.
        """
        if self.asks_for_more or self.is_futile:
            return True
        return self.launches >= (looks[0] if self.is_final else looks[-1])


def judgement(
    service: Service, launches: Sequence[Launch], counted: Counted, looks: Sequence[int] = LOOKS
) -> Judgement:
    """Judge the launches so far."""
    of = {m.name: figures(launches, m, service.requests) for m in service.metrics}
    margins = {m.name: margin(m) for m in service.metrics}
    log_ratios = {name: changes(each) for name, each in of.items()}
    decisions = decide(log_ratios, margins, looks)
    futile = is_futile(log_ratios, margins, decisions, looks)
    too_slowly = asked_too_slowly(launches)
    if too_slowly:
        capacities = {m.name for m in service.metrics if m.figure == "capacity"}
        decisions |= {name: _no_pass(decisions[name]) for name in capacities}
    void_by = differing({name: null_changes(each) for name, each in of.items()}, margins, looks)
    by_launch = [launch.wrong(service.requests) for launch in launches]
    wrong = _summed(by_launch)
    worse = _is_worse(wrong, len(looks))
    wrong_decides = worse and _repeats(by_launch)
    more = asks_for_more(counted)
    found = _verdict(decisions, void_by, fails=more or wrong_decides)
    verdict = "INCONCLUSIVE" if worse and found == "PASS" else found
    may_fail_by_answers = wrong["head"] > max(wrong["base"], wrong["again"])
    return Judgement(
        verdict,
        [MetricJudgement(m, of[m.name], decisions[m.name]) for m in service.metrics],
        void_by,
        wrong,
        wrong_decides,
        too_slowly,
        more,
        verdict == "INCONCLUSIVE" and futile and not may_fail_by_answers,
        len(launches),
    )


def _no_pass(decision: Decision) -> Decision:
    return replace(decision, verdict="INCONCLUSIVE") if decision.verdict == "PASS" else decision


def margin(metric: Metric) -> Margin:
    """The margins of a metric as shares."""
    return Margin(metric.fail_above / 100, metric.pass_below / 100)


def _verdict(
    decisions: Mapping[str, Decision], void_by: Sequence[str], *, fails: bool
) -> GateVerdict:
    if void_by:
        return "VOID"
    if fails:
        return "FAIL"
    return overall(decisions)


def _summed(of: Sequence[Mapping[ArmName, int]]) -> dict[ArmName, int]:
    arms: tuple[ArmName, ...] = ("base", "head", "again")
    return {arm: sum(each[arm] for each in of) for arm in arms}


def _repeats(by_launch: Sequence[Mapping[ArmName, int]]) -> bool:
    """True if head answers wrongly more often than both of base in launch after launch.

    Failures come in bursts, so many of one launch may have one cause: without a repetition they are
    neither a FAIL nor a PASS.
    """
    worse = sum(wrong["head"] > max(wrong["base"], wrong["again"]) for wrong in by_launch)
    return worse >= max(REPEATED, len(by_launch) / 2)


def _is_worse(wrong: Mapping[ArmName, int], looks: int) -> bool:
    """True if head answers wrongly more often than chance would have it: a third are its own."""
    total = sum(wrong.values())
    if not total:
        return False
    from scipy import special

    chance = float(special.bdtrc(wrong["head"] - 1, total, 1 / 3)) if wrong["head"] else 1.0
    return chance < FALSE_ALARM / 10 / looks
