"""bandwidth: a stream flows no faster than a given rate."""

import math
from dataclasses import dataclass, field

from chaos.toxiproxy.toxic import Chunk, Release, Toxic, register

PIECE_S = 0.1
NOTHING_S = 1e-5


@register("bandwidth")
@dataclass
class Bandwidth(Toxic):
    """Pass `rate` kilobytes (1,000 bytes) a second, in pieces of at most 100 ms each.

    Rate 0 stops the stream. An idle stream earns no credit; the delay of a late timer is made up
    for, else many small chunks would flow slower than the rate.
    """

    rate: int = 0
    planned_s: float = field(default=-math.inf, init=False)

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Pass a chunk that takes next to no time; the next one leaves later by that."""
        size = len(chunk.data)
        if self.rate <= 0 or size > self._piece_bytes():
            return None
        planned_s = self._planned_s(size, now_s)
        if planned_s > now_s + NOTHING_S:
            return None
        self.planned_s, self.met_s = planned_s, now_s
        return chunk

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Release a piece after the time that its size takes at the rate."""
        if self.rate <= 0:
            return Release(math.inf, chunk)
        piece = chunk.data[: self._piece_bytes()]
        rest = chunk.data[len(piece) :]
        self.planned_s = self._planned_s(len(piece), now_s)
        return Release(
            self.planned_s,
            Chunk(piece, chunk.stamp_s),
            Chunk(rest, chunk.stamp_s) if rest else None,
        )

    def _piece_bytes(self) -> int:
        return round(self.rate * 1000 * PIECE_S)

    def _planned_s(self, size: int, now_s: float) -> float:
        late_s = self.met_s - self.planned_s if self.met_s > -math.inf else 0.0
        return now_s - late_s + size / (self.rate * 1000)
