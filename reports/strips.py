"""The kinds of timeline, and what each one draws of one arm into its strip.

Nothing here has a colour: a model's tags name the page's colour of each property (see `plots`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d

from reports.history import ORIGIN_BIN_S, ArmHistory, Columns

FONT = {"text_font": {"value": "system-ui, sans-serif"}, "text_font_size": "11px"}
POINT_TIP = "@latency{0.0} ms · @served · @age{0.000} s old · due at @x{0.000} s"
FAILED_TIP = "@outcome · status @status · @latency{0.0} ms · due at @x{0.000} s"
Figure = Any


@dataclass(frozen=True)
class Points:
    """Requests as sources that several strips share: those that succeeded, and the others."""

    ok: ColumnDataSource
    failed: ColumnDataSource


@dataclass(frozen=True)
class Strip:
    """What a drawing function needs: the figure, the arm's history and its colour."""

    plot: Figure
    history: ArmHistory
    points: Points
    colour: str
    first: bool


@dataclass(frozen=True)
class Kind:
    """One kind of timeline: its heading, what its lines are, its axis of y and how to draw it."""

    key: str
    title: str
    lines: str
    y_range: Range1d
    y_axis: Literal["linear", "log"]
    ticks: Sequence[float]
    tick_format: str
    draw: Callable[[Strip], None]


def sources_of(own: ArmHistory) -> Points:
    """The arm's requests; texts that no tooltip shows are left out."""
    ok = np.array(own.points["outcome"], dtype=str) == "ok"
    fine, failed = ("x", "latency", "age", "served"), ("x", "latency", "outcome", "status")
    return Points(_chosen(own.points, fine, ok), _chosen(own.points, failed, ~ok))


def _chosen(points: Columns, names: Sequence[str], which: Any) -> ColumnDataSource:
    def pick(column: Any) -> Any:
        if isinstance(column, list):
            return [value for value, chosen in zip(column, which, strict=True) if chosen]
        return column[which]

    return ColumnDataSource({name: pick(points[name]) for name in names})


# --- kinds and their axes ----------------------------------------------------------------------


def all_kinds(arms: Sequence[ArmHistory]) -> list[Kind]:
    """Rate, latency, origin queries and age, each with one range of y for all arms."""
    rate = _top([own.offered["rate"] for own in arms] + [own.achieved["rate"] for own in arms])
    queries = _top([own.origin["queries"] for own in arms])
    age = _top([own.points["age"] for own in arms])
    low, high = _decades([own.points["latency"] for own in arms])
    latencies = Range1d(start=low * 0.7, end=high)
    return [
        Kind("rate", "Rate", "all requests, per 100 ms",
             Range1d(start=0, end=rate), "linear", _even(rate), "%d/s", _draw_rate),
        Kind("latency", "Latency", "every request for the hot key; log scale",
             latencies, "log", _powers(low, high), "%g ms", _draw_latency),
        Kind("origin", "Origin queries", "look-ups of the hot key in a database, per 50 ms",
             Range1d(start=0, end=queries), "linear", _even(queries), "%g", _draw_origin),
        Kind("age", "Age of what was served", "every answer for the hot key",
             Range1d(start=0, end=age), "linear", _even(age), "%g s", _draw_age),
    ]  # fmt: skip


def _top(columns: Sequence[Any]) -> float:
    """A little above the largest of all finite values."""
    values = np.concatenate([np.asarray(column, dtype=float) for column in columns])
    values = values[np.isfinite(values)]
    return 1.15 * float(values.max()) if len(values) and values.max() > 0 else 1.0


