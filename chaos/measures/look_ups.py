"""Measures of the databases that look-ups go to."""

from __future__ import annotations

from typing import Literal

import numpy as np

from chaos.measures import within
from chaos.measures.estimates import mean_of_durations, mean_of_shares
from chaos.measures.selections import When, healed_s, whole
from chaos.model.evidence import Floats, Segment
from chaos.model.experiment import Measure

Db = Literal["primary", "replica"]
NO_LOOK_UP = "no database was asked for a link then"
NONE_SINCE = "no act was undone, or no database was asked for a link after it"
RESOLUTION_S = 0.05


def share_on(db: Db, when: When = whole) -> Measure:
    """The share of look-ups that one database bears, of those asked then."""

    def own(segment: Segment) -> within.Mask:
        chosen: within.Mask = segment.look_ups.db == db
        return chosen[when.holds(segment, segment.look_ups.asked_s)]

    def of(segment: Segment) -> Floats:
        borne = own(segment)
        return np.array([100 * borne.mean() if len(borne) else np.nan])

    name, title, inside = f"{db}_share{when.name}", f"on the {db}{when.title}", within.per_cent(own)
    return Measure(name, "%", title, of, mean_of_shares, NO_LOOK_UP, within=inside)


def trusted(db: Db, *, share: float = 0.9) -> Measure:
    """Seconds from the heal until this share of look-ups goes to a database, to the segment's end.

    To its first look-up since when they do. Censored if they never do.
    """

    def of(segment: Segment) -> Floats:
        asked_s, dbs = segment.look_ups.asked_s, segment.look_ups.db
        order = np.argsort(asked_s, kind="stable")
        order = order[(asked_s[order] >= healed_s(segment)) & (asked_s[order] < segment.ended_s)]
        if not segment.acts or not len(order):
            return np.array([np.nan])
        own = dbs[order] == db
        since = np.cumsum(own[::-1])[::-1] / np.arange(len(own), 0, -1)
        steady = np.flatnonzero(own & (since >= share))
        if not len(steady):
            return np.array([np.inf])
        return np.array([asked_s[order[steady[0]]] - healed_s(segment)])

    return Measure(
        *(f"{db}_trusted_s", "s", f"{db} trusted again", of),
        *(mean_of_durations(RESOLUTION_S), NONE_SINCE),
        lambda segment: segment.ended_s - healed_s(segment),
    )
