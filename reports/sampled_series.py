"""Sampled counters and gauges over an arm's time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from chaos.record.reader import Event

GAP_S = 1.0  # a part that says nothing for longer is not drawn

Floats = NDArray[np.float64]
Readings = tuple[Floats, Floats]
SAMPLES = "SELECT t_s, value FROM {} WHERE name = $name ORDER BY t_s"


def readings(db: duckdb.DuckDBPyConnection, source: str, name: str) -> Sequence[Readings]:
    """Times and values of each part that a series adds up.

    `web.look_ups` adds up those of web-1, web-2, …, and `clicks_waiting` those of every part.
    """
    names = db.execute(f"SELECT DISTINCT name FROM {source} ORDER BY 1").fetchall()
    parts = [sampled for (sampled,) in names if _matches(sampled, name)]
    columns = [db.execute(SAMPLES.format(source), {"name": part}).fetchnumpy() for part in parts]
    return [(part["t_s"], part["value"]) for part in columns]


def _matches(sampled: str, name: str) -> bool:
    part, _, what = sampled.partition(".")
    kind, dot, wanted = name.partition(".")
    return what == name if not dot else what == wanted and kind in (part, part.partition("-")[0])


def levels(
    parts: Sequence[Readings], rounds: Sequence[Event], apart_s: float, bin_s: float, *, per_s: bool
) -> Mapping[str, Any]:
    """The series in bins as `began`, `bin` and `level`: its largest value, or how fast it rose."""
    began, places, level = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for segment in rounds if parts else ():
        from_s, to_s = segment["started_s"], segment["ended_s"]
        count = math.ceil((to_s - from_s) / bin_s - 1e-6)
        edges = np.minimum(from_s + np.arange(count + 1) * bin_s, to_s)
        own = [_within(part, segment["from_s"], segment["to_s"]) for part in parts]
        level.append(_rise_per_s(own, edges) if per_s else _largest(*_together(own), edges))
        began.append(np.full(count, segment["round"] * apart_s))
        places.append(np.arange(count))
    columns = {"began": began, "bin": places, "level": level}
    return {name: np.concatenate(column) for name, column in columns.items()}


def _within(part: Readings, from_s: float, to_s: float) -> Readings:
    inside = slice(*np.searchsorted(part[0], [from_s, to_s]))
    return part[0][inside], part[1][inside]


def _together(parts: Sequence[Readings]) -> Readings:
    """The sum of all parts from when each was read; a value holds until the next of its part."""
    if not all(len(t_s) for t_s, _ in parts):
        return np.zeros(0), np.zeros(0)
    times = np.unique(np.concatenate([t_s for t_s, _ in parts]))
    times = times[times >= max(t_s[0] for t_s, _ in parts)]
    held = [values[np.searchsorted(t_s, times, side="right") - 1] for t_s, values in parts]
    return times, np.sum(held, axis=0)


def _largest(t_s: Floats, values: Floats, edges: Floats) -> Floats:
    """The largest reading of each bin; without one, the last before it unless that is too old."""
    if not len(t_s):
        return np.full(len(edges) - 1, np.nan)
    first, last = np.searchsorted(t_s, edges[:-1]), np.searchsorted(t_s, edges[1:])
    peaks = np.fmax.reduceat(np.append(values, np.nan), np.append(first, last[-1]))[:-1]
    recent = (first > 0) & (edges[:-1] - t_s[first - 1] <= GAP_S)
    held = np.where(recent, values[first - 1], np.nan)
    return np.where(last > first, peaks, held)


def _rise_per_s(parts: Sequence[Readings], edges: Floats) -> Floats:
    """The rise of all parts over each bin, between readings in proportion."""
    total = np.zeros(len(edges) - 1)
    for t_s, values in parts:
        total += np.diff(_at(edges, t_s, values)) / np.diff(edges)
    return np.where(total >= 0, total, np.nan)


def _at(edges: Floats, t_s: Floats, values: Floats) -> Floats:
    """A part's count at each edge; NaN outside its readings, over a gap or a fresh start."""
    if len(t_s) < 2:
        return np.full(len(edges), np.nan)
    after = np.clip(np.searchsorted(t_s, edges), 1, len(t_s) - 1)
    unknown = (np.diff(t_s) > GAP_S) | (np.diff(values) < 0)
    counts = np.interp(edges, t_s, values, left=np.nan, right=np.nan)
    return np.where(unknown[after - 1], np.nan, counts)
