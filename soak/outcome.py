"""What came of a round."""

from __future__ import annotations

from dataclasses import dataclass, field

from soak.blows import NEVER_THERE

OVER = "it was over before"


@dataclass(frozen=True)
class Moment:
    """So long after that."""

    phase: str
    later_s: float

    def __str__(self) -> str:
        return f"{self.phase} + {self.later_s:.2f} s"


@dataclass
class Outcome:
    """What came of a round; times in seconds."""

    seed: int
    blow: str
    moment: Moment
    detail: str = ""
    code: int | None = None
    ended_s: float = 0.0  # from the blow to the end of the lab's own process
    gone_s: float = 0.0  # from there until nothing was left
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        """Whether there was nothing to strike at any more."""
        return self.detail == OVER or self.detail.endswith(NEVER_THERE)
