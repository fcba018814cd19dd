"""bandwidth: a stream flows no faster than a given rate."""

import math
from dataclasses import dataclass, field

from chaos.runtimes.toxiproxy.toxic import End, Item, Release, Toxic, register

PIECE_S = 0.1
LATE_S = 0.002


@register("bandwidth")
@dataclass
class Bandwidth(Toxic):
    """Lets `rate` kilobytes (1,000 bytes) a second through, in pieces of at most 100 ms each.

    Rate 0 stops the stream. An idle line earns no credit, but a gap that a late timer explains
    is made up for: else many small chunks would flow slower than the rate.
    """

    rate: int = 0
    free_s: float = field(default=0.0, init=False)

    def next(self, item: Item, arrived_s: float, now_s: float) -> Release:
        """Let a piece go when the line has been busy with it for as long as its size takes."""
        if isinstance(item, End):
            return Release(now_s, item)
        if self.rate <= 0:
            return Release(math.inf, item)
        bytes_per_s = self.rate * 1000
        piece = item[: round(bytes_per_s * PIECE_S)]
        busy = arrived_s - self.free_s < LATE_S
        begin_s = max(self.free_s if busy else arrived_s, now_s - PIECE_S)
        self.free_s = begin_s + len(piece) / bytes_per_s
        return Release(self.free_s, piece, item[len(piece) :])
