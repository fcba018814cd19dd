"""bandwidth: a stream flows no faster than a given rate."""

import math
from dataclasses import dataclass, field

from chaos.runtimes.toxiproxy.toxic import Chunk, Release, Toxic, register

PIECE_S = 0.1


@register("bandwidth")
@dataclass
class Bandwidth(Toxic):
    """Lets `rate` kilobytes (1,000 bytes) a second through, in pieces of at most 100 ms each.

    Rate 0 stops the stream. An idle line earns no credit, but what a late timer cost is made up
    for: else many small chunks would flow slower than the rate.
    """

    rate: int = 0
    planned_s: float = field(default=-math.inf, init=False)

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Let a piece go when the line has been busy with it for as long as its size takes."""
        if self.rate <= 0:
            return Release(math.inf, chunk)
        bytes_per_s = self.rate * 1000
        piece = chunk.data[: round(bytes_per_s * PIECE_S)]
        rest = chunk.data[len(piece) :]
        late_s = self.met_s - self.planned_s if self.met_s > -math.inf else 0.0
        self.planned_s = now_s - late_s + len(piece) / bytes_per_s
        return Release(
            self.planned_s,
            Chunk(piece, chunk.stamp_s),
            Chunk(rest, chunk.stamp_s) if rest else None,
        )
