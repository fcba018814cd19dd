"""The kinds of timeline, and the drawing of one arm into its strip.

No colours are set here: a model's tags name the page's colour of each property (see `timelines`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
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

from chaos.model.experiment import Strip
from reports import formatting
from reports.arm_history import ArmHistory, Bins, Columns, Rank
from reports.run_history import OPENING_S, RunHistory
from reports.scales import LogScale, around
from reports.server_roles import (
    CUT_OFF,
    OLD_PRIMARY,
    PRIMARY,
    READ_ONLY,
    REPLICA,
    STANDBY,
    RoleSpan,
)

FONT: dict[str, Any] = {"text_font": {"value": "system-ui, sans-serif"}, "text_font_size": "11px"}
FAILED_TIP = "@what · @outcome · status @status · @latency{0.0} ms · due at @x{0.000} s"
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
    """Data that an arm's strips share: acts, events, and requests by link and outcome."""

    acts: ColumnDataSource
    events: ColumnDataSource
    ok: Mapping[Rank, ColumnDataSource]
    failed: Mapping[Rank, ColumnDataSource]


@dataclass(frozen=True)
class Canvas:
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

    title: str
    lines: str
    y_range: Range1d
    y_axis: Literal["linear", "log"]
    ticks: Sequence[float]
    tick_format: str
    draw: Callable[[Canvas], None]


def sources_of(own: ArmHistory, until_s: float, common: Common) -> Sources:
    """Sources of an arm: events before `until_s`, and the columns that the tooltips show."""
    fine, failed = ("x", "latency", "age", "what"), ("x", "latency", "what", "outcome", "status")
    from_s, to_s = ([getattr(span, end) for span in own.acts] for end in ("from_s", "to_s"))
    marked = [x for x in own.events_s if x < until_s]
    ok = {rank: np.array(of["outcome"], dtype=str) == "ok" for rank, of in own.points.items()}
    return Sources(
        acts=common.source({"x0": _compact(from_s), "x1": _compact(to_s)}),
        events=common.source({"x": _compact(marked)}),
        ok={r: common.source(_chosen(of, fine, ok[r])) for r, of in own.points.items()},
        failed={r: common.source(_chosen(of, failed, ~ok[r])) for r, of in own.points.items()},
    )


def _chosen(points: Columns, names: Sequence[str], which: Any) -> Columns:
    def pick(column: Any) -> Any:
        if isinstance(column, list):
            return [value for value, chosen in zip(column, which, strict=True) if chosen]
        return column[which]

    return {name: pick(points[name]) for name in names}


# --- kinds and their axes ----------------------------------------------------------------------


def timeline_kinds(history: RunHistory, strips: Sequence[Strip]) -> list[TimelineKind]:
    """The rate of all requests, then a kind for each strip; each has one y range for all arms."""
    return [_rate(history), *(KINDS[strip.source](strip, history) for strip in strips)]


def _rate(history: RunHistory) -> TimelineKind:
    rates = [own.offered["rate"] for own in history.arms.values()]
    rates += [own.achieved["rate"] for own in history.arms.values()]
    lines = f"all requests, per {formatting.duration(history.bins.rate_s)}"
    return _linear("Rate", lines, _top(rates), "%d/s", _draw_rate)


def _requests(strip: Strip, history: RunHistory) -> TimelineKind:
    """A point a request, as high as it took or as old as its answer was."""
    if strip.value == "age_ms":
        top = _top([own.points[strip.rank]["age"] for own in history.arms.values()])
        what = strip.of if strip.rank is None else f"answers for {strip.of}"
        return _linear(strip.title, what, top, "%.4g s", partial(_draw_age, strip.rank))
    columns = [own.points[strip.rank]["latency"] for own in history.arms.values()]
    scale = around([value for column in columns for value in _extremes(column)], 0, 1)
    what = strip.of if strip.rank is None else f"requests for {strip.of}"
    return TimelineKind(
        title=strip.title,
        lines=f"{what}, log scale",
        y_range=Range1d(start=scale.low * 0.25, end=scale.high * 4),
        y_axis="log",
        ticks=_few(scale),
        tick_format="%.4g ms",
        draw=partial(_draw_latency, strip.rank),
    )


