"""Traffic as a value: open arrivals of visits, their steps, and how clients retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Curve = Literal["steady", "ramp", "step", "viral"]
Operation = Literal["follow", "create", "edit", "delete", "stats"]
WRITES: tuple[Operation, ...] = ("create", "edit", "delete")
TOO_MANY_REQUESTS = 429  # a client may try again, as after 5xx and after no answer
NO_LIMIT = 1.0  # of a budget of retries


@dataclass(frozen=True)
class Step:
    """One operation of a visit, `after_s` after the answer to the one before."""

    operation: Operation
    after_s: float = 0.0


@dataclass(frozen=True)
class Visit:
    """What one arrival does in one session to one link: a shared one, or its own.

    The first step of a visit with an own link creates it. A link has one writer at a time: a visit
    that edits or deletes a shared link waits for none, but skips those that another visit is
    writing. `weight` is relative to the other visits'.
    """

    name: str
    steps: tuple[Step, ...]
    weight: float = 1.0
    own_link: bool = False

    @property
    def writes(self) -> bool:
        """True if a step changes a link."""
        return any(step.operation in WRITES for step in self.steps)


@dataclass(frozen=True)
class Retries:
    """What a client does without a good answer (5xx, 429, none): each try is a request on record.

    `pause_s` is the first pause; each further one doubles, and all are drawn with full jitter
    (uniform from 0). `budget` limits retries to a share of the first tries; 1 or more: no limit.
    """

    tries: int = 1
    pause_s: float = 0.0
    budget: float = 1000.0


FOLLOW = Visit("follow", (Step("follow"),))


@dataclass(frozen=True)
class Traffic:
    """Open arrivals: a rate curve over time, spread over Zipf keys; one has a share of its own.

    An arrival starts a visit, drawn by weight.

    `steady` holds `rate_per_s`; `ramp` climbs from it to `peak_per_s` over the duration; `step`
    jumps to the peak at `step_at_s`; `viral` climbs to the peak within `rise_s`, then decays as
    (1 + t/tau_s)^-1.4 back to the base (Crane and Sornette 2008; docs/traffic.md).
    """

    rate_per_s: float
    curve: Curve = "steady"
    peak_per_s: float | None = None
    step_at_s: float = 5.0
    rise_s: float = 2.0
    tau_s: float = 6.4
    keys: int = 50
    hot_share: float = 0.9
    zipf_alpha: float = 1.0
    timeout_s: float = 5.0
    visits: tuple[Visit, ...] = (FOLLOW,)
    retries: Retries = Retries()
