"""A gate's outcome as a JSON document: all that tables, pages and the history are made of."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from chaos.perf.gate import Outcome
from chaos.perf.judging import MetricJudgement
from chaos.perf.launches import ARMS, Launch

SCHEMA = 1
BINS_A_DECADE = 20
NONE = np.empty(0)
HISTORY = ("began", "service", "verdict", "base", "head")


def as_document(outcome: Outcome) -> dict[str, Any]:
    """The whole outcome, with `null` where there is no figure."""
    of, judged = outcome.of, outcome.judgement
    return {
        "schema": SCHEMA,
        "service": of.service.name,
        "verdict": judged.verdict,
        "began": outcome.began.isoformat(timespec="seconds"),
        "duration_s": round(outcome.duration_s, 1),
        "seed": outcome.seed,
        "base": {"name": of.base.name, "commit": of.base.commit},
        "head": {"name": of.head.name, "commit": of.head.commit},
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "launches": judged.launches,
        "spoiled": outcome.spoiled,
        "rate_per_s": round(outcome.rate_per_s, 1),
        "core_shares": [
            round(float(launch.cpu_s.sum()) / of.service.load.launch_s, 3)
            for launch in outcome.launches
        ],
        "asked_too_slowly": judged.asked_too_slowly,
        "futile": judged.is_futile,
        "requests": sum(len(launch.statuses) for launch in outcome.launches),
        "lag_p99_ms": _lag_p99_ms(outcome.launches),
        "void_by": [*judged.void_by],
        "wrong": {**judged.wrong, "decides": judged.wrong_decides},
        "metrics": [_metric(each) for each in judged.metrics],
        "counters": [
            {"request": c.request, "counter": c.counter, "verdict": c.verdict, **c.of}
            for c in outcome.counted
        ],
        "distributions": _distributions(outcome.launches),
    }


def history_entry(document: dict[str, Any]) -> dict[str, Any]:
    """The part of a document that a history keeps: both revisions, and each metric's change."""
    metrics = {
        each["name"]: {name: each[name] for name in ("change", "low", "high", "base", "verdict")}
        for each in document["metrics"]
    }
    return {**{name: document[name] for name in HISTORY}, "metrics": metrics}


def _metric(judged: MetricJudgement) -> dict[str, Any]:
    decision, metric = judged.decision, judged.metric
    return {
        "name": metric.name,
        "figure": metric.figure,
        "request": metric.request,
        "verdict": decision.verdict,
        **{arm: _finite(_typical(judged.figures[arm])) for arm in ARMS},
        "change": _finite(decision.change),
        "low": _finite(decision.low),
        "high": _finite(decision.high),
        "launches": decision.launches,
        "fail_above": metric.fail_above / 100,
        "pass_below": metric.pass_below / 100,
        "by_launch": {
            arm: [_finite(figure) for figure in judged.figures[arm].tolist()] for arm in ARMS
        },
    }


def _typical(figures_ms: Any) -> float:
    """The geometric mean over launches: the ratio of two is the mean of their log-ratios."""
    known = figures_ms[np.isfinite(figures_ms)]
    return float(np.exp(np.log(known).mean())) if len(known) else math.nan


def _distributions(launches: Sequence[Launch]) -> dict[str, Any]:
    """Requests of each arm by their latency, in bins of equal width on a log scale."""
    of = {arm: np.concatenate([NONE, *(launch.of(arm) for launch in launches)]) for arm in ARMS}
    every = np.concatenate([*of.values()])
    every = every[every > 0]
    if not len(every):
        return {"edges_ms": [], **{arm: [] for arm in ARMS}}
    low, high = (
        f(math.log10(float(g(every)) * 1000))
        for f, g in ((math.floor, np.min), (math.ceil, np.max))
    )
    edges_ms = np.logspace(low, high, max(high - low, 1) * BINS_A_DECADE + 1)
    counts: dict[str, list[int]] = {
        arm: np.histogram(of[arm] * 1000, edges_ms)[0].tolist() for arm in ARMS
    }
    return {"edges_ms": [float(f"{edge:.4g}") for edge in edges_ms], **counts}


def _lag_p99_ms(launches: Sequence[Launch]) -> float | None:
    lags_s = np.concatenate([NONE, *(launch.lag_s for launch in launches)])
    lags_s = lags_s[np.isfinite(lags_s)]
    return round(float(np.percentile(lags_s, 99)) * 1000, 3) if len(lags_s) else None


def _finite(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
