"""Versions known in groups (a link's, a session's) from moments on: look-ups without loops.

Everything is O(n log n) in time and a few columns in memory. A group is a small number from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos.model.evidence import Floats, Ints

Bools = NDArray[np.bool_]
NONE = -1


def pairs(first: Ints, second: Ints) -> Ints:
    """A number for each pair of values: equal pairs, and only those, have the same."""
    seconds, place = _numbered(second)
    return _numbered(_numbered(first)[1] * (len(seconds) + 1) + place)[1]


def _numbered(values: Ints) -> tuple[Ints, Ints]:
    """The distinct values in order, and the place of each value among them."""
    distinct, place = np.unique(values, return_inverse=True)
    return distinct, place.astype(np.int64)


def earliest(group: Ints, t_s: Floats, groups: int) -> Floats:
    """The earliest moment of each group, in seconds; inf for a group without one."""
    first_s = np.full(groups, np.inf)
    np.minimum.at(first_s, group, t_s)
    return first_s


def nth(group: Ints, t_s: Floats, of_group: Ints, number: Ints) -> Floats:
    """The `number`-th earliest moment (from 1) of each group asked for; inf if there is none."""
    order = np.lexsort((t_s, group))
    group, t_s = group[order], np.append(t_s[order], np.inf)
    first = np.searchsorted(group, of_group)
    until = np.searchsorted(group, of_group, side="right")
    there = (number >= 1) & (number <= until - first)
    return t_s[np.where(there, first + number - 1, NONE)]


@dataclass(frozen=True)
class Known:
    """Columns of one length: a version of a group was known from `t_s` on."""

    group: Ints
    version: Ints
    t_s: Floats

    def __len__(self) -> int:
        return len(self.group)

    def highest_before(self, group: Ints, before_s: Floats) -> Ints:
        """The row of the highest version known before a moment in a group, or `NONE`.

        Of rows with the same version it is the earliest.
        """
        by_version = np.lexsort((-self.t_s, self.version))
        groups = np.concatenate([group, self.group])
        scores = np.concatenate([np.full(len(group), NONE), np.argsort(by_version)])
        # At the same moment a question comes first: what was known then is not known before.
        is_known = np.arange(len(groups)) >= len(group)
        timeline = np.lexsort((is_known, np.concatenate([before_s, self.t_s]), groups))
        best = np.empty(len(groups), dtype=np.int64)
        best[timeline] = self._running_highest(groups[timeline], scores[timeline])
        found: Ints = np.append(by_version, NONE)[best[: len(group)]]
        return found

    def _running_highest(self, groups: Ints, scores: Ints) -> Ints:
        """The highest score of the group so far; the groups come one after the other."""
        floors = groups * (len(self) + 1)  # higher than all scores of the group before
        highest: Ints = np.maximum.accumulate(scores + floors) - floors
        return highest

    def first_beyond(self, group: Ints, version: Ints) -> Floats:
        """The moment from which a version higher than this was known in a group, or inf."""
        if not len(self):
            return np.full(len(group), np.inf)
        versions, place = _numbered(self.version)
        width = len(versions) + 1
        order = np.argsort(self.group * width + place)
        ordered = (self.group * width + place)[order]
        wanted = group * width + np.searchsorted(versions, version, side="right")
        at = np.searchsorted(ordered, wanted)
        there = at < np.searchsorted(ordered, (group + 1) * width)
        first_s = np.append(self._earliest_from_here(order), np.inf)
        return first_s[np.where(there, at, NONE)]

    def _earliest_from_here(self, order: Ints) -> Floats:
        """The earliest moment of each row and those after it in its group."""
        by_time = np.argsort(self.t_s)
        floors = self.group[order] * len(self)  # lower than all places of the group after
        places = (np.argsort(by_time)[order] + floors)[::-1]
        earliest_place = np.minimum.accumulate(places)[::-1] - floors
        first_s: Floats = self.t_s[by_time[earliest_place]]
        return first_s