def _look_ups(strip: Strip, history: RunHistory) -> TimelineKind:
    """Queries to a database, counted."""
    top = _top([own.look_ups[strip.rank]["look_ups"] for own in history.arms.values()])
    of = "" if strip.rank is None else f" of {strip.of}"
    lines = f"look-ups{of} in a database, per {formatting.duration(history.bins.look_ups_s)}"
    return _linear(strip.title, lines, top, "%.4g", partial(_draw_look_ups, strip))


def _samples(strip: Strip, history: RunHistory) -> TimelineKind:
    """A counter or gauge as it was read, or how fast it rose."""
    series = (strip.value, strip.per_s)
    top = _top([own.samples[series]["level"] for own in history.arms.values()])
    unit = _unit(strip)
    on_axis = {"ms": "%.4g ms", "s": "%.4g s", "%": "%.4g %%"}.get(unit)
    lines = "" if on_axis else unit
    return _linear(strip.title, lines, top, on_axis or "%.4g", partial(_draw_samples, strip))


def _unit(strip: Strip) -> str:
    """`commands/s`: a series that is drawn as a rate may have its unit or that of the counter."""
    return f"{strip.unit.removesuffix('/s')}/s" if strip.per_s else strip.unit


def _roles(strip: Strip, history: RunHistory) -> TimelineKind:
    """A row for each database server, with its roles one after another."""
    servers = sorted({span.server for own in history.arms.values() for span in own.roles})
    lines = f"from above: {', '.join(servers)}" if servers else "none on record"
    y_range = Range1d(start=len(servers) or 1, end=0)
    return TimelineKind(
        strip.title, lines, y_range, "linear", (), "%d", partial(_draw_roles, servers)
    )


def _writes(strip: Strip, history: RunHistory) -> TimelineKind:
    """Acknowledged writes, counted; those that the primary has lost are marked."""
    top = _top([own.writes["acknowledged"] for own in history.arms.values()])
    lines = f"per {formatting.duration(history.bins.rate_s)}; pale: held, solid: lost"
    return _linear(strip.title, lines, top, "%.4g", _draw_writes)


KINDS: Mapping[str, Callable[[Strip, RunHistory], TimelineKind]] = {
    "requests": _requests,
    "look-ups": _look_ups,
    "samples": _samples,
    "roles": _roles,
    "writes": _writes,
}


def _linear(
    title: str, lines: str, top: float, tick_format: str, draw: Callable[[Canvas], None]
) -> TimelineKind:
    y_range = Range1d(start=0, end=top)
    return TimelineKind(title, lines, y_range, "linear", _even(top), tick_format, draw)


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


def _backdrop(on: Canvas) -> None:
    """Acts shaded, events dotted."""
    shade = VStrip(line_color=None, fill_alpha=0.06, tags=[{"fill_color": "shade"}])
    marks = VSpan(line_dash=[1, 3], line_alpha=0.7, tags=[{"line_color": "soft"}])
    for glyph, source in ((shade, on.sources.acts), (marks, on.sources.events)):
        on.common.draw(on.plot, glyph, source, level="underlay")


def marked_s(history: RunHistory) -> float:
    """End of the marked events: no end if a round has few enough to tell apart."""
    few = all(len(a.events_s) <= MARKS_MAX * len(a.rounds) for a in history.arms.values())
    return math.inf if few else OPENING_S


def _compact(values: Iterable[float]) -> Any:
    return np.fromiter(values, dtype=np.float32)


