"""What came of a round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tools.crashtest.crashes import NEVER_STARTED

ALREADY_OVER = "it was over before"


@dataclass(frozen=True)
class Moment:
    """So long after that."""

    phase: str
    later_s: float

    def later(self, seconds: float) -> Moment:
        """So much later still."""
        return replace(self, later_s=self.later_s + seconds)

    def __str__(self) -> str:
        return f"{self.phase} + {self.later_s:.2f} s"


@dataclass
class RoundOutcome:
    """What came of a round; times in seconds."""

    seed: int
    blow: str
    meant: Moment  # to be struck at
    struck: Moment | None = None  # at which it was, if it was
    detail: str = ""
    code: int | None = None
    ended_s: float = 0.0  # from the blow to the end of the lab's own process
    gone_s: float = 0.0  # from there until nothing was left
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        """Whether there was nothing to strike at any more."""
        return self.detail == ALREADY_OVER or self.detail.endswith(NEVER_STARTED)

    @property
    def displaced(self) -> bool:
        """Whether a slow lab was struck in an earlier phase than was meant."""
        return self.struck is not None and self.struck.phase != self.meant.phase
