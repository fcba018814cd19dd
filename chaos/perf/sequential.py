"""The sequential verdict: after which launches it may fall, and how sure it must be.

The change of a metric is the mean of its log-ratios, one for each launch. It is looked at after a
few launches that are fixed beforehand, so a verdict may come early without being less sure: the
error that is allowed is shared out among the looks. FAIL allows `FALSE_ALARM` over all metrics, by
Holm's procedure at each look (S. Holm: A simple sequentially rejective multiple test procedure,
Scand. J. Statist. 6, 1979; with looks W. Maurer, F. Bretz: Multiple testing in group sequential
trials using graphical approaches, Stat. Biopharm. Res. 5, 2013). PASS needs every metric, so each
may take `FALSE_PASS` for itself.

Each look has an equal share. A constant that counts on what looks have in common, as Pocock's does,
would keep the error of PASS for noise that spreads alike to both sides, and not where each arm's
leans (`tests/chaos/perf/test_sequential.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chaos.measures.estimates import mean_of_symmetric
from chaos.model.evidence import Floats

LOOKS = (4, 6, 8, 10, 12)
FALSE_ALARM = 0.01
FALSE_PASS = 0.05
FEWEST = 3  # launches with a figure: two may agree by chance
FUTILE_FROM = 6  # launches: fewer say too little about the spread
MOVES = 1.65  # standard errors that a mean may move by until the last look, on the better side
STEADIES = 0.85  # of the spread so far is what is left of it then

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Margin:
    """Changes that are told apart, as shares: 0.01 is one per cent."""

    fail_above: float
    pass_below: float


@dataclass(frozen=True)
class Decision:
    """A metric's change as a share, and the bounds that its verdict was taken by.

    FAIL: `low` is beyond the margin, with the confidence of FAIL. PASS: `high` is below the other
    one, with the confidence of PASS.
    """

    verdict: Verdict
    change: float
    low: float
    high: float
    launches: int


def decide(
    log_ratios: Mapping[str, Floats], margins: Mapping[str, Margin], looks: Sequence[int] = LOOKS
) -> dict[str, Decision]:
    """Each metric's verdict after the launches so far: its first that is not INCONCLUSIVE."""
    decided: dict[str, Decision] = {}
    latest: dict[str, Decision] = {}
    for look in (each for each in looks if each <= _launches(log_ratios)):
        shown = {name: values[:look] for name, values in log_ratios.items()}
        latest = _at_a_look(shown, margins, decided, len(looks))
        decided |= {name: d for name, d in latest.items() if d.verdict != "INCONCLUSIVE"}
    return {name: decided.get(name) or latest.get(name) or UNSEEN for name in log_ratios}


def is_futile(
    log_ratios: Mapping[str, Floats],
    margins: Mapping[str, Margin],
    decided: Mapping[str, Decision],
    looks: Sequence[int] = LOOKS,
) -> bool:
    """True if all further looks would hardly decide: a metric cannot pass, and none can fail.

    Each of the metrics that are open is given good luck with both. To end undecided is never a
    wrong verdict, so neither error rises.
    """
    count = _launches(log_ratios)
    if not FUTILE_FROM <= count < looks[-1] or count not in looks:
        return False
    prospects = [
        _prospect(values, margins[name], len(log_ratios), looks)
        for name, values in log_ratios.items()
        if decided[name].verdict == "INCONCLUSIVE"
    ]
    return not all(one.may_pass for one in prospects) and not any(o.may_fail for o in prospects)


@dataclass(frozen=True)
class _Prospect:
    """What may become of a metric until the last look."""

    may_pass: bool
    may_fail: bool


def _prospect(values: Floats, margin: Margin, metrics: int, looks: Sequence[int]) -> _Prospect:
    finite = values[np.isfinite(values)]
    if len(finite) < FEWEST:
        return _Prospect(may_pass=True, may_fail=True)
    from scipy import special

    last, mean, spread = looks[-1], float(finite.mean()), float(finite.std(ddof=1))
    moves = MOVES * spread * math.sqrt(1 / len(finite) - 1 / last)
    to_pass, to_fail = (
        -float(special.stdtrit(last - 1, tail)) * STEADIES * spread / math.sqrt(last)
        for tail in (FALSE_PASS / len(looks), FALSE_ALARM / len(looks) / metrics)
    )
    return _Prospect(
        may_pass=mean - moves + to_pass < math.log1p(margin.pass_below),
        may_fail=mean + moves - to_fail > math.log1p(margin.fail_above),
    )


UNSEEN = Decision("INCONCLUSIVE", math.nan, -math.inf, math.inf, 0)


def _launches(log_ratios: Mapping[str, Floats]) -> int:
    return min(map(len, log_ratios.values()), default=0)


def _at_a_look(
    log_ratios: Mapping[str, Floats],
    margins: Mapping[str, Margin],
    before: Mapping[str, Decision],
    looks: int,
) -> dict[str, Decision]:
    """The verdicts on metrics that are open at a look.

    Each FAIL leaves its part of the allowed error to the others, so they are looked at again.
    """
    failed = {name for name, decision in before.items() if decision.verdict == "FAIL"}
    while True:
        tail = FALSE_ALARM / looks / max(len(log_ratios) - len(failed), 1)
        found = {
            name: _decision(values, margins[name], tail, FALSE_PASS / looks)
            for name, values in log_ratios.items()
            if name not in before
        }
        more = {name for name, d in found.items() if d.verdict == "FAIL"} - failed
        if not more:
            return found
        failed |= more


def _decision(values: Floats, margin: Margin, fail_tail: float, pass_tail: float) -> Decision:
    lower, upper = (mean_of_symmetric(values, tail) for tail in (fail_tail, pass_tail))
    change, low, high = map(_as_share, (lower.value, lower.low, upper.high))
    if lower.samples < FEWEST:
        return Decision("INCONCLUSIVE", change, -math.inf, math.inf, lower.samples)
    verdict: Verdict = "INCONCLUSIVE"
    if low > margin.fail_above:
        verdict = "FAIL"
    elif high < margin.pass_below:
        verdict = "PASS"
    return Decision(verdict, change, low, high, lower.samples)


def _as_share(log_ratio: float) -> float:
    """The change of a log-ratio; one of a bound may be too far out for a number."""
    try:
        return math.expm1(log_ratio)
    except OverflowError:
        return math.inf


def differing(
    log_ratios: Mapping[str, Floats], margins: Mapping[str, Margin], looks: Sequence[int] = LOOKS
) -> list[str]:
    """The metrics by which two arms of the same code differ beyond the margin of FAIL.

    Either way counts, so each has half of the error that FAIL allows.
    """
    tail = FALSE_ALARM / len(looks) / max(len(log_ratios), 1) / 2
    found = []
    for name, values in log_ratios.items():
        for look in (each for each in looks if each <= len(values)):
            estimate = mean_of_symmetric(values[:look], tail)
            beyond = math.log1p(margins[name].fail_above)
            if estimate.low > beyond or estimate.high < -beyond:
                found.append(name)
                break
    return found


def overall(decisions: Mapping[str, Decision]) -> Verdict:
    """FAIL if a metric fails, PASS if all pass."""
    verdicts = {decision.verdict for decision in decisions.values()}
    if "FAIL" in verdicts:
        return "FAIL"
    return "PASS" if verdicts == {"PASS"} else "INCONCLUSIVE"