def _steps(
    on: Canvas, columns: Columns, name: str, colour: str, **look: Any
) -> GlyphRenderer[Glyph]:
    """A level for each bin, from edge to edge."""
    edges = np.column_stack([columns["x"], columns["end"]]).ravel()
    levels, starts = (np.repeat(columns[column], 2) for column in (name, "x"))
    line = Line(x="x", y=name, tags=[{"line_color": colour}], **look)
    return on.draw(line, {"x": edges, name: levels, "start": starts})


@dataclass(frozen=True)
class _Label:
    """A label at one bin of a line, above or below it."""

    text: str
    colour: str
    at: int
    above: bool


def _label(on: Canvas, columns: Columns, name: str, word: _Label) -> None:
    """Label a line in the first strip; the other strips have the same lines."""
    if not on.first or not len(columns["x"]):
        return
    label = Text(
        y_offset=-4 if word.above else 4,
        text_baseline="bottom" if word.above else "top",
        background_fill_alpha=0.75,
        tags=[{"text_color": word.colour, "background_fill_color": "paper"}],
        **FONT,
    )
    x, y = (columns[column][word.at : word.at + 1] for column in ("x", name))
    on.draw(label, {"x": x, "y": y, "text": [word.text]})


def _highest(on: Canvas, columns: Columns, name: str) -> int:
    """The bin of the first round in which a line is highest."""
    values = columns[name][columns["x"] < on.history.rounds[0].to_s]
    return int(np.nanargmax(values)) if np.isfinite(values).any() else 0


def _draw_rate(on: Canvas) -> None:
    _backdrop(on)
    offered, achieved = on.history.offered, on.history.achieved
    _steps(on, offered, "rate", "soft", line_width=4, line_alpha=0.4)
    line = _steps(on, achieved, "rate", on.colour, line_width=1.4)
    _label(on, offered, "rate", _Label("offered", "soft", 0, above=True))
    _label(on, achieved, "rate", _Label("achieved", on.colour, 0, above=False))
    length = formatting.duration(on.bins.rate_s)
    _read_off(on, line, f"@rate{{0,0}}/s achieved in {length} from @start{{0.00}} s on")


def _draw_latency(rank: Rank, on: Canvas) -> None:
    _backdrop(on)
    _draw_points(on, rank, "latency", "@latency{0.0} ms")
    lines = on.history.percentiles[rank]
    for name in ("p99", "p50"):
        _steps(on, lines, name, "ink", line_width=1.2, line_alpha=0.8)
    _label(on, lines, "p99", _Label("p99", "ink", _highest(on, lines, "p99"), above=True))
    _label(on, lines, "p50", _Label("p50", "ink", 0, above=False))


def _draw_age(rank: Rank, on: Canvas) -> None:
    _backdrop(on)
    _draw_points(on, rank, "age", "@age{0.000} s old")


def _draw_points(on: Canvas, rank: Rank, name: str, figure: str) -> None:
    """Draw each request as a dot, or as a cross if it did not succeed."""
    dot = Scatter(
        x="x", y=name, size=3.2, line_color=None, fill_alpha=0.55,
        tags=[{"fill_color": on.colour}],
    )  # fmt: skip
    _tip(on, on.draw(dot, on.sources.ok[rank]), f"{figure} · @what · due at @x{{0.000}} s")
    failed = on.sources.failed[rank]
    if name in failed.data and len(failed.data["x"]):
        cross = Scatter(x="x", y=name, size=8, marker="x", tags=[{"line_color": "ink"}])
        _tip(on, on.draw(cross, failed), FAILED_TIP)


def _tip(on: Canvas, points: GlyphRenderer[Glyph], text: str) -> None:
    on.plot.add_tools(HoverTool(renderers=[points], tooltips=text, limit=1))


def _draw_look_ups(strip: Strip, on: Canvas) -> None:
    _backdrop(on)
    bar = Quad(
        left="x", right="until", bottom=0, top="look_ups", line_width=0.8,
        tags=[{"fill_color": on.colour, "line_color": on.colour}],
    )  # fmt: skip
    bars = on.draw(bar, on.history.look_ups[strip.rank])
    length = formatting.duration(on.bins.look_ups_s)
    _read_off(on, bars, f"@look_ups{{0}} {escape(strip.unit)} in {length} from @x{{0.00}} s on")


