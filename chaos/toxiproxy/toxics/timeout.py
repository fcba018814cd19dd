"""timeout: data stops, and the connection closes after a while, or only when this is removed."""

from dataclasses import dataclass
from typing import ClassVar

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import END, Chunk, Release, Toxic, register


@register("timeout")
@dataclass
class Timeout(Toxic):
    """Drops all data; ends the stream when nothing came for `timeout` ms (0: never).

    Every chunk starts the time anew, the end of a stream passes, and removing the toxic closes
    the connections of its proxy.
    """

    timeout: int = 0

    closes_when_removed: ClassVar[bool] = True

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Drop data."""
        del chunk
        return Release(now_s, None)

    def idle(self, now_s: float) -> Release | None:
        """End the stream once the time is over."""
        timeout_s = seconds(self.timeout, MILLISECOND_NS)
        return Release(now_s + timeout_s, END) if timeout_s > 0 else None
