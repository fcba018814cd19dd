"""The result as a table for the terminal: one row an arm, with measures, theory and verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from reports import formatting, ledgers
from reports.act_proof import act_proofs
from reports.formatting import NOTHING, Json
from reports.reasons import MEANING, NOT_ASKED, advice, reasons, undecided

UNPROVEN = "unproven"
STYLES = {
    **{"PASS": "bold green", "shown": "yellow", "FAIL": "bold red", "INVALID": "bold magenta"},
    UNPROVEN: "dim",
}
PLAIN = {
    **{"≤ ": "<=", "≥ ": ">=", "≤": "<=", "≥": ">=", "×": "x", "–": "-", "−": "-", "·": "|"},
    **{"λδ": "lambda*delta", "λ": "lambda", "δ": "delta", "β": "beta", "…": "...", "→": "->"},
}
GAP = 2
NARROWEST = 20  # columns; a narrower terminal breaks the lines itself
BEFORE_COST = 3  # further measures that take precedence over the costs


@dataclass(frozen=True)
class Column:
    """One column: its heading, and a cell for each arm."""

    heading: str
    cells: Sequence[str]
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """Characters of the widest line."""
        texts = [self.heading, *self.cells]
        return max(len(line) for text in texts for line in text.split("\n"))


def table(result: Mapping[str, Any]) -> RenderableType:
    """Lay out a result for a terminal of any width, encoding and palette."""
    return _Report(result)


@dataclass(frozen=True)
class _Report:
    result: Json

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in _parts(self.result, options.max_width):
            for text, style, control in console.render(part, options):
                yield Segment(_encodable(text, options.encoding), style, control)


def _parts(result: Json, width: int) -> Iterator[RenderableType]:
    yield from _heading(result)
    yield Text()
    columns, costs_below = _columns(result, width)
    if result["arms"]:
        fits = 1 + sum(column.width + GAP for column in columns) - GAP <= width
        yield from [Padding(_grid(columns), (0, 0, 1, 1))] if fits else _blocks(result)
    for label, text in [*(_costs(result) if costs_below else []), *_evidence(result)]:
        yield _line(label, text)
    for reason in reasons(result):
        yield _line(reason.verdict, f"{reason.sentence}\nsaw: {reason.observed}")
    yield from _end(result)


# --- above the table ---------------------------------------------------------------------------


def _heading(result: Json) -> Iterator[Text]:
    yield Text.assemble((result["experiment"], "bold"), "   ", (formatting.scope(result), "dim"))
    yield Text(formatting.clean(result["question"]))
    if known := formatting.inputs(result):
        yield Text(" · ".join(known), "dim")
    if result["trouble"]:
        first, *rest = formatting.clean(result["trouble"]).split("\n")
        yield Text()
        yield Text.assemble(("stopped early: ", "bold red"), (first, "bold"))
        yield from (Text(line, overflow="fold") for line in rest)


# --- the table ---------------------------------------------------------------------------------


def _columns(result: Json, width: int) -> tuple[list[Column], bool]:
    """The columns that fit, and True if the costs did not fit."""
    first, last = _first_columns(result), _verdicts(result)
    cost = Column(
        "cost", ["\n".join(formatting.costs(arm)) for arm in result["arms"]], justify="left"
    )
    further = list(_further_columns(result))
    room = width - 1 - sum(column.width + GAP for column in [*first, last])
    with_cost = room >= sum(column.width + GAP for column in [*further[:BEFORE_COST], cost])
    room -= (cost.width + GAP) * with_cost
    chosen = []
    for column in further:
        if column.width + GAP <= room:
            chosen.append(column)
            room -= column.width + GAP
    return [*first, *chosen, *([cost] if with_cost else []), last], not with_cost


def _first_columns(result: Json) -> list[Column]:
    arms, headline = result["arms"], result["headline"]
    if not arms:
        return []
    measures = [arm["measures"][headline] for arm in arms]
    name = max(len(arm["name"]) for arm in arms)
    theory = [formatting.theory(measure) for measure in measures]
    names = [f"{arm['name']:<{name}}{'  naive' if arm['naive'] else ''}" for arm in arms]
    return [
        Column("arm", names, justify="left"),
        Column(_folded(measures[0]["title"], 18), _estimates(result, measures), justify="left"),
        *([Column("theory", theory)] if formatting.has_theory(result) else []),
    ]


def _estimates(result: Json, measures: Sequence[Json]) -> list[str]:
    """Values with their intervals, aligned."""
    decimals, unit = formatting.headline_decimals(result), measures[0]["unit"]
    values = [formatting.estimate(measure, decimals) for measure in measures]
    ends = [[formatting.figure(e, unit, decimals) for e in formatting.ends(m)] for m in measures]
    value, low, high = (max(map(len, texts)) for texts in (values, *zip(*ends, strict=True)))
    exact = all(not formatting.interval(measure, decimals) for measure in measures)
    return [
        f"{v:>{value}}" + (f"  [{lo:>{low}}, {hi:>{high}}]" if v != NOTHING and not exact else "")
        for v, (lo, hi) in zip(values, ends, strict=True)
    ]


def _further_columns(result: Json) -> Iterator[Column]:
    """The other measures in the experiment's order, without those that are equal in all arms."""
    arms = result["arms"]
    for name in arms[0]["measures"] if arms else ():
        if name == result["headline"]:
            continue
        measures = [arm["measures"][name] for arm in arms]
        decimals = formatting.decimals_for([measure["value"] for measure in measures])
        cells = [formatting.estimate(measure, decimals) for measure in measures]
        if len(set(cells)) > 1:
            yield Column(_folded(measures[0]["title"], 10), cells)


