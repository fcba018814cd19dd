"""Record of one launch of all arms, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chaos.model.evidence import Floats, Ints
from chaos.perf.service_file import Metric, Request

ArmName = Literal["base", "head", "again"]
ARMS: tuple[ArmName, ...] = ("base", "head", "again")
SERVER_BUSY = 0.85  # of the blocks
CLIENT_SPARE = 0.05  # of the blocks: the kernel counts it in hundredths of a second


@dataclass(frozen=True)
class Launch:
    """The raw samples of one launch: one entry a request, arms by their place in `ARMS`.

    `cpu_s` is what each arm's processes used meanwhile, by the kernel's account. The blocks are
    those in which one arm alone was asked as fast as it answered: which, for how long, how many
    right answers it gave, what CPU time it used or stood in line for, and what the client's side
    had left.
    """

    number: int
    arms: Ints
    kinds: Ints
    due_s: Floats
    lag_s: Floats
    latency_s: Floats
    statuses: Ints
    cpu_s: Floats
    block_arms: Ints = field(default_factory=lambda: np.array([], dtype=np.int64))
    block_s: Floats = field(default_factory=lambda: np.array([]))
    block_answers: Ints = field(default_factory=lambda: np.array([], dtype=np.int64))
    block_wanted_s: Floats = field(default_factory=lambda: np.array([]))
    block_spare_s: Floats = field(default_factory=lambda: np.array([]))

    def of(self, arm: ArmName, kind: int | None = None) -> Floats:
        """The latencies of an arm's requests, of one kind or of all."""
        chosen = self.arms == ARMS.index(arm)
        if kind is not None:
            chosen = chosen & (self.kinds == kind)
        return np.asarray(self.latency_s[chosen & np.isfinite(self.latency_s)], dtype=np.float64)

    def wrong(self, requests: Sequence[Request]) -> dict[ArmName, int]:
        """Requests of each arm that had another answer than expected, or none."""
        expected = np.zeros(len(self.statuses), dtype=bool)
        for kind, request in enumerate(requests):
            own = self.kinds == kind
            as_expected = [s for s in np.unique(self.statuses[own]).tolist() if request.expects(s)]
            expected |= own & np.isin(self.statuses, as_expected)
        return {arm: int((~expected & (self.arms == a)).sum()) for a, arm in enumerate(ARMS)}

    def counts(self) -> dict[ArmName, int]:
        """The number of each arm's requests."""
        return {arm: int((self.arms == a).sum()) for a, arm in enumerate(ARMS)}

    def keep(self, folder: Path) -> None:
        """Write the raw samples as compressed NumPy arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        columns: Mapping[str, NDArray[Any]] = {
            "arms": self.arms.astype(np.int8),
            "kinds": self.kinds.astype(np.int8),
            "due_s": self.due_s,
            "lag_s": self.lag_s.astype(np.float32),
            "latency_s": self.latency_s.astype(np.float32),
            "statuses": self.statuses.astype(np.int16),
            "cpu_s": self.cpu_s,
            "block_arms": self.block_arms,
            "block_s": self.block_s,
            "block_answers": self.block_answers,
            "block_wanted_s": self.block_wanted_s,
            "block_spare_s": self.block_spare_s,
        }
        np.savez_compressed(folder / f"launch-{self.number:02}.npz", allow_pickle=False, **columns)


def read_launch(path: Path) -> Launch:
    """The samples of a launch, as `keep` wrote them."""
    with np.load(path, allow_pickle=False) as columns:
        return Launch(
            number=int(path.stem.removeprefix("launch-")),
            **{name: columns[name] for name in columns.files},
        )


def figure(launch: Launch, arm: ArmName, metric: Metric, requests: Sequence[Request]) -> float:
    """A metric of an arm in one launch, in milliseconds; NaN without requests.

    An arm without a right answer in its blocks counts as one with a single answer, so that a server
    that answers nothing under full load has a capacity, and a low one.
    """
    if metric.figure == "cpu":
        count = launch.counts()[arm]
        return float(launch.cpu_s[ARMS.index(arm)]) / count * 1000 if count else np.nan
    if metric.figure == "capacity":
        alone = launch.block_arms == ARMS.index(arm)
        answered = max(int(launch.block_answers[alone].sum()), 1)
        return float(launch.block_s[alone].sum()) / answered * 1000 if alone.any() else np.nan
    kinds = [request.name for request in requests]
    latency_s = launch.of(arm, kinds.index(metric.request) if metric.request else None)
    per_cent = float(metric.figure.removeprefix("p"))
    return float(np.percentile(latency_s, per_cent)) * 1000 if len(latency_s) else np.nan


def figures(
    launches: Sequence[Launch], metric: Metric, requests: Sequence[Request]
) -> dict[ArmName, Floats]:
    """A metric of each arm, launch by launch."""
    return {
        arm: np.array([figure(launch, arm, metric, requests) for launch in launches])
        for arm in ARMS
    }


def asked_too_slowly(launches: Sequence[Launch]) -> bool:
    """True if the blocks of an arm measured the client: it was busy throughout, the arm was not.

    One such arm is enough: base may be capable of more than it was asked for, and head of less. An
    arm that waits while both sides have time left is the limit itself, as one with too few
    connections to its database.
    """
    if not launches:
        return False
    columns = [
        (one.block_arms, one.block_s, one.block_wanted_s, one.block_spare_s) for one in launches
    ]
    arms, lasted_s, wanted_s, spare_s = map(np.concatenate, zip(*columns, strict=True))
    return any(
        wanted_s[own].sum() < SERVER_BUSY * lasted_s[own].sum()
        and spare_s[own].sum() < CLIENT_SPARE * lasted_s[own].sum()
        for own in (arms == place for place in range(len(ARMS)))
    )


def changes(of: Mapping[ArmName, Floats]) -> Floats:
    """The log-ratio of head to base in each launch; base is the mean of both its arms."""
    base, head, again = (np.log(of[arm]) for arm in ARMS)
    log_ratios: Floats = head - (base + again) / 2
    return log_ratios


def null_changes(of: Mapping[ArmName, Floats]) -> Floats:
    """The log-ratio of base's second arm to its first: the same code, so there is no change."""
    log_ratios: Floats = np.log(of["again"]) - np.log(of["base"])
    return log_ratios
