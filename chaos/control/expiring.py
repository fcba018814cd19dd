"""Something that is forgotten unless it is said again: whoever said it may have been killed."""

from __future__ import annotations

from typing import Generic, TypeVar

from chaos.model.lab import Clock

LASTS_S = 5.0
T = TypeVar("T")


class ExpiringValue(Generic[T]):
    """The last thing said, for five seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: tuple[float, T] | None = None

    def say(self, thing: T) -> None:
        """Hold to it for another five seconds."""
        self._said = (self._clock.now_s(), thing)

    def drop(self) -> None:
        """Forget it now."""
        self._said = None

    @property
    def held(self) -> T | None:
        """What still holds."""
        said = self._said
        if said is None or self._clock.now_s() - said[0] >= LASTS_S:
            return None
        return said[1]
