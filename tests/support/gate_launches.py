"""Launches of a gate, made up: arms that are slower by known factors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from chaos.perf.arm_bed import Comparison
from chaos.perf.counters import ROUNDS, Counted, CounterChange, judged
from chaos.perf.gate import Outcome
from chaos.perf.gate_result import as_document
from chaos.perf.judging import judgement
from chaos.perf.launches import ARMS, ArmName, Launch
from chaos.perf.revisions import Revision
from chaos.perf.service_file import Request, Service

REQUESTS = (Request(name="read", path="/"), Request(name="write", path="/w", status=201))
SERVICE = Service(name="shop", command=("s",), health="/", requests=REQUESTS)


def launch(
    number: int = 1, factors: Mapping[ArmName, float] | None = None, count: int = 3000
) -> Launch:
    """A launch whose arms are slower by a factor, with some noise of its own."""
    rng = np.random.default_rng(number)
    arms = np.arange(count) % 3
    kinds = (np.arange(count) // 3) % 2
    own = np.array([(factors or {}).get(arm, 1.0) for arm in ARMS])
    noise = np.exp(rng.normal(0, 0.002, 3))
    latency_s = np.quantile(
        rng.lognormal(-6, 0.5, 100_000), (np.arange(count) // 3 + 0.5) / (count / 3)
    )
    return Launch(
        number=number,
        arms=arms,
        kinds=kinds,
        due_s=np.linspace(0, 10, count),
        lag_s=np.zeros(count),
        latency_s=latency_s * (own * noise)[arms],
        statuses=np.where(kinds == 0, 200, 201),
        cpu_s=own * noise * 0.1,
    )


def launches(count: int, **factors: float) -> list[Launch]:
    return [launch(n + 1, factors) for n in range(count)]  # type: ignore[arg-type]


def counted(request: str, counter: str, of: Mapping[ArmName, float]) -> CounterChange:
    """A counter that is the same in each round."""
    return judged(request, counter, {arm: [value] * ROUNDS for arm, value in of.items()}, 0.02)


def outcome(made: list[Launch], counts: Counted = (), spoiled: int = 0) -> Outcome:
    """A run with these launches."""
    main, change = Revision("main", "a" * 40), Revision("change", "b" * 40)
    of = Comparison(SERVICE, Path(), Path(), main, change)
    judged = judgement(SERVICE, made, counts)
    began = datetime(2026, 11, 29, tzinfo=UTC)
    return Outcome(of, began, 7, 300.0, counts, made, judged, spoiled, 61.5)


def document(made: list[Launch], counts: Counted = (), spoiled: int = 0) -> dict[str, Any]:
    """The document of a run with these launches."""
    return as_document(outcome(made, counts, spoiled))
