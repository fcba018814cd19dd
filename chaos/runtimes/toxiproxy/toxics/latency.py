"""latency: every chunk arrives later, in order, at an unchanged rate."""

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos.runtimes.toxiproxy.toxic import ONE_CHUNK_BYTES, End, Item, Release, Toxic, register


@register("latency")
@dataclass
class Latency(Toxic):
    """Delays each chunk by `latency` ± `jitter` milliseconds; the end of a stream is not delayed.

    A chunk never overtakes the one before it. Throughput stays whole while the data on the way
    fits the room: 32 MiB, as in Toxiproxy (1,024 chunks of 32 KiB).
    """

    latency: int = 0
    jitter: int = 0

    room_bytes: ClassVar[int] = 1024 * ONE_CHUNK_BYTES

    def next(self, item: Item, arrived_s: float, now_s: float) -> Release:
        """Hold data until its time on the way is over."""
        if isinstance(item, End):
            return Release(now_s, item)
        delay_ms = self.latency
        if self.jitter > 0:
            delay_ms += random.randrange(-self.jitter, self.jitter)
        return Release(arrived_s + delay_ms / 1000, item)
