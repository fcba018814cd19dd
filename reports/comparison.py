"""A comparison of two runs as a table for the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chaos.model.evidence import FACTS
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
        yield Text(f"{side}  {run['verdict']}  {run['run']}", "dim")
    yield Text()
    yield Padding(_changes(comparison["changes"]), (0, 0, 1, 1))
    yield from _lines(comparison)


def _changes(changes: Sequence[Json]) -> Table:
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for heading in HEADINGS:
        grid.add_column(heading, overflow="fold")
    previous = ""
    for change in changes:
        arm, previous = "" if change["arm"] == previous else change["arm"], change["arm"]
        sides = change["base"], change["head"]
        known = [one[part] for one in sides for part in ("value", "low", "high")]
        decimals = formatting.decimals_for(known)
        figures = [_figure(one, decimals) for one in sides]
        grid.add_row(
            arm, change["title"], *figures, _change(change, decimals), Text(_seen(change), "bold")
        )
    return grid


def _figure(measure: Json, decimals: int) -> str:
    """A figure with its interval below it; the extremes of a run have none."""
    ends = "" if measure["interval"] in FACTS else formatting.interval(measure, decimals)
    return _whole(f"{formatting.estimate(measure, decimals)}\n{ends}".strip())


def _change(change: Json, decimals: int) -> str:
    if change["change"] is None:
        return NOTHING
    unit = " points" if change["unit"] == "%" else ""
    text = _signed(change["change"], change["unit"], decimals)
    if change["low"] is None and change["high"] is None:
        return _whole(text + unit)
    low, high = (
        NOTHING if end is None else _signed(end, change["unit"], decimals)
        for end in (change["low"], change["high"])
    )
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0]
    return _whole(f"{text}{unit}\n[{low}, {high}]")


def _whole(text: str) -> str:
    """Text whose lines a narrow table does not break at blanks."""
    return text.replace(" ", "\u00a0")


def _signed(value: float, unit: str, decimals: int) -> str:
    shown = formatting.figure(value, unit, decimals).removesuffix(" %")
    return f"{'+' if value > 0 else ''}{shown}"


def _seen(change: Json) -> str:
    if change["is_apart"] is None:
        return NOTHING
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
        yield _line("differs", "no setting, length, version or machine, as far as it is on record")
    tested = comparison["tested"]
    by_chance = math.ceil(tested / BY_CHANCE)
    yield _line(
        "read",
        f"Higher and lower: the interval of the change leaves out 0, or an exact figure, such as "
        f"a loss, is another. Intervals hold in 95 % of comparisons, so of {tested} about "
        f"{by_chance} may look like a change by chance. {NOTHING}: extremes of a run and figures "
        "that are not known cannot be told apart. What else the machine did at the time is on no "
        "record.",
    )


def _line(label: str, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=7, style="dim")
    line.add_column(overflow="fold")
    line.add_row(Text(label), Text(formatting.clean(text)))
    return Padding(line, (0, 0, 0, 1))
