"""Base of all toxics: a rule for when each piece of a stream is released, and in what form."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, NamedTuple


class End(Enum):
    """The end of a stream, queued behind its data."""

    CLOSED = "close the receiving socket"


END = End.CLOSED


class Chunk(NamedTuple):
    """Data of one read from the sender, or a part of it, stamped with the time of the read."""

    data: bytes
    stamp_s: float


Item = Chunk | End


class Release(NamedTuple):
    """Plan for the first item of the queue: at `at_s`, `item` leaves and `rest` stays first."""

    at_s: float
    item: Item | None  # None: dropped
    rest: Item | None = None


@dataclass
class Toxic:
    """Pass everything on at once; subclasses override.

    Its initial fields are the attributes of the HTTP API, all whole numbers. Fields with
    `init=False` are the state of one link: every link has a copy of its own.
    Times are seconds on `time.monotonic()`.
    """

    room: ClassVar[int] = 1
    """Length of the queue; while it is full, reading from the sender pauses."""

    closes_when_removed: ClassVar[bool] = False
    """Removing it ends its streams, also those that its toxicity spares."""

    resets: ClassVar[bool] = False
    """Connections opened under it, spared or not, are closed by a TCP RST from either side."""

    commits: ClassVar[bool] = False
    """A planned release is irrevocable: neither update nor removal changes it."""

    passes: ClassVar[bool] = True
    """Data passes at once, unchanged: the kind does not override `next`."""

    met_s: float = field(default=-math.inf, init=False)
    """Time at which the last release was carried out, possibly later than planned."""

    def __init_subclass__(cls) -> None:
        cls.passes = cls.next is Toxic.next

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """Return the chunk if it may leave at once, with an empty queue; None: `next` decides.

        This is the fast path of most data.
        """
        del now_s
        return chunk if self.passes else None

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """Plan the release of the first chunk."""
        return Release(now_s, chunk)

    def end_s(self, now_s: float) -> float:
        """Return the time to release the end of the stream, once it is first in the queue."""
        return now_s

    def idle(self, now_s: float) -> Release | None:
        """Plan a release for an empty queue, in case no more data comes."""
        del now_s
        return None

    def restart(self) -> None:
        """Reset the state: this toxic, or the one behind it, was changed."""
        self.met_s = -math.inf

    @property
    def attributes(self) -> dict[str, int]:
        """Attributes as the HTTP API shows them."""
        return {name: getattr(self, name) for name in self.attribute_names()}

    def set(self, attributes: dict[str, int]) -> None:
        """Change attributes."""
        for name, value in attributes.items():
            setattr(self, name, value)

    @classmethod
    def attribute_names(cls) -> list[str]:
        """Return the names of this kind's attributes."""
        return [each.name for each in fields(cls) if each.init]


KINDS: dict[str, type[Toxic]] = {"noop": Toxic}


def register(kind: str) -> Callable[[type[Toxic]], type[Toxic]]:
    """Register a toxic under `kind`."""

    def add(toxic: type[Toxic]) -> type[Toxic]:
        KINDS[kind] = toxic
        return toxic

    return add


@dataclass(eq=False)
class ToxicWrapper:
    """A toxic as added to a proxy: its name, stream, and toxicity (share of links affected)."""

    name: str
    kind: str
    stream: str
    toxic: Toxic
    toxicity: float = 1.0
    direction: str = field(init=False)

    def __post_init__(self) -> None:
        self.direction = self.stream.lower()

    def draw(self) -> bool:
        """Draw by toxicity: True if the toxic acts on a link."""
        return random.random() < self.toxicity

    def as_json(self) -> dict[str, Any]:
        """Return the toxic as the HTTP API shows it."""
        return {
            "attributes": self.toxic.attributes,
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }
