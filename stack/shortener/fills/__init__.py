"""Ways to fill a cache miss, one a module with its source; `by_name` builds the chosen one."""

from __future__ import annotations

from stack.shortener.fills.base import Answer, Fill, Parts
from stack.shortener.fills.direct import Direct
from stack.shortener.fills.lease import Lease
from stack.shortener.fills.lock import Lock
from stack.shortener.fills.singleflight import SingleFlight
from stack.shortener.fills.swr import StaleWhileRevalidate
from stack.shortener.fills.xfetch import XFetch
from stack.shortener.settings import FillName

__all__ = ["Answer", "Fill", "Parts", "by_name"]


def by_name(name: FillName, parts: Parts) -> Fill:
    """The fill that the setting names."""
    match name:
        case "direct":
            return Direct(parts)
        case "singleflight":
            return SingleFlight(parts)
        case "lock":
            return Lock(parts)
        case "lease":
            return Lease(parts)
        case "xfetch":
            return XFetch(parts)
        case "swr":
            return StaleWhileRevalidate(parts)
