"""The timelines as Bokeh figures: one strip for each arm and kind, with shared axes and zoom.

No colours are set here. A model's tags name the page's colour for each property, and the page's
script applies it, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.core.property.validation import validate
from bokeh.document import Document
from bokeh.embed import components
from bokeh.models import (
    Axis,
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    FixedTicker,
    Grid,
    LinearAxis,
    LogAxis,
    Plot,
    PrintfTickFormatter,
    Quad,
    Range1d,
    Scale,
    WheelZoomTool,
)
from bokeh.models.annotations import Span
from bokeh.resources import Resources
from bokeh.settings import settings

from chaos.model.experiment import Strip
from reports.arm_history import Columns
from reports.run_history import OPENING_S, RunHistory
from reports.timeline_strips import (
    Canvas,
    Common,
    TimelineKind,
    marked_s,
    sources_of,
    timeline_kinds,
)

STRIP_PX, AXIS_PX, ACT_PX = 82, 22, 20
LEFT_PX = 50
ROUNDS_MAX = 8
LONG_S = 30.0


@dataclass(frozen=True)
class TimelinePlot:
    """One kind for all arms, ready for the page: divs by arm, and one for each act."""

    title: str
    lines: str
    acts: Mapping[str, str]
    strips: Mapping[str, str]


@dataclass(frozen=True)
class Timelines:
    """All panels, the script that fills them, and the time windows of each and all rounds."""

    panels: Sequence[TimelinePlot]
    script: str
    windows: Mapping[str, tuple[float, float]]


def library() -> str:
    """The script of BokehJS, only its drawing part, for inlining."""
    return Resources(mode="inline", components=["bokeh"]).render_js()


def timelines(history: RunHistory, strips: Sequence[Strip], naive: str | None) -> Timelines | None:
    """Every kind of timeline for every arm that finished a segment; None without any."""
    if not history.arms:
        return None
    windows = _windows(history)
    with unchecked():
        kinds = timeline_kinds(history, strips)
        figures = _figures(history, kinds, naive, next(iter(windows.values())))
        script, divs = _embedded(figures)
    panels = [_panel(place, kind, divs) for place, kind in enumerate(kinds)]
    return Timelines(panels, script, windows)


def _figures(
    history: RunHistory,
    kinds: Sequence[TimelineKind],
    naive: str | None,
    first: tuple[float, float],
) -> Mapping[str, Plot]:
    """A figure for each kind with each arm and each act, by the place and the name."""
    time = Range1d(start=first[0], end=first[1], name="time")
    pointer = Span(dimension="height", line_width=1, tags=[{"line_color": "soft"}])
    common, until_s = Common(), marked_s(history)
    sources = {arm: sources_of(own, until_s, common) for arm, own in history.arms.items()}
    acts = {name: common.source(_act_bars(history, name)) for name in _act_names(history)}
    figures: dict[str, Plot] = {}
    for place, kind in enumerate(kinds):
        for act, bars in acts.items():
            figures[f"{place}/act/{act}"] = _act_strip(bars, time, common)
        for number, (arm, own) in enumerate(history.arms.items()):
            last = number == len(history.arms) - 1
            plot = _strip_figure(kind, time, pointer, common, last=last)
            colour = "naive" if arm == naive else "fixed"
            kind.draw(
                Canvas(plot, own, history.bins, common, sources[arm], colour, first=number == 0)
            )
            figures[f"{place}/arm/{arm}"] = plot
    return figures


@contextmanager
def unchecked() -> Iterator[None]:
    """Turn off Bokeh's validation, which takes a third of the time; the tests turn it on."""
    settings.perform_document_validation.set_value(False)
    try:
        with validate(False):
            yield
    finally:
        settings.perform_document_validation.unset_value()


def _embedded(figures: Mapping[str, Plot]) -> tuple[str, dict[str, str]]:
    """Script and divs; all figures are added at once, as each addition visits all models."""
    document = Document()
    with document.models.freeze():
        for plot in figures.values():
            document.add_root(plot)
    script, divs = components(dict(figures))
    return script, divs