def _decades(columns: Sequence[Any]) -> tuple[float, float]:
    """Powers of ten around all values."""
    values = np.concatenate(columns)
    values = values[values > 0]
    if not len(values):
        return 1.0, 10.0
    low = math.floor(math.log10(float(values.min())))
    high = math.ceil(math.log10(float(values.max()) * 1.05))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _powers(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def _even(top: float) -> list[float]:
    """Zero, and one or two round values below the top."""
    power = 10 ** math.floor(math.log10(top))
    step = next(s * power for s in (5, 2, 1, 0.5) if s * power <= 0.9 * top)
    return [0.0, step, *([2 * step] if 2 * step <= 0.9 * top else [])]


# --- drawing -----------------------------------------------------------------------------------


def _backdrop(strip: Strip) -> None:
    """Fault windows shaded, expiries dotted."""
    plot, own = strip.plot, strip.history
    shade = plot.vstrip(
        x0=[span.from_s for span in own.faults],
        x1=[span.to_s for span in own.faults],
        line_color=None,
        fill_alpha=0.07,
        level="underlay",
    )
    shade.glyph.tags = [{"fill_color": "shade"}]
    marks = plot.vspan(x=list(own.expiries_s), line_dash=[1, 3], level="underlay")
    marks.glyph.tags = [{"line_color": "soft"}]


def _line(strip: Strip, columns: Columns, name: str, colour: str, **look: Any) -> Figure:
    source = ColumnDataSource({"x": columns["x"], name: columns[name]})
    line = strip.plot.line("x", name, source=source, **look)
    line.glyph.tags = [{"line_color": colour}]
    return line


def _label(strip: Strip, columns: Columns, name: str, text: str, colour: str, offset: int) -> None:
    """A word at the beginning of its line, in the first strip only."""
    known = np.flatnonzero(np.isfinite(columns[name]))
    if not strip.first or not len(known):
        return
    at = known[:1]
    label = strip.plot.text(
        x=columns["x"][at],
        y=columns[name][at],
        text=[text],
        y_offset=offset,
        text_baseline="middle",
        **FONT,
    )
    label.glyph.tags = [{"text_color": colour}]


def _draw_rate(strip: Strip) -> None:
    _backdrop(strip)
    offered, achieved = strip.history.offered, strip.history.achieved
    _line(strip, offered, "rate", "soft", line_width=4, line_alpha=0.4)
    line = _line(strip, achieved, "rate", strip.colour, line_width=1.4)
    _label(strip, offered, "rate", "offered", "soft", -12)
    _label(strip, achieved, "rate", "achieved", strip.colour, 12)
    tip = "@rate{0,0}/s achieved at @x{0.00} s"
    strip.plot.add_tools(HoverTool(renderers=[line], mode="vline", tooltips=tip))


def _draw_latency(strip: Strip) -> None:
    _backdrop(strip)
    _draw_points(strip, "latency")
    percentiles = strip.history.percentiles
    for name in ("p99", "p50"):
        _line(strip, percentiles, name, "ink", line_width=1.2, line_alpha=0.8)
        _label(strip, percentiles, name, name, "ink", -9)


def _draw_age(strip: Strip) -> None:
    _backdrop(strip)
    _draw_points(strip, "age")


def _draw_points(strip: Strip, name: str) -> None:
    """Every request a dot; a cross where it did not succeed."""
    dots = strip.plot.scatter(
        "x", name, source=strip.points.ok, size=3.5, line_color=None, fill_alpha=0.55
    )
    dots.glyph.tags = [{"fill_color": strip.colour}]
    _tip(strip, dots, POINT_TIP)
    if name in strip.points.failed.data and len(strip.points.failed.data["x"]):
        crosses = strip.plot.scatter("x", name, source=strip.points.failed, size=8, marker="x")
        crosses.glyph.tags = [{"line_color": "ink"}]
        _tip(strip, crosses, FAILED_TIP)


def _tip(strip: Strip, points: Figure, text: str) -> None:
    strip.plot.add_tools(HoverTool(renderers=[points], tooltips=text, limit=1))


def _draw_origin(strip: Strip) -> None:
    _backdrop(strip)
    origin = strip.history.origin
    right = origin["x"] + np.float32(ORIGIN_BIN_S)
    source = ColumnDataSource({**origin, "right": right})
    bars = strip.plot.quad(
        left="x", right="right", bottom=0, top="queries", source=source, line_color=None
    )
    bars.glyph.tags = [{"fill_color": strip.colour}]
    tip = "@queries{0} queries in 50 ms from @x{0.00} s on"
    strip.plot.add_tools(HoverTool(renderers=[bars], mode="vline", tooltips=tip))
