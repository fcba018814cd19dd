"""Protocols of the clock, the load generator and the observer of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chaos.model.evidence import Generator, InForce, ReadBack
from chaos.model.stack import Settings
from chaos.model.traffic import Traffic


class Clock(Protocol):
    """The time of a run; tests replace it, so as not to wait."""

    def now_s(self) -> float:
        """Seconds on the host's monotonic clock."""

    def sleep(self, duration_s: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class Links:
    """The shared links of a segment, by rank, and the redirects that warmed the cache.

    `targets` are those that the generator asked for, whatever the answer said.
    """

    codes: Sequence[str]
    follows: int
    targets: Sequence[str]


class Load(Protocol):
    """The load generator, one segment at a time."""

    @property
    def metrics_url(self) -> str | None:
        """URL of its live metrics, in Prometheus format."""

    def prepare(self, traffic: Traffic) -> Links:
        """Create new links, follow each once."""

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        """Start a segment; return its start on the monotonic clock."""

    def finished(self) -> Generator | None:
        """The generator's figures of the segment once every answer is in, `None` before."""


Counters = Mapping[str, float]
INCARNATION = "incarnation"


class Observer(Protocol):
    """Reads the stack directly, bypassing the links."""

    def counters(self) -> Counters:
        """Wait until no request is in flight; return the totals so far, by name.

        `PART.incarnation` is a number that changes whenever a part starts anew; its counters have
        the same prefix.
        """

    def in_force(self, settings: Settings) -> InForce:
        """What the parts say of themselves; of Postgres and Redis only the settings named here.

        Values that name roles are told as they are given here, if they are in force.
        """

    def settled(self) -> bool:
        """True if every click is counted: no buffer, queue or outbox holds one."""

    def fork(self, url: str) -> Iterable[tuple[str, str, int]]:
        """Kind (clicks, links), id and version of all that a server without its role holds."""

    def read_back(self) -> ReadBack:
        """The links made since the run began, and their clicks."""
