"""slicer: data arrives in small pieces, with a pause after each."""

import random
from dataclasses import dataclass, field

from chaos.runtimes.toxiproxy.go_json import MICROSECOND_NS, seconds, wrapped
from chaos.runtimes.toxiproxy.toxic import Chunk, Release, Toxic, register


@register("slicer")
@dataclass
class Slicer(Toxic):
    """Cuts each chunk into slices of about `average_size` bytes, `delay` microseconds apart.

    A chunk is halved, give or take `size_variation` bytes, until each part is at most both
    together. Where these would allow no slice at all, each has one byte.
    """

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0
    sizes: list[int] = field(default_factory=list, init=False)

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Let a chunk that is a slice already pass, if there is no pause."""
        if (
            self.sizes
            or not self._is_slice(len(chunk.data))
            or now_s < self.met_s + self._pause_s()
        ):
            return None
        self.met_s = now_s
        return chunk

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Let the first slice go once the pause after the last one is over."""
        if not self.sizes:
            self.sizes = self._cut(len(chunk.data))[::-1]
        size = self.sizes.pop()
        rest = chunk.data[size:]
        return Release(
            max(now_s, self.met_s + self._pause_s()),
            Chunk(chunk.data[:size], chunk.stamp_s),
            Chunk(rest, chunk.stamp_s) if rest else None,
        )

    def restart(self) -> None:
        """Let what is left of a chunk go whole."""
        super().restart()
        self.sizes = []

    def _cut(self, size: int) -> list[int]:
        """Sizes of slices, in order."""
        if self._is_slice(size):
            return [size]
        first = size // 2
        if self.size_variation > 0:
            first += random.randrange(-self.size_variation, self.size_variation)
        first = min(max(first, 1), size - 1)
        return [*self._cut(first), *self._cut(size - first)]

    def _is_slice(self, size: int) -> bool:
        return size <= 1 or wrapped(size - self.average_size) <= self.size_variation

    def _pause_s(self) -> float:
        return seconds(self.delay, MICROSECOND_NS)
