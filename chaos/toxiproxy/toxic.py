"""What a toxic is: a rule for when each piece of a stream may leave, and in what form."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, NamedTuple


class End(Enum):
    """The end of a stream; it travels behind the data, so it never overtakes any."""

    CLOSED = "close the receiving socket"


END = End.CLOSED


class Chunk(NamedTuple):
    """What one read from the sender gave, or a part of that; toxics reckon from its stamp."""

    data: bytes
    stamp_s: float


Item = Chunk | End


class Release(NamedTuple):
    """What becomes of the first item in line: at `at_s`, `item` leaves and `rest` stays first."""

    at_s: float
    item: Item | None  # None: dropped
    rest: Item | None = None


@dataclass
class Toxic:
    """Passes everything on at once; a kind of toxic overrides what it changes.

    Its initial fields are the attributes of the HTTP API, all whole numbers. Fields with
    `init=False` are the state of one link, since every link works on a copy of its own.
    Times are seconds on `time.monotonic()`.
    """

    room: ClassVar[int] = 1
    """How many items may wait in line: while it is full, no more is read from the sender."""

    closes_when_removed: ClassVar[bool] = False
    """Removing it ends the streams that it is on, also those that its toxicity spares."""

    resets: ClassVar[bool] = False
    """Connections that begin under it, spared or not, are closed by a TCP RST, whoever closes."""

    commits: ClassVar[bool] = False
    """Once it has decided on an item, no update and no removal changes that."""

    passes: ClassVar[bool] = True
    """Data passes at once and as it is: the kind has no `next` of its own."""

    met_s: float = field(default=-math.inf, init=False)
    """When the last release was due and noticed, which may be later than it was planned."""

    def __init_subclass__(cls) -> None:
        cls.passes = cls.next is Toxic.next

    def at_once(self, chunk: Chunk, now_s: float) -> Chunk | None:
        """The chunk as it leaves at once, with none before it; None: `next` decides.

        This is the path of most data: a kind that lets some of it pass at once should say so here.
        """
        del now_s
        return chunk if self.passes else None

    def next(self, chunk: Chunk, now_s: float) -> Release:
        """What becomes of the first chunk in line."""
        return Release(now_s, chunk)

    def end_s(self, now_s: float) -> float:
        """When the end of the stream leaves, once it is the first in line."""
        return now_s

    def idle(self, now_s: float) -> Release | None:
        """What happens, and when, if nothing more comes."""
        del now_s
        return None

    def restart(self) -> None:
        """Forget the state: the toxic, or the one behind it, was changed."""
        self.met_s = -math.inf

    @property
    def attributes(self) -> dict[str, int]:
        """The attributes as the HTTP API shows them."""
        return {name: getattr(self, name) for name in self.attribute_names()}

    def set(self, attributes: dict[str, int]) -> None:
        """Go on with these attributes."""
        for name, value in attributes.items():
            setattr(self, name, value)

    @classmethod
    def attribute_names(cls) -> list[str]:
        """The attributes that this kind of toxic has."""
        return [each.name for each in fields(cls) if each.init]


KINDS: dict[str, type[Toxic]] = {"noop": Toxic}


def register(kind: str) -> Callable[[type[Toxic]], type[Toxic]]:
    """Make a toxic known to the HTTP API as `kind`."""

    def remember(toxic: type[Toxic]) -> type[Toxic]:
        KINDS[kind] = toxic
        return toxic

    return remember


@dataclass(eq=False)
class ToxicWrapper:
    """A toxic as it was put on a proxy: on which stream, and on what share of its links."""

    name: str
    kind: str
    stream: str
    toxic: Toxic
    toxicity: float = 1.0
    direction: str = field(init=False)

    def __post_init__(self) -> None:
        self.direction = self.stream.lower()

    def draw(self) -> bool:
        """Whether the toxic acts on a link, drawn anew with every call."""
        return random.random() < self.toxicity

    def as_json(self) -> dict[str, Any]:
        """The toxic as the HTTP API shows it."""
        return {
            "attributes": self.toxic.attributes,
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }
