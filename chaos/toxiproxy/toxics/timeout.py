"""timeout: data stops, and the connection closes after a time, or when the toxic is removed."""

from dataclasses import dataclass
from typing import ClassVar

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import END, Chunk, Release, Toxic, register


@register("timeout")
@dataclass
class Timeout(Toxic):
    """Drop all data; end the stream after `timeout` ms without data (0: never).

    Every chunk restarts the timeout, the end of a stream passes, and removing the toxic closes the
    connections of its proxy.
    """

    timeout: int = 0

    closes_when_removed: ClassVar[bool] = True

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Drop data."""
        del chunk
        return Release(now_s, None)

    def idle(self, now_s: float) -> Release | None:
        """End the stream after the timeout."""
        timeout_s = seconds(self.timeout, MILLISECOND_NS)
        return Release(now_s + timeout_s, END) if timeout_s > 0 else None
