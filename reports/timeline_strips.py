"""The kinds of timeline, and the drawing of one arm into its strip.

No colours are set here: a model's tags name the page's colour of each property (see `timelines`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from bokeh.models import (
    AllIndices,
    AllLabels,
    CDSView,
    ColumnDataSource,
    HoverTool,
    Line,
    Plot,
    Quad,
    Range1d,
    Scatter,
    Selection,
    Text,
    UnionRenderers,
    VSpan,
    VStrip,
    scales,
)
from bokeh.models.glyph import Glyph
from bokeh.models.renderers import GlyphRenderer

from reports import formatting
from reports.log_scale import LogScale, around
from reports.run_history import OPENING_S, ArmHistory, Bins, Columns, RunHistory

FONT: dict[str, Any] = {"text_font": {"value": "system-ui, sans-serif"}, "text_font_size": "11px"}
POINT_TIP = "@latency{0.0} ms · @served · @age{0.000} s old · due at @x{0.000} s"
FAILED_TIP = "@outcome · status @status · @latency{0.0} ms · due at @x{0.000} s"
MARKS_MAX = 40


@dataclass(frozen=True)
class Common:
    """Models that all figures of a page share; each takes a millisecond to create."""

    linear: scales.LinearScale = field(default_factory=scales.LinearScale)
    log: scales.LogScale = field(default_factory=scales.LogScale)
    labels: AllLabels = field(default_factory=AllLabels)
    all_rows: AllIndices = field(default_factory=AllIndices)
    selected: Selection = field(default_factory=Selection)
    policy: UnionRenderers = field(default_factory=UnionRenderers)

    def source(self, columns: Columns) -> ColumnDataSource:
        """A data source without a selection of its own."""
        return ColumnDataSource(columns, selected=self.selected, selection_policy=self.policy)

    def draw(
        self,
        plot: Plot,
        glyph: Glyph,
        source: ColumnDataSource,
        level: Literal["underlay", "glyph"] = "glyph",
    ) -> GlyphRenderer[Glyph]:
        """Draw a source with a glyph."""
        view = CDSView(filter=self.all_rows)
        drawn = GlyphRenderer(data_source=source, glyph=glyph, view=view, level=level)
        plot.renderers.append(drawn)
        return drawn


@dataclass(frozen=True)
class Sources:
    """Data that an arm's strips share: faults, expiries, and requests by outcome."""

    faults: ColumnDataSource
    expiries: ColumnDataSource
    ok: ColumnDataSource
    failed: ColumnDataSource


@dataclass(frozen=True)
class Strip:
    """The arguments of a drawing function: the figure, the arm's history and its colour."""

    plot: Plot
    history: ArmHistory
    bins: Bins
    common: Common
    sources: Sources
    colour: str
    first: bool

    def draw(self, glyph: Glyph, source: ColumnDataSource | Columns) -> GlyphRenderer[Glyph]:
        """Draw columns with a glyph."""
        source = source if isinstance(source, ColumnDataSource) else self.common.source(source)
        return self.common.draw(self.plot, glyph, source)


@dataclass(frozen=True)
class TimelineKind:
    """One kind of timeline: heading, meaning of its lines, y axis and drawing function."""

    key: str
    title: str
    lines: str
    y_range: Range1d
    y_axis: Literal["linear", "log"]
    ticks: Sequence[float]
    tick_format: str
    draw: Callable[[Strip], None]


def sources_of(own: ArmHistory, until_s: float, common: Common) -> Sources:
    """Sources of an arm: expiries before `until_s`, and the columns that the tooltips show."""
    ok = np.array(own.points["outcome"], dtype=str) == "ok"
    fine, failed = ("x", "latency", "age", "served"), ("x", "latency", "outcome", "status")
    from_s, to_s = ([getattr(span, end) for span in own.faults] for end in ("from_s", "to_s"))
    marked = [x for x in own.expiries_s if x < until_s]
    return Sources(
        faults=common.source({"x0": _compact(from_s), "x1": _compact(to_s)}),
        expiries=common.source({"x": _compact(marked)}),
        ok=common.source(_chosen(own.points, fine, ok)),
        failed=common.source(_chosen(own.points, failed, ~ok)),
    )