def _verdicts(result: Json) -> Column:
    cells = [
        UNPROVEN if formatting.is_unproven(result, arm["verdict"]) else formatting.arm_verdict(arm)
        for arm in result["arms"]
    ]
    return Column("verdict", cells, justify="left")


def _folded(title: str, width: int) -> str:
    """Wrap a heading so that it is about as wide as its figures."""
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _grid(columns: Sequence[Column]) -> Table:
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        heading = Text(column.heading, justify=column.justify)
        grid.add_column(heading, justify=column.justify, no_wrap=True, vertical="top")
    for cells in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in cells))
    return grid


def _blocks(result: Json) -> Iterator[RenderableType]:
    """Arms one below the other, for a terminal that is narrower than a row."""
    names, *others = _first_columns(result)
    others += [*_further_columns(result), _verdicts(result)]
    for row, name in enumerate(names.cells):
        yield Text(" " + " ".join(name.split()), "bold")
        for column in others:
            heading = " ".join(column.heading.split())
            cell = " ".join(column.cells[row].split()).replace("[ ", "[")
            text = Text.assemble((f"{heading}: ", "dim"), (cell, STYLES.get(cell, "")))
            yield Padding(text, (0, 0, 0, 3))
        yield Text()


# --- below the table ---------------------------------------------------------------------------


def _costs(result: Json) -> Iterator[tuple[str, str]]:
    naive = next((arm["name"] for arm in result["arms"] if arm["naive"]), "")
    for arm in result["arms"]:
        if arm["cost"]:
            yield (
                "cost",
                f"{arm['name']}, compared with {naive}: {', '.join(formatting.costs(arm))}",
            )


def _evidence(result: Json) -> Iterator[tuple[str, str]]:
    for proof in act_proofs(result):
        yield "act", f"{formatting.clean(proof.act)}   {proof.words}"
    yield "load", formatting.load(result["generator"])
    yield from ledgers.lines(result)
    if result["not_asked"]:
        yield "claims", f"{NOT_ASKED}: {'; '.join(result['not_asked'])}"


def _line(label: str, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=7, style=STYLES.get(label, "dim"))
    line.add_column(overflow="fold")
    line.add_row(Text(label), Text(formatting.clean(text)))
    return Padding(line, (0, 0, 0, 1))


def _end(result: Json) -> Iterator[RenderableType]:
    verdict = result["verdict"]
    if result["trouble"]:
        yield _line("", undecided(result))
    if verdict != "PASS":
        yield _line("", f"{verdict} means: {MEANING[verdict]}.")
    for text in advice(result):
        yield _line("next", text)
    seconds = result["duration_s"]
    took = f" in {seconds:,.0f} s" if seconds is not None else ""
    report = Path(result["run_dir"]) / "report.html"
    yield Text.assemble(
        " ", (verdict, STYLES[verdict]), f"{took}   report {report}", overflow="fold"
    )


# --- terminals that cannot show everything -----------------------------------------------------


def _encodable(text: str, encoding: str) -> str:
    """Replace characters that the terminal lacks; a cell of the table keeps its width."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        for char, plain in PLAIN.items():
            text = text.replace(char, plain)
        return text.encode(encoding, "replace").decode(encoding)
    return text
