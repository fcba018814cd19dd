"""Strategies for filling a cache miss, one a module with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stack.shortener.redirect.fills.base import Fill, FillContext
from stack.shortener.redirect.fills.direct import DirectFill
from stack.shortener.redirect.fills.lease import LeaseFill
from stack.shortener.redirect.fills.lock import LockFill
from stack.shortener.redirect.fills.singleflight import SingleFlightFill
from stack.shortener.redirect.fills.swr import StaleWhileRevalidateFill
from stack.shortener.redirect.fills.xfetch import XFetchFill
from stack.shortener.settings import FillName

__all__ = ["FILLS", "Fill", "FillContext"]

FILLS: Mapping[FillName, Callable[[FillContext], Fill]] = {
    "direct": DirectFill,
    "singleflight": SingleFlightFill,
    "lock": LockFill,
    "lease": LeaseFill,
    "xfetch": XFetchFill,
    "swr": StaleWhileRevalidateFill,
}