def _chosen(points: Columns, names: Sequence[str], which: Any) -> Columns:
    def pick(column: Any) -> Any:
        if isinstance(column, list):
            return [value for value, chosen in zip(column, which, strict=True) if chosen]
        return column[which]

    return {name: pick(points[name]) for name in names}


# --- kinds and their axes ----------------------------------------------------------------------


def timeline_kinds(history: RunHistory) -> list[TimelineKind]:
    """Rate, latency, origin queries and age, each with one y range for all arms."""
    arms, bins = list(history.arms.values()), history.bins
    rate = _top([own.offered["rate"] for own in arms] + [own.achieved["rate"] for own in arms])
    queries = _top([own.origin["queries"] for own in arms])
    age = _top([own.points["age"] for own in arms])
    look_ups = f"look-ups of the hot key in a database, per {formatting.duration(bins.origin_s)}"
    latencies = around([v for own in arms for v in _extremes(own.points["latency"])], 0, 1)
    return [
        TimelineKind("rate", "Rate", f"all requests, per {formatting.duration(bins.rate_s)}",
             Range1d(start=0, end=rate), "linear", _even(rate), "%d/s", _draw_rate),
        TimelineKind("latency", "Latency", "requests for the hot key, log scale",
             Range1d(start=latencies.low * 0.25, end=latencies.high * 4), "log", _few(latencies),
             "%.4g ms", _draw_latency),
        TimelineKind("origin", "Origin queries", look_ups,
             Range1d(start=0, end=queries), "linear", _even(queries), "%.4g", _draw_origin),
        TimelineKind("age", "Age of what was served", "answers for the hot key",
             Range1d(start=0, end=age), "linear", _even(age), "%.4g s", _draw_age),
    ]  # fmt: skip


def _top(columns: Sequence[Any]) -> float:
    """A little above the largest of all finite values."""
    values = np.concatenate([np.asarray(column, dtype=float) for column in columns])
    values = values[np.isfinite(values)]
    return 1.15 * float(values.max()) if len(values) and values.max() > 0 else 1.0


def _extremes(values: Any) -> list[float]:
    """The smallest and the largest positive value."""
    positive = values[values > 0]
    return [float(positive.min()), float(positive.max())] if len(positive) else []


def _few(scale: LogScale) -> list[float]:
    """Powers of ten if there are two; else all ticks of the scale."""
    ticks = scale.ticks()
    powers = [tick for tick in ticks if math.log10(tick).is_integer()]
    return powers if len(powers) > 1 else ticks


def _even(top: float) -> list[float]:
    """Zero, and one or two round values below the top."""
    power = 10 ** math.floor(math.log10(top))
    step = next(s * power for s in (5, 2, 1, 0.5) if s * power <= 0.9 * top)
    return [0.0, step, *([2 * step] if 2 * step <= 0.9 * top else [])]


# --- drawing -----------------------------------------------------------------------------------


def _backdrop(strip: Strip) -> None:
    """Fault windows shaded, expiries dotted."""
    shade = VStrip(line_color=None, fill_alpha=0.06, tags=[{"fill_color": "shade"}])
    marks = VSpan(line_dash=[1, 3], line_alpha=0.7, tags=[{"line_color": "soft"}])
    for glyph, source in ((shade, strip.sources.faults), (marks, strip.sources.expiries)):
        strip.common.draw(strip.plot, glyph, source, level="underlay")


def marked_s(history: RunHistory) -> float:
    """End of the marked expiries: no end if a round has few enough to tell apart."""
    few = all(len(a.expiries_s) <= MARKS_MAX * len(a.rounds) for a in history.arms.values())
    return math.inf if few else OPENING_S


def _compact(values: Iterable[float]) -> Any:
    return np.fromiter(values, dtype=np.float32)


