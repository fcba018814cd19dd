"""reset_peer: the connection is torn down with a TCP RST."""

from dataclasses import dataclass

from chaos.runtimes.toxiproxy.toxic import End, Item, Release, Toxic, register


@register("reset_peer")
@dataclass
class ResetPeer(Toxic):
    """Resets the connection `timeout` ms after the next data or end of stream, which is dropped.

    An idle connection stays up until something is sent on it, as in Toxiproxy.
    """

    timeout: int = 0

    def next(self, item: Item, arrived_s: float, now_s: float) -> Release:
        """Turn whatever comes into a reset."""
        del item, now_s
        return Release(arrived_s + self.timeout / 1000, End.RESET)
