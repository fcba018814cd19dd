"""latency: every chunk arrives later, in order, at an unchanged rate."""

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import Chunk, Release, Toxic, register


@register("latency")
@dataclass
class Latency(Toxic):
    """Delay each chunk by `latency` ± `jitter` milliseconds; the end of a stream is not delayed.

    The delay counts from when the chunk was read; order is kept. Throughput is unchanged while
    1,024 chunks hold the data in flight: 32 MiB of bulk data.
    """

    latency: int = 0
    jitter: int = 0

    room: ClassVar[int] = 1025  # 1,024 wait behind the first

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Pass data if there is no delay."""
        if self.latency or self.jitter > 0:
            return None
        return Chunk(chunk.data, chunk.stamp_s - (now_s - chunk.stamp_s))

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Release a chunk after its delay."""
        delay_ms = self.latency
        if self.jitter > 0:
            delay_ms += random.randrange(-self.jitter, self.jitter)
        wait_s = seconds(delay_ms, MILLISECOND_NS) - (now_s - chunk.stamp_s)
        return Release(now_s + wait_s, Chunk(chunk.data, chunk.stamp_s + wait_s))
