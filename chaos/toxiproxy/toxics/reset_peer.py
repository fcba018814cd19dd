"""reset_peer: the connection is torn down with a TCP RST."""

from dataclasses import dataclass
from typing import ClassVar

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import END, Chunk, Release, Toxic, register


@register("reset_peer")
@dataclass
class ResetPeer(Toxic):
    """Ends the stream `timeout` ms after the next data or end of it, which is dropped.

    An idle connection stays up until something is sent on it. On connections that begin under
    the toxic each close is a RST; one that is older is closed in order.
    """

    timeout: int = 0

    resets: ClassVar[bool] = True
    commits: ClassVar[bool] = True

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """End the stream instead."""
        del chunk
        return Release(self.end_s(now_s), END)

    def end_s(self, now_s: float) -> float:
        """After the time."""
        return now_s + seconds(self.timeout, MILLISECOND_NS)
