"""limit_data: the connection closes once a number of bytes has passed."""

from dataclasses import dataclass, field

from chaos.toxiproxy.go_json import wrapped
from chaos.toxiproxy.toxic import END, Chunk, Release, Toxic, register


@register("limit_data")
@dataclass
class LimitData(Toxic):
    """Pass `bytes` bytes of each connection, then end the stream.

    The count survives a change of the limit; a limit already exceeded ends the stream at the next
    data.
    """

    bytes: int = 0
    passed_bytes: int = field(default=0, init=False)

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Pass data below the limit."""
        del now_s
        size = len(chunk.data)
        if size >= self._left_bytes():
            return None
        self.passed_bytes += size
        return chunk

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Cut data off at the limit."""
        piece = chunk.data[: max(0, self._left_bytes())]
        self.passed_bytes += len(piece)
        end = END if self._left_bytes() <= 0 else None
        return Release(now_s, Chunk(piece, chunk.stamp_s), end) if piece else Release(now_s, END)

    def _left_bytes(self) -> int:
        return wrapped(self.bytes - self.passed_bytes)
