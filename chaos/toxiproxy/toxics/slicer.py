"""slicer: data arrives in small pieces, with a pause after each."""

import random
from dataclasses import dataclass, field

from chaos.toxiproxy.go_json import MICROSECOND_NS, seconds, wrapped
from chaos.toxiproxy.toxic import Chunk, Release, Toxic, register


@register("slicer")
@dataclass
class Slicer(Toxic):
    """Cut each chunk into slices of about `average_size` bytes, `delay` microseconds apart.

    A chunk is halved, give or take `size_variation` bytes, until each part is at most
    `average_size` + `size_variation` bytes, and at least one byte.
    """

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0
    sizes: list[int] = field(default_factory=list, init=False)

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Pass a chunk that is small enough, unless a pause is on."""
        if self.sizes or len(chunk.data) > self._most_bytes() or now_s < self._free_s():
            return None
        self.met_s = now_s
        return chunk

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Release the first slice after the pause that follows the last one."""
        if not self.sizes:
            self.sizes = self._cut(len(chunk.data), self._most_bytes())[::-1]
        size = self.sizes.pop()
        at_s = max(now_s, self._free_s())
        if not self.sizes:
            return Release(at_s, chunk)
        first, rest = chunk.data[:size], chunk.data[size:]
        return Release(at_s, Chunk(first, chunk.stamp_s), Chunk(rest, chunk.stamp_s))

    def restart(self) -> None:
        """Stop slicing the current chunk."""
        super().restart()
        self.sizes = []

    def _free_s(self) -> float:
        """Return the end of the pause after the last slice."""
        return self.met_s + seconds(self.delay, MICROSECOND_NS) if self.delay else self.met_s

    def _most_bytes(self) -> int:
        """Return the largest size that is not cut."""
        return max(1, self.size_variation - wrapped(-self.average_size))

    def _cut(self, size: int, most: int) -> list[int]:
        """Return the sizes of slices, in order."""
        if size <= most:
            return [size]
        first = size // 2
        if self.size_variation > 0:
            first += random.randrange(-self.size_variation, self.size_variation)
        first = min(max(first, 1), size - 1)
        return [*self._cut(first, most), *self._cut(size - first, most)]
