"""timeout: data stops, and the connection closes after a while, or only when this is removed."""

from dataclasses import dataclass
from typing import ClassVar

from chaos.runtimes.toxiproxy.toxic import End, Item, Release, Toxic, register


@register("timeout")
@dataclass
class Timeout(Toxic):
    """Drops all data; closes the connection when nothing came for `timeout` ms (0: never).

    As in Toxiproxy, every chunk starts the time anew, the end of a stream passes, and removing
    the toxic closes the connections that it was on.
    """

    timeout: int = 0

    when_removed: ClassVar[End | None] = End.CLOSED

    def next(self, item: Item, arrived_s: float, now_s: float) -> Release:
        """Drop data."""
        del arrived_s
        return Release(now_s, item if isinstance(item, End) else None)

    def idle(self, now_s: float) -> Release | None:
        """Close the connection once the time is over."""
        return Release(now_s + self.timeout / 1000, End.CLOSED) if self.timeout > 0 else None
