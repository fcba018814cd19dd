"""Turn repeated measurements into the figures of an arm, each with the range of its repeats."""

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
    """One measurement of an arm; problems make it invalid."""

    rps: float
    ratio_to_bare: float
    p50_ms: float | None  # None if late
    p99_ms: float | None
    cpu_us: float
    rss_mb: float
    half_rps: float
    lag_p99_ms: float
    server_share: float
    problems: tuple[str, ...] = ()
    late: str = ""  # how late our own requests left, if that is why there are no latencies


@dataclass(frozen=True)
class Figure:
    """Mean, minimum and maximum of the repeats."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class ArmFigures:
    """Figures and repeats of an arm."""

    figures: Mapping[str, Figure]
    repeats: Sequence[Repeat]

    @property
    def of_bare(self) -> Estimate:
        """Share of a bare server's throughput, with a 95 % interval over the launches.

        Launches of the same program differ, so the rounds are what repeats, not the slices.
        """
        return mean_of_counts(np.array([repeat.ratio_to_bare for repeat in self.repeats]))

    @property
    def problems(self) -> list[str]:
        """Reasons that make the figures invalid."""
        return [
            f"round {number}: {problem}"
            for number, repeat in enumerate(self.repeats, 1)
            for problem in repeat.problems
        ]

    @property
    def missing_latencies(self) -> list[str]:
        """Reasons for rounds without latencies."""
        return [
            f"round {n}: {repeat.late}" for n, repeat in enumerate(self.repeats, 1) if repeat.late
        ]

    @property
    def proves(self) -> bool:
        """True if every figure exists and is valid."""
        return not self.problems and set(FIGURES) <= set(self.figures)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share does not exceed; NaN of no values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def results(repeats: Mapping[str, Sequence[Repeat]]) -> dict[str, ArmFigures]:
    """Return the figures of all arms."""
    return {name: ArmFigures(_figures(some), some) for name, some in repeats.items()}


def bias(found: Mapping[str, ArmFigures]) -> str:
    """Return the reason to reject all ratios: two bare servers differ; else empty."""
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
    """Return the figures that at least one repeat has."""
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
    """Return `arms.<name>`: means by name, `ranges`, problems, and each repeat."""
    return {
        name: {
            **dict.fromkeys(FIGURES),
            **{figure: each.mean for figure, each in result.figures.items()},
            "ratio_interval95": _ends(result.of_bare),
            "ranges": {figure: [each.least, each.most] for figure, each in result.figures.items()},
            "valid": not result.problems,
            "problems": result.problems,
            "missing_latencies": result.missing_latencies,
            "repeats": [
                {**asdict(repeat), "problems": [*repeat.problems]} for repeat in result.repeats
            ],
        }
        for name, result in found.items()
    }


def _ends(ratio: Estimate) -> list[float] | None:
    """Return the ends of the interval; one round has none."""
    return [ratio.low, ratio.high] if ratio.samples > 1 else None
