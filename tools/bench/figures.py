"""From repeated measurements to the figures of an arm, each with the range of its repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from chaos.measures.estimates import mean_of_counts
from chaos.model.evidence import Estimate

NULL = "bare"  # it is measured beside itself
FIGURES = ("rps", "ratio_to_bare", "p50_ms", "p99_ms", "cpu_us", "rss_mb")


@dataclass(frozen=True)
class Repeat:
    """One measurement of an arm; with problems it proves nothing."""

    rps: float
    ratio_to_bare: float
    p50_ms: float | None  # of a repeat that is late
    p99_ms: float | None
    cpu_us: float
    rss_mb: float
    half_rps: float
    lag_p99_ms: float
    server_share: float
    problems: tuple[str, ...] = ()
    late: str = ""  # how late our own requests were, if that is why latencies are not told


@dataclass(frozen=True)
class Figure:
    """The mean of the repeats, and the least and the most of them."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class ArmFigures:
    """What came of an arm."""

    figures: Mapping[str, Figure]
    repeats: Sequence[Repeat]

    @property
    def of_bare(self) -> Estimate:
        """The share of a bare server's throughput, with a 95 % interval over the launches.

        Launches of the same program differ, so the rounds are what repeats, not the slices.
        """
        return mean_of_counts(np.array([repeat.ratio_to_bare for repeat in self.repeats]))

    @property
    def problems(self) -> list[str]:
        """Every reason why the figures are not to be quoted."""
        return [
            f"round {number}: {problem}"
            for number, repeat in enumerate(self.repeats, 1)
            for problem in repeat.problems
        ]

    @property
    def untold(self) -> list[str]:
        """Why there are rounds without latencies."""
        return [
            f"round {n}: {repeat.late}" for n, repeat in enumerate(self.repeats, 1) if repeat.late
        ]

    @property
    def proves(self) -> bool:
        """Whether every figure is there, and none is in doubt."""
        return not self.problems and set(FIGURES) <= set(self.figures)


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of them does not exceed; NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def results(repeats: Mapping[str, Sequence[Repeat]]) -> dict[str, ArmFigures]:
    """Of all arms."""
    return {name: ArmFigures(_figures(some), some) for name, some in repeats.items()}


def bias(found: Mapping[str, ArmFigures]) -> str:
    """Why no ratio can be believed: a bare server beside another differs from it; empty if not."""
    if NULL not in found or found[NULL].of_bare.samples < 2:
        return ""
    null = found[NULL].of_bare
    if null.low <= 1 <= null.high:
        return ""
    return (
        f"a bare server beside another one has {null.value:.2f} [{null.low:.2f}, {null.high:.2f}] "
        "of its throughput, which must be 1: the machine was not quiet, so no ratio holds"
    )


def _figures(repeats: Sequence[Repeat]) -> dict[str, Figure]:
    """What was told by at least one repeat."""
    columns = {
        name: [value for repeat in repeats if (value := getattr(repeat, name)) is not None]
        for name in FIGURES
    }
    return {
        name: Figure(fmean(values), min(values), max(values))
        for name, values in columns.items()
        if values
    }


def as_json(found: Mapping[str, ArmFigures]) -> dict[str, Any]:
    """`arms.<name>`: the means by name, `ranges`, what was wrong or not told, and each repeat."""
    return {
        name: {
            **dict.fromkeys(FIGURES),
            **{figure: each.mean for figure, each in result.figures.items()},
            "ratio_interval95": _ends(result.of_bare),
            "ranges": {figure: [each.least, each.most] for figure, each in result.figures.items()},
            "valid": not result.problems,
            "problems": result.problems,
            "untold": result.untold,
            "repeats": [
                {**asdict(repeat), "problems": [*repeat.problems]} for repeat in result.repeats
            ],
        }
        for name, result in found.items()
    }


def _ends(ratio: Estimate) -> list[float] | None:
    """Of its interval; one round has none."""
    return [ratio.low, ratio.high] if ratio.samples > 1 else None
