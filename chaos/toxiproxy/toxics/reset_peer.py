"""reset_peer: the connection is torn down with a TCP RST."""

from dataclasses import dataclass
from typing import ClassVar

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import END, Chunk, Release, Toxic, register


@register("reset_peer")
@dataclass
class ResetPeer(Toxic):
    """End the stream `timeout` ms after its next data or end, which is dropped.

    An idle connection stays open until data is sent. Connections opened under the toxic are closed
    by RST; older ones are closed in order.
    """

    timeout: int = 0

    resets: ClassVar[bool] = True
    commits: ClassVar[bool] = True

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Drop the data, and end the stream after the timeout."""
        del chunk
        return Release(self.end_s(now_s), END)

    def end_s(self, now_s: float) -> float:
        """Return the time after the timeout."""
        return now_s + seconds(self.timeout, MILLISECOND_NS)