def _draw_samples(strip: Strip, on: Canvas) -> None:
    _backdrop(on)
    columns = on.history.samples[strip.value, strip.per_s]
    line = _steps(on, columns, "level", on.colour, line_width=1.4)
    _read_off(on, line, f"@level{{0,0.[00]}} {escape(_unit(strip))} at @start{{0.00}} s")


def _draw_writes(on: Canvas) -> None:
    _backdrop(on)
    counted = on.common.source(on.history.writes)
    held = Quad(
        left="x", right="until", bottom="lost", top="acknowledged", line_color=None,
        fill_alpha=0.6, tags=[{"fill_color": on.colour}],
    )  # fmt: skip
    lost = Quad(
        left="x", right="until", bottom=0, top="lost", line_color=None,
        tags=[{"fill_color": "ink"}],
    )  # fmt: skip
    length = formatting.duration(on.bins.rate_s)
    text = f"@acknowledged{{0}} acknowledged, @lost{{0}} lost, in {length} from @x{{0.00}} s on"
    _read_off(on, on.draw(held, counted), text)
    on.draw(lost, counted)


ROLE_ALPHAS = {
    PRIMARY: 0.9, OLD_PRIMARY: 0.4, READ_ONLY: 0.4, REPLICA: 0.4, STANDBY: 0.4, CUT_OFF: 0.15,
}  # fmt: skip
LED = (PRIMARY, OLD_PRIMARY)
LABELLED_SHARE = 0.1  # of a round, from which on a stretch has room for the name of its role


def _draw_roles(servers: Sequence[str], on: Canvas) -> None:
    """A bar for each stretch of a role: an outline where the server does not run."""
    _backdrop(on)
    for role in dict.fromkeys(span.role for span in on.history.roles):
        columns = _role_columns([s for s in on.history.roles if s.role == role], servers)
        colour = on.colour if role in LED else "soft"
        bar = Quad(
            left="x", right="until", bottom="bottom", top="top", line_width=0.8,
            fill_alpha=ROLE_ALPHAS.get(role, 0),
            tags=[{"fill_color": colour, "line_color": colour}],
        )  # fmt: skip
        _tip(on, on.draw(bar, columns), "@server: @role from @x{0.00} s until @until{0.00} s")
        _label_roles(on, role, columns)


def _role_columns(spans: Sequence[RoleSpan], servers: Sequence[str]) -> Columns:
    places = [servers.index(span.server) for span in spans]
    return {
        "x": _compact(span.from_s for span in spans),
        "until": _compact(span.to_s for span in spans),
        "bottom": _compact(place + 0.85 for place in places),
        "top": _compact(place + 0.15 for place in places),
        "server": [span.server for span in spans],
        "role": [span.role for span in spans],
    }


def _label_roles(on: Canvas, role: str, columns: Columns) -> None:
    """Write the role into each long stretch of the first round: in all it would not be legible."""
    first = on.history.rounds[0]
    long_s = LABELLED_SHARE * (first.to_s - first.from_s)
    fits = (columns["x"] < first.to_s) & (columns["until"] - columns["x"] >= long_s)
    words = [role] * int(fits.sum())
    label = Text(
        x_offset=4, text_baseline="middle",
        tags=[{"text_color": "paper" if role == PRIMARY else "ink"}],
        **FONT,
    )  # fmt: skip
    y = (columns["top"] + columns["bottom"])[fits] / 2
    on.draw(label, {"x": columns["x"][fits], "y": y, "text": words})


def _read_off(on: Canvas, drawn: GlyphRenderer[Glyph], text: str) -> None:
    on.plot.add_tools(HoverTool(renderers=[drawn], mode="vline", tooltips=text))
