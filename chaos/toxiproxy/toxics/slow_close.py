"""slow_close: a connection closes late."""

from dataclasses import dataclass

from chaos.toxiproxy.go_json import MILLISECOND_NS, seconds
from chaos.toxiproxy.toxic import Toxic, register


@register("slow_close")
@dataclass
class SlowClose(Toxic):
    """Delay the end of a stream by `delay` milliseconds; data passes at once."""

    delay: int = 0

    def end_s(self, now_s: float) -> float:
        """Return the time after the delay."""
        return now_s + seconds(self.delay, MILLISECOND_NS)
