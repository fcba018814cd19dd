"""The timelines as Bokeh figures: one strip an arm and kind, on shared axes with linked zoom.

Nothing here has a colour. A model's tags say which of the page's colours each property takes, and
the page's script paints them, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from bokeh.document import Document
from bokeh.embed import components
from bokeh.models import (
    BoxZoomTool,
    CrosshairTool,
    FixedTicker,
    PrintfTickFormatter,
    Range1d,
    WheelZoomTool,
)
from bokeh.models.annotations import Span
from bokeh.plotting import figure as bokeh_figure
from bokeh.resources import Resources

from reports.history import OPENING_S, History
from reports.strips import Figure, Kind, Strip, all_kinds, marked_s, sources_of

STRIP_PX, AXIS_PX, FAULT_PX = 82, 22, 20
LEFT_PX = 50
ROUNDS_MAX = 8
LONG_S = 30.0


@dataclass(frozen=True)
class Panel:
    """One kind for all arms, ready for the page: divs by arm, and one for each fault."""

    title: str
    lines: str
    faults: Mapping[str, str]
    strips: Mapping[str, str]


@dataclass(frozen=True)
class Timelines:
    """All panels, the script that fills them, and what the whole time and each round span."""

    panels: Sequence[Panel]
    script: str
    windows: Mapping[str, tuple[float, float]]


def library() -> str:
    """BokehJS itself, only the part that draws figures, to stand in the page."""
    return Resources(mode="inline", components=["bokeh"]).render_js()


def timelines(history: History, naive: str | None) -> Timelines | None:
    """Every kind of timeline for every arm that finished a segment; None where there is none."""
    if not history.arms:
        return None
    windows = _windows(history)
    first = next(iter(windows.values()))
    time = Range1d(start=first[0], end=first[1], name="time")
    pointer = Span(dimension="height", line_width=1, tags=[{"line_color": "soft"}])
    sources = {arm: sources_of(own) for arm, own in history.arms.items()}
    figures: dict[str, Figure] = {}
    kinds, marked = all_kinds(history), marked_s(history)
    for kind in kinds:
        for fault in _fault_names(history):
            figures[f"{kind.key}/fault/{fault}"] = _fault_strip(history, fault, time)
        for number, (arm, own) in enumerate(history.arms.items()):
            last = number == len(history.arms) - 1
            plot = _strip_figure(kind, time, pointer, last=last)
            colour = "naive" if arm == naive else "fixed"
            strip = Strip(plot, own, history.bins, marked, sources[arm], colour, first=number == 0)
            kind.draw(strip)
            figures[f"{kind.key}/arm/{arm}"] = plot
    script, divs = _embedded(figures)
    return Timelines([_panel(kind, divs) for kind in kinds], script, windows)


def _embedded(figures: Mapping[str, Figure]) -> tuple[str, dict[str, str]]:
    """Script and divs; figures join their document at once, for each joining visits all models."""
    document = Document()
    with document.models.freeze():
        for plot in figures.values():
            document.add_root(plot)
    script, divs = components(dict(figures))
    return script, divs


def _panel(kind: Kind, divs: Mapping[str, str]) -> Panel:
    def of(what: str) -> dict[str, str]:
        start = f"{kind.key}/{what}/"
        return {key.removeprefix(start): div for key, div in divs.items() if key.startswith(start)}

    return Panel(kind.title, kind.lines, of("fault"), of("arm"))


def _windows(history: History) -> dict[str, tuple[float, float]]:
    """What the time axis can show: each of the first rounds, and all of them.

    Where a round is too long for its course to be seen, its beginning comes first.
    """
    spans = {span.name: span for own in history.arms.values() for span in own.rounds}
    in_order = sorted(spans.values(), key=lambda s: s.from_s)
    windows = {span.name: (span.from_s, span.to_s) for span in in_order[:ROUNDS_MAX]}
    if in_order[0].to_s > LONG_S:
        opening_s = history.thinning.opening_s or OPENING_S
        windows = {f"first {opening_s:g} s": (0.0, opening_s), **windows}
    end_s = max(span.to_s for span in in_order)
    return windows if len(in_order) == 1 else {**windows, "all rounds": (0.0, end_s)}


def _fault_names(history: History) -> list[str]:
    return list(dict.fromkeys(span.name for own in history.arms.values() for span in own.faults))


# --- figures -----------------------------------------------------------------------------------


def _figure(
    time: Range1d, y_range: Range1d, height: int, y_axis: Literal["linear", "log"] = "linear"
) -> Figure:
    plot = bokeh_figure(
        height=height,
        sizing_mode="stretch_width",
        x_range=time,
        y_range=y_range,
        y_axis_type=y_axis,
        tools=[],
        toolbar_location=None,
        min_border_left=LEFT_PX,
        min_border_right=10,
        min_border_top=6,
        min_border_bottom=6,
        outline_line_color=None,
        background_fill_color=None,
        border_fill_color=None,
    )
    plot.xgrid.visible = False
    plot.xaxis.visible = False
    return plot


def _strip_figure(kind: Kind, time: Range1d, pointer: Span, *, last: bool) -> Figure:
    plot = _figure(time, kind.y_range, STRIP_PX + AXIS_PX * last, kind.y_axis)
    plot.yaxis.ticker = FixedTicker(ticks=list(kind.ticks))
    plot.ygrid.ticker = plot.yaxis.ticker
    plot.yaxis.formatter = PrintfTickFormatter(format=kind.tick_format)
    plot.xaxis.formatter = PrintfTickFormatter(format="%.4g s")
    plot.xaxis.visible = last
    plot.ygrid.tags = [{"grid_line_color": "line"}]
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.update(
            axis_line_color=None,
            major_tick_line_color=None,
            minor_tick_line_color=None,
            major_label_text_font="system-ui, sans-serif",
            major_label_text_font_size="11px",
            tags=[{"major_label_text_color": "soft"}],
        )
    zoom = BoxZoomTool(dimensions="width")
    plot.add_tools(zoom, CrosshairTool(overlay=pointer, dimensions="height"))
    plot.add_tools(WheelZoomTool(dimensions="width", modifiers={"ctrl": True}))
    plot.toolbar.active_drag = zoom
    return plot


def _fault_strip(history: History, fault: str, time: Range1d) -> Figure:
    """A bar for each time the fault was there in any arm's own time."""
    spans = {
        (round(s.from_s, 3), round(s.to_s, 3))
        for own in history.arms.values()
        for s in own.faults
        if s.name == fault
    }
    plot = _figure(time, Range1d(start=0, end=1), FAULT_PX)
    plot.yaxis.visible = plot.ygrid.visible = False
    left, right = np.array(sorted(spans), dtype=np.float32).T.copy()
    bars = plot.quad(left=left, right=right, bottom=0.3, top=0.7, line_color=None, fill_alpha=0.6)
    bars.glyph.tags = [{"fill_color": "shade"}]
    return plot
