"""Predictions of theory for a measure, from rates and times measured in the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from chaos.model.evidence import Segment
from chaos.model.experiment import Prediction


def hot_rate_per_s(segments: Sequence[Segment]) -> float:
    """λ: arrivals for the hot key per second, as intended by the generator."""
    duration_s = sum(segment.ended_s - segment.started_s for segment in segments)
    hot = sum(int(segment.requests.hot.sum()) for segment in segments)
    return hot / duration_s if duration_s > 0 else math.nan


def origin_time_s(segments: Sequence[Segment]) -> float:
    """δ: mean time of an origin query for the hot key."""
    times = [segment.origin.of_hot() for segment in segments]
    answered = [origin.answered_s - origin.asked_s for origin in times if len(origin)]
    return float(np.concatenate(answered).mean()) if answered else math.nan


def herd_inputs(segments: Sequence[Segment]) -> dict[str, float]:
    """λ, δ and their product, which determines the size of the herd."""
    rate_per_s, time_s = hot_rate_per_s(segments), origin_time_s(segments)
    return {
        "lambda_per_s": rate_per_s,
        "delta_ms": time_s * 1000,
        "lambda_delta": rate_per_s * time_s,
    }


def _herd(segments: Sequence[Segment]) -> float:
    return 1 + hot_rate_per_s(segments) * origin_time_s(segments)


def _processes(segments: Sequence[Segment]) -> float:
    return float(max((segment.web_processes for segment in segments), default=0)) or math.nan


def _one(_: Sequence[Segment]) -> float:
    return 1.0


def _xfetch(segments: Sequence[Segment]) -> float:
    betas = {float(segment.settings.get("XFETCH_BETA", "1")) for segment in segments}
    return math.exp(1 / betas.pop()) if len(betas) == 1 else math.nan


herd = Prediction(
    "1 + λδ",
    "Poisson arrivals: the first miss, and all that arrive before its answer is stored",
    _herd,
)
one_per_process = Prediction(
    "≤ web processes", "each process runs at most one look-up of a key at a time", _processes, True
)
one = Prediction("1", "one holder of the key's lock, lease or refresh at a time", _one)
xfetch_law = Prediction(
    "e^(1/β)",
    "Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015;"
    " the count of refreshes begun within δ of the first is geometric with this mean",
    _xfetch,
)
