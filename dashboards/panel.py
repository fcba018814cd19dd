"""The elements of a dashboard: queries, panels, sections; independent of Grafana's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["timeseries", "stat", "state-timeline", "table", "text"]

RATE = "$__rate_interval"  # at least four scrapes, whatever the zoom
RANGE = "$__range"  # all that is shown


@dataclass(frozen=True)
class Query:
    """One PromQL expression and the legend of its series, with `{{label}}` placeholders.

    `every_s` is the scrape interval of its metrics: rates over slow ones need a longer window.
    `only_while` names the condition under which a query has data.
    """

    expr: str
    legend: str
    every_s: int = 1
    dashed: bool = False
    only_while: str | None = None


@dataclass(frozen=True)
class PanelState:
    """The text for a value of a state timeline, and its rating: good, bad or neither."""

    text: str
    good: bool | None


@dataclass(frozen=True)
class Panel:
    """One panel; the description says what to look for.

    A `text` has no queries, and shows its description, in Markdown.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 8
    stacked: bool = False
    limit: float | None = None  # drawn as a line not to be crossed
    least: float | None = 0
    states: Mapping[int, PanelState] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """A page of panels.

    Grafana reads the names of its parts from the label `part` of the metric `parts`.
    """

    name: str
    title: str
    about: str
    parts: str
    part_names: Sequence[str]
    sections: Sequence[Section]

    @property
    def panels(self) -> Sequence[Panel]:
        """All panels, in reading order."""
        return [panel for section in self.sections for panel in section.panels]


def p50_and_p99(histogram: str, by: str = "", where: str = "") -> list[Query]:
    """The median of a histogram, dashed, and its 99th percentile."""
    label = f"{{{{{by}}}}} " if by else ""
    return [
        Query(
            quantile(share, histogram, by, where), f"{label}p{100 * share:g}", dashed=share == 0.5
        )
        for share in (0.5, 0.99)
    ]


def quantile(share: float, histogram: str, by: str, where: str = "") -> str:
    """A quantile of a histogram, one for each value of a label."""
    series = f"{histogram}_bucket{{{where}}}" if where else f"{histogram}_bucket"
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({series}[{RATE}])))"
