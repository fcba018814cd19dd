"""Verdicts of the self-check: kept line by line, and summed up as rates with bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from chaos.measures.estimates import TAIL
from chaos.measures.within import share_interval
from chaos.perf.gate import Outcome
from chaos.perf.json_lines import append_line, whole_lines
from chaos.perf.judging import Judgement
from tools.perf.conditions import Conditions

NAIVE_MARGIN = 0.05
NOTHING = "–"  # where there is no figure


@dataclass(frozen=True)
class Verdict:
    """One verdict on one plant, and what a plain gate would have said of the same data.

    It says nothing where a counter ended the run before it had two launches.
    """

    plant: str
    verdict: str
    naive: str
    seconds: float
    launches: int
    commit: str
    changes: dict[str, float] = field(default_factory=dict)
    sources: str = ""
    machine: str = ""

    def is_of(self, conditions: Conditions) -> bool:
        """True if the same gate judged the same services on a machine alike."""
        return (self.sources, self.machine) == (conditions.sources, conditions.machine)


def verdict_on(
    plant: str, outcome: Outcome, seconds: float, commit: str, conditions: Conditions
) -> Verdict:
    """The verdict of a gate's run."""
    judged = outcome.judgement
    return Verdict(
        plant,
        judged.verdict,
        naive_verdict(judged),
        round(seconds, 1),
        judged.launches,
        commit,
        {
            m.metric.name: float(f"{m.decision.change:.4g}")
            for m in judged.metrics
            if math.isfinite(m.decision.change)
        },
        conditions.sources,
        conditions.machine,
    )


def naive_verdict(judged: Judgement) -> str:
    """The verdict of a plain gate: base launched once, then head once; 5 % more of any is FAIL."""
    if judged.launches < 2:
        return ""
    for metric in judged.metrics:
        before, after = metric.figures["base"], metric.figures["head"]
        if after[1] > before[0] * (1 + NAIVE_MARGIN):
            return "FAIL"
    return "PASS"


def append(path: Path, verdict: Verdict) -> None:
    """Add a verdict to those on record."""
    append_line(path, asdict(verdict))


def on_record(path: Path, conditions: Conditions) -> list[Verdict]:
    """The verdicts so far that were taken under the same conditions."""
    known = (Verdict(**line) for line in whole_lines(path))
    return [verdict for verdict in known if verdict.is_of(conditions)]


@dataclass(frozen=True)
class Rate:
    """A share of verdicts, with its 95 % interval (Clopper and Pearson)."""

    hits: int
    count: int

    @property
    def share(self) -> float:
        """The share; 0 of none."""
        return self.hits / self.count if self.count else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval's ends."""
        return share_interval(self.hits, self.count, TAIL)

    def __str__(self) -> str:
        if not self.count:
            return NOTHING
        low, high = self.bounds
        return f"{self.share:.0%} [{low:.0%}, {high:.0%}]".replace("%", " %")


@dataclass(frozen=True)
class Summary:
    """All verdicts on a plant."""

    plant: str
    verdicts: Sequence[Verdict]

    @property
    def failed(self) -> Rate:
        """FAILs of the gate."""
        return Rate(sum(v.verdict == "FAIL" for v in self.verdicts), len(self.verdicts))

    @property
    def failed_by_naive(self) -> Rate:
        """FAILs of the plain gate, where it says anything."""
        said = [v.naive for v in self.verdicts if v.naive]
        return Rate(said.count("FAIL"), len(said))

    @property
    def others(self) -> Counter[str]:
        """Verdicts of the gate other than FAIL."""
        return Counter(v.verdict for v in self.verdicts if v.verdict != "FAIL")

    def dose(self, metric: str) -> float:
        """The median change of a metric that was seen: what the plant really does."""
        seen = [v.changes[metric] for v in self.verdicts if metric in v.changes]
        return float(np.nanmedian(seen)) if seen else float("nan")

    @property
    def median_s(self) -> float:
        """The median time to a verdict."""
        return float(np.median([verdict.seconds for verdict in self.verdicts]))


def summaries(verdicts: Sequence[Verdict], order: Sequence[str]) -> list[Summary]:
    """A summary for each plant that has verdicts."""
    of = {name: [v for v in verdicts if v.plant == name] for name in order}
    return [Summary(name, own) for name, own in of.items() if own]


def false_alarms(verdicts: Sequence[Verdict], unchanged: Sequence[str]) -> Rate:
    """FAILs of code that was not changed."""
    own = [v for v in verdicts if v.plant in unchanged]
    return Rate(sum(v.verdict == "FAIL" for v in own), len(own))
