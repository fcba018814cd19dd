"""A comparison of two runs as a table for the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import formatting
from reports.formatting import NOTHING, Json

GAP = 2
HEADINGS = ("arm", "measure", "base", "head", "change", "")
BY_CHANCE = 20  # one of so many changes at 95 %


def comparison_table(comparison: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The changes of each arm, what else is different, and how to read it."""
    yield Text.assemble((comparison["experiment"], "bold"), "   two runs side by side")
    for side in ("base", "head"):
        run = comparison[side]
        yield Text(f"{side}  {run['run']}   {run['began']} · commit {run['commit']}", "dim")
    yield Text()
    yield Padding(_changes(comparison["changes"]), (0, 0, 1, 1))
    yield from _lines(comparison)


def _changes(changes: Sequence[Json]) -> Table:
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for heading in HEADINGS:
        grid.add_column(heading)
    previous = ""
    for change in changes:
        arm, previous = "" if change["arm"] == previous else change["arm"], change["arm"]
        sides = [_figure(change[side]) for side in ("base", "head")]
        seen = _seen(change)
        grid.add_row(arm, change["title"], *sides, _change(change), Text(seen, "bold"))
    return grid


def _figure(measure: Json) -> str:
    return f"{formatting.estimate(measure)}\n{formatting.interval(measure)}".strip()


def _change(change: Json) -> str:
    if change["change"] is None:
        return NOTHING
    text = _signed(change["change"], change["unit"])
    if change["low"] is None and change["high"] is None:
        return text
    low, high = (
        NOTHING if end is None else _signed(end, change["unit"])
        for end in (change["low"], change["high"])
    )
    return f"{text}\n[{low}, {high}]"


def _signed(value: float, unit: str) -> str:
    return f"{'+' if value > 0 else ''}{formatting.figure(value, unit)}"


def _seen(change: Json) -> str:
    if not change["is_apart"]:
        return ""
    return "higher" if change["change"] > 0 else "lower"


def _lines(comparison: Mapping[str, Any]) -> Iterator[RenderableType]:
    for other in comparison["differences"]:
        yield _line("differs", f"{other['what']}: {other['base']} → {other['head']}")
    for side in ("base", "head"):
        if arms := comparison[f"only_{side}"]:
            yield _line("arms", f"only in {side}: {', '.join(arms)}")
    if not comparison["differences"]:
        yield _line("differs", "nothing but the moment")
    tested = comparison["tested"]
    by_chance = math.ceil(tested / BY_CHANCE)
    yield _line(
        "read",
        f"Intervals hold in 95 % of comparisons: of {tested}, about {by_chance} may look like a "
        "change by chance. Totals and maxima have no interval. Two runs at different times also "
        "differ by what else the machine did.",
    )


def _line(label: str, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=7, style="dim")
    line.add_column(overflow="fold")
    line.add_row(Text(label), Text(formatting.clean(text)))
    return Padding(line, (0, 0, 0, 1))
