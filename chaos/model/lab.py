"""Protocols of the clock, the load generator and the observer of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chaos.model.evidence import Counters, Generator, ReadBack
from chaos.model.experiment import Traffic


class Clock(Protocol):
    """The time of a run; tests replace it, so as not to wait."""

    def now_s(self) -> float:
        """Seconds on the host's monotonic clock."""

    def sleep(self, duration_s: float) -> None:
        """Wait."""


class Load(Protocol):
    """The load generator, one segment at a time."""

    @property
    def metrics_url(self) -> str | None:
        """URL of its live metrics, in Prometheus format."""

    def prepare(self, traffic: Traffic) -> Sequence[str]:
        """Create the links if there are none yet, follow each once; return their codes by rank."""

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        """Start a segment; return its start on the monotonic clock."""

    def finished(self) -> Generator | None:
        """The generator's figures of the segment once every answer is in, `None` before."""


class Observer(Protocol):
    """Reads the stack directly, bypassing the links."""

    def counters(self) -> Counters:
        """Wait until nothing is in flight; return the totals so far."""

    def read_back(self, codes: Sequence[str]) -> ReadBack:
        """Wait until the click queue has drained; return the clicks on these links."""
