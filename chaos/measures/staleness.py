"""Measures of what readers saw against what had been written: absent, stale and visible links."""

from __future__ import annotations

import numpy as np

from chaos.measures import within
from chaos.measures.estimates import mean_of_shares, total, worst
from chaos.measures.histories import RedirectWindow, redirect_window, session_order, visibility
from chaos.measures.selections import When, whole
from chaos.model.evidence import Floats, Segment
from chaos.model.experiment import Measure

NO_READ = "no read was answered then"
NO_OWN_READ = "no session read what it had written, so soon after it"


def _window(segment: Segment, when: When) -> RedirectWindow:
    """The answered follows that were due in the spans."""
    window = redirect_window(segment.requests, segment.shared_links)
    return window.only(when.holds(segment, segment.requests.intended_s[window.row]))


def false_absent(when: When = whole) -> Measure:
    """Reads that found no link although its creation had been acknowledged before."""

    def of(segment: Segment) -> Floats:
        window = _window(segment, when)
        return np.array([window.false_absent.sum() if len(window.row) else np.nan], dtype=float)

    return Measure(f"false_404{when.name}", "reads", f"false 404s{when.title}", of, total, NO_READ)


def stale(when: When = whole) -> Measure:
    """Reads that saw an older version than one acknowledged before them, or none at all."""

    def of(segment: Segment) -> Floats:
        window = _window(segment, when)
        return np.array([window.stale.sum() if len(window.row) else np.nan], dtype=float)

    return Measure(f"stale{when.name}", "reads", f"stale reads{when.title}", of, total, NO_READ)


def stale_share(when: When = whole) -> Measure:
    """The share of reads that saw an older version than one acknowledged before, or none at all."""

    def old(segment: Segment) -> within.Mask:
        return _window(segment, when).stale

    def of(segment: Segment) -> Floats:
        found = old(segment)
        return np.array([100 * found.mean() if len(found) else np.nan])

    name, title, inside = f"stale_share{when.name}", f"stale{when.title}", within.per_cent(old)
    return Measure(name, "%", title, of, mean_of_shares, NO_READ, within=inside)


def impossible(when: When = whole) -> Measure:
    """Reads of a version that nobody had begun to write."""

    def of(segment: Segment) -> Floats:
        window = _window(segment, when)
        return np.array([window.impossible.sum() if len(window.row) else np.nan], dtype=float)

    return Measure(f"impossible{when.name}", "reads", "impossible reads", of, total, NO_READ)


def staleness(when: When = whole) -> Measure:
    """The longest time for which a version had been replaced when a reader still saw it."""

    def of(segment: Segment) -> Floats:
        window = _window(segment, when)
        known = window.staleness_s[np.isfinite(window.staleness_s)]
        return np.array([1000 * known.max() if len(known) else np.nan])

    return Measure(f"staleness_ms{when.name}", "ms", f"most stale{when.title}", of, worst, NO_READ)


def visible(at_ms: float, when: When = whole, *, within_ms: float = 50.0) -> Measure:
    """The share of a session's reads that saw its own write, `at_ms` after the acknowledgement.

    Reads up to `within_ms` later count, too (t-visibility, Bailis et al., PVLDB 5(8), 2012).
    """

    def saw(segment: Segment) -> within.Mask:
        seen = visibility(segment.requests)
        since_ms = seen.t_s * 1000
        chosen = when.holds(segment, segment.requests.intended_s[seen.row])
        return seen.fresh[chosen & (since_ms >= at_ms) & (since_ms < at_ms + within_ms)]

    def of(segment: Segment) -> Floats:
        fresh = saw(segment)
        return np.array([100 * fresh.mean() if len(fresh) else np.nan])

    name, inside = f"visible_{at_ms:g}_ms{when.name}", within.per_cent(saw)
    title = f"sees its own write after {at_ms:g} ms{when.title}"
    return Measure(name, "%", title, of, mean_of_shares, NO_OWN_READ, within=inside)


def unread_writes() -> Measure:
    """Reads that did not see what their own session had written (read your writes)."""

    def of(segment: Segment) -> Floats:
        order = session_order(segment.requests)
        return np.array([order.forgets.sum() if len(order.row) else np.nan], dtype=float)

    return Measure("unread_writes", "reads", "own writes unseen", of, total, NO_READ)


def reads_going_back() -> Measure:
    """Reads that saw an older version than their session had read before (monotonic reads)."""

    def of(segment: Segment) -> Floats:
        order = session_order(segment.requests)
        return np.array([order.goes_back.sum() if len(order.row) else np.nan], dtype=float)

    return Measure("reads_going_back", "reads", "reads going back", of, total, NO_READ)
