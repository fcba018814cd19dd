"""The outcome of a round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tools.crashtest.crashes import NEVER_STARTED

ALREADY_OVER = "it had ended before"


@dataclass(frozen=True)
class Moment:
    """A time in the run: seconds after the start of a phase."""

    phase: str
    later_s: float

    def later(self, seconds: float) -> Moment:
        """Return the moment that many seconds later."""
        return replace(self, later_s=self.later_s + seconds)

    def __str__(self) -> str:
        return f"{self.phase} + {self.later_s:.2f} s"


@dataclass
class RoundOutcome:
    """The outcome of a round; times in seconds."""

    seed: int
    crash: str
    planned_at: Moment
    injected_at: Moment | None = None  # None: the lab had ended before
    detail: str = ""
    code: int | None = None
    ended_s: float = 0.0  # from the crash to the end of the lab's own process
    gone_s: float = 0.0  # from there until nothing was left
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        """True if the lab or the part to crash was not running."""
        return self.detail == ALREADY_OVER or self.detail.endswith(NEVER_STARTED)

    @property
    def displaced(self) -> bool:
        """True if a slow lab was crashed in an earlier phase than planned."""
        return self.injected_at is not None and self.injected_at.phase != self.planned_at.phase
