"""The capacity finder: the highest rate at which a service holds its objective."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chaos.perf.trouble import WrongInput

OBJECTIVE = re.compile(r"\s*(p\d{1,2}(?:\.\d+)?)\s*<\s*(\d+(?:\.\d+)?)\s*(ms|s)\s*")
FAILED_SHARE = 0.001  # of requests, above which no latency counts
RESOLUTION = 1.03  # between the highest rate that holds and the lowest that does not
DOUBLE, BACK = 2.0, 1.1  # steps of a bracket: at first, and below a rate that was not confirmed
CONFIRMATIONS = 3
LOWEST_PER_S = 1.0
STEPS_MAX = 60
LATE_SHARE_MAX = 0.05


@dataclass(frozen=True)
class Objective:
    """A percentile that has to stay below a bound."""

    percentile: float
    bound_ms: float

    def __str__(self) -> str:
        return f"p{self.percentile:g} < {self.bound_ms:g} ms"


def objective(text: str) -> Objective:
    """The objective of a text like `p99<50ms`.

    Raises:
        WrongInput: it is none.
    """
    found = OBJECTIVE.fullmatch(text)
    if found is None or not 0 < float(found[1][1:]) < 100 or not float(found[2]):
        raise WrongInput(f"{text!r} is no objective: it is like p99<50ms")
    return Objective(float(found[1][1:]), float(found[2]) * (1000 if found[3] == "s" else 1))


@dataclass(frozen=True)
class Step:
    """Observations at a rate: percentiles from when requests were due, and what failed."""

    rate_per_s: float
    latency_ms: float  # the percentile of the objective
    p50_ms: float
    failed_share: float
    late_share: float  # of requests that the client itself took up late
    confirms: bool = False

    def holds(self, of: Objective) -> bool:
        """True if the objective holds."""
        return self.failed_share <= FAILED_SHARE and self.latency_ms < of.bound_ms


@dataclass(frozen=True)
class Capacity:
    """The highest rate that was confirmed to hold; 0 if none is, and all steps to it."""

    of: Objective
    rate_per_s: float
    steps: Sequence[Step]

    @property
    def is_of_the_client(self) -> bool:
        """True if the client was late wherever the objective did not hold: it may be the limit."""
        missed = [step for step in self.steps if not step.holds(self.of)]
        return bool(missed) and all(step.late_share > LATE_SHARE_MAX for step in missed)


Measure = Callable[[float], Step]


def find_capacity(measure: Measure, of: Objective, first_per_s: float) -> Capacity:
    """Search by open-loop steps: bracket the rate, halve the bracket, then confirm.

    One step may be lucky. So a rate counts once most of `CONFIRMATIONS` further steps hold; if they
    do not, the search goes on below it.
    """
    search = _Search(measure, of)
    low, high = search.bracket(first_per_s)
    while low > 0 and search.may_go_on:
        low, high = search.halved(low, high)
        if search.is_confirmed(low):
            return Capacity(of, low, search.steps)
        low, high = search.bracket(low / BACK, below=low)
    return Capacity(of, 0.0, search.steps)


class _Search:
    """The steps of a search so far."""

    def __init__(self, measure: Measure, of: Objective) -> None:
        self._measure = measure
        self._of = of
        self.steps: list[Step] = []

    @property
    def may_go_on(self) -> bool:
        """True until the search has taken too long to be worth it."""
        return len(self.steps) < STEPS_MAX

    def bracket(self, rate_per_s: float, below: float = math.inf) -> tuple[float, float]:
        """A rate that holds, 0 if none does, and one that does not, at most `below`."""
        low, high, step = 0.0, below, DOUBLE if math.isinf(below) else BACK
        while self.may_go_on and rate_per_s >= LOWEST_PER_S:
            if self._holds(rate_per_s):
                low = rate_per_s
                if math.isfinite(high):
                    return low, high
                rate_per_s *= step
            else:
                high = rate_per_s
                if low:
                    return low, high
                rate_per_s /= step
        return low, high

    def halved(self, low: float, high: float) -> tuple[float, float]:
        """The same bracket, narrowed to the resolution."""
        while high / low > RESOLUTION and self.may_go_on:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._holds(middle) else (low, middle)
        return low, high

    def is_confirmed(self, rate_per_s: float) -> bool:
        """True if most of some further steps hold, too."""
        held = [self._holds(rate_per_s, confirms=True) for _ in range(CONFIRMATIONS)]
        return sum(held) * 2 > CONFIRMATIONS

    def _holds(self, rate_per_s: float, *, confirms: bool = False) -> bool:
        step = replace(self._measure(rate_per_s), confirms=confirms)
        self.steps.append(step)
        return step.holds(self._of)
