"""From repeated measurements to the figures of an arm, each with the range of its repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

FIGURES = ("rps", "ratio_to_bare", "p50_ms", "p99_ms", "cpu_us", "rss_mb")


@dataclass(frozen=True)
class Repeat:
    """One measurement of an arm; with problems it proves nothing."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    rss_mb: float
    half_rps: float
    lag_p99_ms: float
    server_share: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """The mean of the repeats, and the least and the most of them."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class Result:
    """What came of an arm."""

    figures: Mapping[str, Figure]
    repeats: Sequence[Repeat]

    @property
    def problems(self) -> list[str]:
        """Every reason why the figures are not to be quoted."""
        return [
            f"round {number}: {problem}"
            for number, repeat in enumerate(self.repeats, 1)
            for problem in repeat.problems
        ]


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of them does not exceed; NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def results(repeats: Mapping[str, Sequence[Repeat]]) -> dict[str, Result]:
    """Of all arms; a ratio is taken within a round, since both sides then met the same machine."""
    bare = [repeat.rps for repeat in repeats.get("bare", ())]
    return {name: Result(_figures(some, bare), some) for name, some in repeats.items()}


def _figures(repeats: Sequence[Repeat], bare: Sequence[float]) -> dict[str, Figure]:
    columns = {
        name: [float(getattr(repeat, name)) for repeat in repeats]
        for name in FIGURES
        if name != "ratio_to_bare"
    }
    ratios = [repeat.rps / rps for repeat, rps in zip(repeats, bare, strict=False) if rps]
    if ratios:
        columns["ratio_to_bare"] = ratios
    return {
        name: Figure(fmean(columns[name]), min(columns[name]), max(columns[name]))
        for name in FIGURES
        if name in columns
    }


def as_json(found: Mapping[str, Result]) -> dict[str, Any]:
    """`arms.<name>`: the means by name, `ranges`, what was wrong, and each repeat."""
    return {
        name: {
            **{figure: each.mean for figure, each in result.figures.items()},
            "ranges": {figure: [each.least, each.most] for figure, each in result.figures.items()},
            "valid": not result.problems,
            "problems": result.problems,
            "repeats": [
                {**asdict(repeat), "problems": [*repeat.problems]} for repeat in result.repeats
            ],
        }
        for name, result in found.items()
    }
