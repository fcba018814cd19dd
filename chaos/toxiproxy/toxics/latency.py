"""latency: every chunk arrives later, in order, at an unchanged rate."""

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import Chunk, Release, Toxic, register


@register("latency")
@dataclass
class Latency(Toxic):
    """Delays each chunk by `latency` ± `jitter` milliseconds; the end of a stream is not delayed.

    The time counts from when the chunk was read, and a chunk never overtakes the one before it.
    Throughput stays whole while 1,024 chunks hold what is on its way: 32 MiB of bulk data.
    """

    latency: int = 0
    jitter: int = 0

    room: ClassVar[int] = 1025  # 1,024 wait behind the one in hand

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Let data pass that need not wait."""
        if self.latency or self.jitter > 0:
            return None
        return Chunk(chunk.data, chunk.stamp_s - (now_s - chunk.stamp_s))

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Hold data until its time on the way is over."""
        delay_ms = self.latency
        if self.jitter > 0:
            delay_ms += random.randrange(-self.jitter, self.jitter)
        wait_s = seconds(delay_ms, MILLISECOND_NS) - (now_s - chunk.stamp_s)
        return Release(now_s + wait_s, Chunk(chunk.data, chunk.stamp_s + wait_s))