def _panel(place: int, kind: TimelineKind, divs: Mapping[str, str]) -> TimelinePlot:
    def of(what: str) -> dict[str, str]:
        start = f"{place}/{what}/"
        return {key.removeprefix(start): div for key, div in divs.items() if key.startswith(start)}

    return TimelinePlot(kind.title, kind.lines, of("act"), of("arm"))


def _windows(history: RunHistory) -> dict[str, tuple[float, float]]:
    """Windows of the time axis: each of the first rounds, and all rounds.

    Where a round is too long to show detail, a window on its beginning comes first.
    """
    spans = {span.name: span for own in history.arms.values() for span in own.rounds}
    in_order = sorted(spans.values(), key=lambda s: s.from_s)
    windows = {span.name: (span.from_s, span.to_s) for span in in_order[:ROUNDS_MAX]}
    if in_order[0].to_s > LONG_S:
        opening_s = max((t.opening_s for t in history.thinning.values()), default=0) or OPENING_S
        windows = {f"first {opening_s:g} s": (0.0, opening_s), **windows}
    end_s = max(span.to_s for span in in_order)
    return windows if len(in_order) == 1 else {**windows, "all rounds": (0.0, end_s)}


def _act_names(history: RunHistory) -> list[str]:
    return list(dict.fromkeys(span.name for own in history.arms.values() for span in own.acts))


# --- figures -----------------------------------------------------------------------------------
#
# Built from Bokeh's models: `bokeh.plotting` makes four for one and takes four times as long.


def _figure(time: Range1d, y_range: Range1d, y_scale: Scale, height: int, common: Common) -> Plot:
    return Plot(
        title=None,
        height=height,
        sizing_mode="stretch_width",
        x_range=time,
        y_range=y_range,
        x_scale=common.linear,
        y_scale=y_scale,
        toolbar_location=None,
        min_border_left=LEFT_PX,
        min_border_right=10,
        min_border_top=6,
        min_border_bottom=6,
        outline_line_color=None,
        background_fill_color=None,
        border_fill_color=None,
    )


def _strip_figure(
    kind: TimelineKind, time: Range1d, pointer: Span, common: Common, *, last: bool
) -> Plot:
    log = kind.y_axis == "log"
    scale = common.log if log else common.linear
    plot = _figure(time, kind.y_range, scale, STRIP_PX + AXIS_PX * last, common)
    ticker = FixedTicker(ticks=list(kind.ticks))
    axis = LogAxis if log else LinearAxis
    plot.add_layout(_axis(axis, kind.tick_format, common, ticker=ticker), "left")
    plot.add_layout(Grid(dimension=1, ticker=ticker, tags=[{"grid_line_color": "line"}]))
    if last:
        plot.add_layout(_axis(LinearAxis, "%.4g s", common), "below")
    zoom = BoxZoomTool(dimensions="width")
    plot.add_tools(zoom, CrosshairTool(overlay=pointer, dimensions="height"))
    plot.add_tools(WheelZoomTool(dimensions="width", modifiers={"ctrl": True}))
    plot.toolbar.active_drag = zoom
    return plot


def _axis(kind: type[Axis], tick_format: str, common: Common, **more: Any) -> Axis:
    return kind(
        major_label_policy=common.labels,
        formatter=PrintfTickFormatter(format=tick_format),
        axis_line_color=None,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        major_label_text_font="system-ui, sans-serif",
        major_label_text_font_size="11px",
        tags=[{"major_label_text_color": "soft"}],
        **more,
    )


def _act_bars(history: RunHistory, act: str) -> Columns:
    """The spans of an act in any arm's time."""
    spans = {
        (round(s.from_s, 3), round(s.to_s, 3))
        for own in history.arms.values()
        for s in own.acts
        if s.name == act
    }
    left, right = np.array(sorted(spans), dtype=np.float32).T.copy()
    return {"left": left, "right": right}


def _act_strip(bars: ColumnDataSource, time: Range1d, common: Common) -> Plot:
    plot = _figure(time, Range1d(start=0, end=1), common.linear, ACT_PX, common)
    bar = Quad(
        left="left", right="right", bottom=0.3, top=0.7, line_color=None, fill_alpha=0.6,
        tags=[{"fill_color": "shade"}],
    )  # fmt: skip
    common.draw(plot, bar, bars)
    return plot
