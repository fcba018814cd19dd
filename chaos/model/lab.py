"""What a run needs beside the stack: a clock, a load generator and an observer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chaos.model.evidence import (
    Counters,
    Generator,
    ReadBack,
)
from chaos.model.experiment import (
    Traffic,
)


class Clock(Protocol):
    """Time as a run sees it, so that tests need not wait for it."""

    def now_s(self) -> float:
        """Seconds on the host's monotonic clock."""

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""


class Load(Protocol):
    """The load generator, one segment at a time."""

    @property
    def metrics_url(self) -> str | None:
        """Where its live figures are, for Prometheus."""

    def prepare(self, traffic: Traffic) -> Sequence[str]:
        """Create the links if there are none yet, follow each once; their codes by rank."""

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        """Start a segment, and return its first moment on the monotonic clock."""

    def finished(self) -> Generator | None:
        """What the generator says of the segment once every answer is in, `None` before."""


class Observer(Protocol):
    """Eyes on the stack that do not pass through the links."""

    def counters(self) -> Counters:
        """Totals so far, once nothing is in flight any more."""

    def read_back(self, codes: Sequence[str]) -> ReadBack:
        """What the primary holds of these links, once the click queue has drained."""
