"""Ways to fill a cache miss, one a module with its source; `by_name` builds the chosen one."""

from __future__ import annotations

from stack.shortener.redirect.fills.base import Fill, FillContext, FillResult
from stack.shortener.redirect.fills.direct import DirectFill
from stack.shortener.redirect.fills.lease import LeaseFill
from stack.shortener.redirect.fills.lock import LockFill
from stack.shortener.redirect.fills.singleflight import SingleFlightFill
from stack.shortener.redirect.fills.swr import StaleWhileRevalidateFill
from stack.shortener.redirect.fills.xfetch import XFetchFill
from stack.shortener.settings import FillName

__all__ = ["Fill", "FillContext", "FillResult", "by_name"]


def by_name(name: FillName, parts: FillContext) -> Fill:
    """The fill that the setting names."""
    match name:
        case "direct":
            return DirectFill(parts)
        case "singleflight":
            return SingleFlightFill(parts)
        case "lock":
            return LockFill(parts)
        case "lease":
            return LeaseFill(parts)
        case "xfetch":
            return XFetchFill(parts)
        case "swr":
            return StaleWhileRevalidateFill(parts)
