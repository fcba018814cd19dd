"""Names of the series that the observer samples: a part, a dot, and what is counted there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from chaos.model.stack import PartName, Role

SERIES: Mapping[str, tuple[str, ...]] = {
    "primary": ("clicks_waiting", "look_ups", "replication_lag_bytes", "replication_lag_s"),
    "redis": ("clicks_waiting", "commands"),
    "replica": ("look_ups", "received_bytes"),
    "standby": ("look_ups", "received_bytes", "replication_lag_bytes", "replication_lag_s"),
    "web": (
        *("cache_failures", "clicks_dropped", "clicks_waiting", "in_flight", "look_ups"),
        *("look_ups_in_flight", "redirects", "requests", "writes_read_back", "writes_sent_again"),
    ),
}

LAGS = ("replication_lag_bytes", "replication_lag_s")
# What a replica has received may begin anew, a little earlier, when it follows another primary.
GAUGES = frozenset(("clicks_waiting", "in_flight", "look_ups_in_flight", "received_bytes", *LAGS))


def is_gauge(name: str) -> bool:
    """True for a level, which may fall; a counter only rises."""
    return name.rpartition(".")[2] in GAUGES


def names() -> Iterator[str]:
    """The name of each series of each kind of part."""
    yield from (f"{kind}.{what}" for kind, counted in SERIES.items() for what in counted)


def matches(sampled: str, name: str) -> bool:
    """True if a series of a part belongs to what an experiment names.

    `web.look_ups` names those of web-1, web-2, …, and `look_ups` those of every part.
    """
    part, _, what = sampled.partition(".")
    kind, dot, wanted = name.partition(".")
    if not dot:
        return what == name
    return what == wanted and kind in (part, part.partition("-")[0])


def exists(name: str) -> bool:
    """True if a series goes by that name, `web-1.look_ups` included."""
    is_part = name.partition(".")[0] in (*get_args(PartName), *get_args(Role))
    return any(matches(known, name) or (is_part and matches(name, known)) for known in names())
