"""What a toxic is: a rule for when each piece of a stream may leave, and in what form."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, ClassVar


class End(Enum):
    """How a stream ends; it travels behind the data, so it never overtakes any."""

    FINISHED = "the sender is done: pass the half-close on"
    CLOSED = "close the connection, both ways"
    RESET = "tear the connection down with a TCP RST, both ways"


Item = bytes | End
ONE_CHUNK_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Release:
    """What becomes of the first item in line: at `at_s`, `item` leaves and `rest` stays first."""

    at_s: float
    item: Item | None  # None: dropped
    rest: bytes = b""


@dataclass
class Toxic:
    """Passes everything on at once; a kind of toxic overrides what it changes.

    Its initial fields are the attributes of the HTTP API, all whole numbers. Fields with
    `init=False` are the state of one link, since every link works on a copy of its own.
    Times are seconds on `time.monotonic()`.
    """

    room_bytes: ClassVar[int] = ONE_CHUNK_BYTES
    """A link reads on while the toxic holds less than this."""

    when_removed: ClassVar[End | None] = None
    """How removing the toxic ends a stream that it was on."""

    def next(self, item: Item, arrived_s: float, now_s: float) -> Release:
        """What becomes of the first item in line, which came to the toxic at `arrived_s`."""
        del arrived_s
        return Release(now_s, item)

    def idle(self, now_s: float) -> Release | None:
        """What happens, and when, if nothing more comes."""
        del now_s
        return None

    @property
    def attributes(self) -> dict[str, int]:
        """The attributes as the HTTP API shows them."""
        return {name: getattr(self, name) for name in self.attribute_names()}

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


@dataclass
class Dose:
    """A toxic as it was put on a proxy: on which stream, and on what share of its links."""

    name: str
    kind: str
    stream: str
    toxic: Toxic
    toxicity: float = 1.0
    direction: str = field(init=False)

    def __post_init__(self) -> None:
        self.direction = self.stream.lower()

    def draw(self) -> Toxic:
        """The toxic for one link, or one without effect for a link that is spared."""
        return replace(self.toxic) if random.random() < self.toxicity else Toxic()

    def as_json(self) -> dict[str, Any]:
        """The toxic as the HTTP API shows it."""
        return {
            "attributes": self.toxic.attributes,
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }
