"""slicer: data arrives in small pieces, with a pause after each."""

import random
from dataclasses import dataclass, field

from chaos.toxiproxy.go_json import MICROSECOND_NS, seconds, wrapped
from chaos.toxiproxy.toxic import Chunk, Release, Toxic, register


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
        if self.sizes or len(chunk.data) > self._most_bytes() or now_s < self._free_s():
            return None
        self.met_s = now_s
        return chunk

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Let the first slice go once the pause after the last one is over."""
        if not self.sizes:
            self.sizes = self._cut(len(chunk.data), self._most_bytes())[::-1]
        size = self.sizes.pop()
        at_s = max(now_s, self._free_s())
        if not self.sizes:
            return Release(at_s, chunk)
        first, rest = chunk.data[:size], chunk.data[size:]
        return Release(at_s, Chunk(first, chunk.stamp_s), Chunk(rest, chunk.stamp_s))

    def restart(self) -> None:
        """Let what is left of a chunk go whole."""
        super().restart()
        self.sizes = []

    def _free_s(self) -> float:
        """When the pause after the last slice is over."""
        return self.met_s + seconds(self.delay, MICROSECOND_NS) if self.delay else self.met_s

    def _most_bytes(self) -> int:
        """The size up to which data is not cut."""
        return max(1, self.size_variation - wrapped(-self.average_size))

    def _cut(self, size: int, most: int) -> list[int]:
        """Sizes of slices, in order."""
        if size <= most:
            return [size]
        first = size // 2
        if self.size_variation > 0:
            first += random.randrange(-self.size_variation, self.size_variation)
        first = min(max(first, 1), size - 1)
        return [*self._cut(first, most), *self._cut(size - first, most)]
