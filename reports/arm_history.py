"""The history of one arm over its own time: columns of points, bins and levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from chaos.model.experiment import Strip
from chaos.record.reader import Event
from reports.arm_time import ArmSpan, act_spans, on_arm_time, pitch_s, round_span
from reports.sampled_series import Readings, levels
from reports.server_roles import RoleSpan, role_spans

Columns = dict[str, Any]
Rank = int | None  # of one link, or None for all


@dataclass(frozen=True)
class Bins:
    """Bin lengths of each line, in seconds: as short as the length of the run allows."""

    rate_s: float = 0.1
    percentile_s: float = 0.25  # and of sampled series
    look_ups_s: float = 0.05


@dataclass(frozen=True)
class ArmHistory:
    """The history of one arm: columns of points and bins over its time, by column name.

    What belongs to one link or to all is by rank; `samples` is by series, as counted or as a rate.
    """

    rounds: Sequence[ArmSpan]
    acts: Sequence[ArmSpan]
    events_s: Sequence[float]
    offered: Columns  # x, end, rate
    achieved: Columns  # x, end, rate
    points: Mapping[Rank, Columns]  # x, latency, age, outcome, status, what
    percentiles: Mapping[Rank, Columns]  # x, end, p50, p99
    look_ups: Mapping[Rank, Columns]  # x, until, look_ups
    samples: Mapping[tuple[str, bool], Columns]  # x, end, level
    roles: Sequence[RoleSpan]
    writes: Columns  # x, until, lost, acknowledged


def ranks(strips: Sequence[Strip], source: str) -> list[Rank]:
    """The links that strips of a source show, each once."""
    return [*dict.fromkeys(strip.rank for strip in strips if strip.source == source)]


OF_LINK = "link IS NOT DISTINCT FROM $rank"


@dataclass(frozen=True)
class ArmTables:
    """The tables of a run that hold what is drawn of its arms."""

    db: duckdb.DuckDBPyConnection
    segments: Sequence[Event]
    bins: Bins

    def history(
        self,
        arm: str,
        events_s: Sequence[float],
        strips: Sequence[Strip],
        series: Mapping[str, Sequence[Readings]],
    ) -> ArmHistory:
        """The history of one arm: what all strips show, and its rates."""
        apart_s, length_s = pitch_s(self.segments), self.bins.percentile_s
        own = [segment for segment in self.segments if segment["arm"] == arm]
        rounds = [round_span(segment, apart_s) for segment in own]
        requests, look_ups = ranks(strips, "requests"), ranks(strips, "look-ups")
        levels_of = {
            (s.value, s.per_s): levels(series[s.value], own, apart_s, length_s, per_s=s.per_s)
            for s in strips
            if s.source == "samples"
        }
        return ArmHistory(
            rounds=rounds,
            acts=list(act_spans(own, apart_s)),
            events_s=list(on_arm_time(events_s, own, apart_s)),
            offered=self._rates("offered", arm, rounds),
            achieved=self._rates("achieved", arm, rounds),
            points={rank: self._points(arm, rank) for rank in requests},
            percentiles={rank: self._percentiles(arm, rank, rounds) for rank in requests},
            look_ups={rank: self._look_ups(arm, rank) for rank in look_ups},
            samples={of: _on_grid(c, rounds, length_s, math.nan) for of, c in levels_of.items()},
            roles=role_spans(own, apart_s),
            writes=_compact(self._rows("x, until, lost, acknowledged FROM writes", arm)),
        )

    def _rates(self, table: str, arm: str, rounds: Sequence[ArmSpan]) -> Columns:
        rows = self._rows(f"began, bin, rate FROM {table}", arm)
        return _on_grid(rows, rounds, self.bins.rate_s, 0.0)

    def _points(self, arm: str, rank: Rank) -> Columns:
        columns = "x, latency, age, outcome, status, what FROM points"
        return _compact(self._rows(columns, arm, OF_LINK, rank=rank))

    def _percentiles(self, arm: str, rank: Rank, rounds: Sequence[ArmSpan]) -> Columns:
        columns = "began, bin, p[1] AS p50, p[2] AS p99 FROM percentiles"
        rows = self._rows(columns, arm, OF_LINK, rank=rank)
        return _on_grid(rows, rounds, self.bins.percentile_s, math.nan)

    def _look_ups(self, arm: str, rank: Rank) -> Columns:
        return _compact(self._rows("x, until, look_ups FROM look_ups", arm, OF_LINK, rank=rank))

    def _rows(self, columns: str, arm: str, which: str = "true", **rank: Rank) -> Columns:
        sql = f"SELECT {columns} WHERE arm = $arm AND {which} ORDER BY ALL"
        found: Columns = self.db.execute(sql, {"arm": arm, **rank}).fetchnumpy()
        return found


def _compact(columns: Columns) -> Columns:
    """Store numbers in 32 bits, which is finer than a screen; "" for a missing text."""
    return {
        name: np.ma.filled(column.astype(np.float32), np.nan)
        if column.dtype.kind in "fiu"
        else [text or "" for text in np.ma.filled(column, "")]
        for name, column in columns.items()
    }


def _on_grid(
    columns: Mapping[str, Any], rounds: Sequence[ArmSpan], bin_s: float, empty: float
) -> Columns:
    """Every bin of every round, `empty` where it has no data, with a break between rounds."""
    names = [name for name in columns if name not in ("began", "bin")]
    began, places = columns["began"], columns["bin"].astype(int)
    parts: list[Any] = []
    for span in rounds:
        count = math.ceil((span.to_s - span.from_s) / bin_s - 1e-6)
        part = np.full((count + 1, 2 + len(names)), empty, dtype=np.float32)
        edges = np.minimum(span.from_s + np.arange(count + 2) * bin_s, span.to_s)
        part[:, 0], part[:, 1] = edges[:-1], edges[1:]
        part[-1, 2:] = math.nan
        own = slice(*np.searchsorted(began, [span.from_s - 1e-6, span.from_s + 1e-6]))
        inside = places[own] < count
        for column, name in enumerate(names, start=2):
            part[places[own][inside], column] = columns[name][own][inside]
        parts.append(part)
    table = np.concatenate(parts) if parts else np.zeros((0, 2 + len(names)), dtype=np.float32)
    return {name: table[:, place] for place, name in enumerate(("x", "end", *names))}