def _steps(
    strip: Strip, columns: Columns, name: str, colour: str, **look: Any
) -> GlyphRenderer[Glyph]:
    """A level for each bin, from edge to edge."""
    edges = np.column_stack([columns["x"], columns["end"]]).ravel()
    levels, starts = (np.repeat(columns[column], 2) for column in (name, "x"))
    line = Line(x="x", y=name, tags=[{"line_color": colour}], **look)
    return strip.draw(line, {"x": edges, name: levels, "start": starts})


@dataclass(frozen=True)
class _Label:
    """A label at one bin of a line, above or below it."""

    text: str
    colour: str
    at: int
    above: bool


def _label(strip: Strip, columns: Columns, name: str, word: _Label) -> None:
    """Label a line in the first strip; the other strips have the same lines."""
    if not strip.first or not len(columns["x"]):
        return
    label = Text(
        y_offset=-4 if word.above else 4,
        text_baseline="bottom" if word.above else "top",
        background_fill_alpha=0.75,
        tags=[{"text_color": word.colour, "background_fill_color": "paper"}],
        **FONT,
    )
    x, y = (columns[column][word.at : word.at + 1] for column in ("x", name))
    strip.draw(label, {"x": x, "y": y, "text": [word.text]})


def _highest(strip: Strip, columns: Columns, name: str) -> int:
    """The bin of the first round in which a line is highest."""
    values = columns[name][columns["x"] < strip.history.rounds[0].to_s]
    return int(np.nanargmax(values)) if np.isfinite(values).any() else 0


def _draw_rate(strip: Strip) -> None:
    _backdrop(strip)
    offered, achieved = strip.history.offered, strip.history.achieved
    _steps(strip, offered, "rate", "soft", line_width=4, line_alpha=0.4)
    line = _steps(strip, achieved, "rate", strip.colour, line_width=1.4)
    _label(strip, offered, "rate", _Label("offered", "soft", 0, above=True))
    _label(strip, achieved, "rate", _Label("achieved", strip.colour, 0, above=False))
    length = formatting.duration(strip.bins.rate_s)
    tip = f"@rate{{0,0}}/s achieved in {length} from @start{{0.00}} s on"
    strip.plot.add_tools(HoverTool(renderers=[line], mode="vline", tooltips=tip))


def _draw_latency(strip: Strip) -> None:
    _backdrop(strip)
    _draw_points(strip, "latency")
    lines = strip.history.percentiles
    for name in ("p99", "p50"):
        _steps(strip, lines, name, "ink", line_width=1.2, line_alpha=0.8)
    _label(strip, lines, "p99", _Label("p99", "ink", _highest(strip, lines, "p99"), above=True))
    _label(strip, lines, "p50", _Label("p50", "ink", 0, above=False))


def _draw_age(strip: Strip) -> None:
    _backdrop(strip)
    _draw_points(strip, "age")


def _draw_points(strip: Strip, name: str) -> None:
    """Draw each request as a dot, or as a cross if it did not succeed."""
    dot = Scatter(
        x="x", y=name, size=3.2, line_color=None, fill_alpha=0.55,
        tags=[{"fill_color": strip.colour}],
    )  # fmt: skip
    _tip(strip, strip.draw(dot, strip.sources.ok), POINT_TIP)
    failed = strip.sources.failed
    if name in failed.data and len(failed.data["x"]):
        cross = Scatter(x="x", y=name, size=8, marker="x", tags=[{"line_color": "ink"}])
        _tip(strip, strip.draw(cross, failed), FAILED_TIP)


def _tip(strip: Strip, points: GlyphRenderer[Glyph], text: str) -> None:
    strip.plot.add_tools(HoverTool(renderers=[points], tooltips=text, limit=1))


def _draw_origin(strip: Strip) -> None:
    _backdrop(strip)
    bar = Quad(
        left="x", right="until", bottom=0, top="queries", line_width=0.8,
        tags=[{"fill_color": strip.colour, "line_color": strip.colour}],
    )  # fmt: skip
    bars = strip.draw(bar, strip.history.origin)
    length = formatting.duration(strip.bins.origin_s)
    tip = f"@queries{{0}} queries in {length} from @x{{0.00}} s on"
    strip.plot.add_tools(HoverTool(renderers=[bars], mode="vline", tooltips=tip))
