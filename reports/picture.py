"""The picture of the headline measure: a dot with an interval for each arm, a tick for theory.

A plain SVG for the report and for a README, with its own light and dark colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

from chaos.model.evidence import FACTS
from reports import formatting
from reports.formatting import Json, clean
from reports.palette import DARK, LIGHT, properties
from reports.scales import Scale, fitting

WIDTH = 760
NARROW = 560
TOP, AXIS, BOTTOM = 26, 30, 14
STYLE = f"""
.linkstorm {{ {properties(LIGHT)} font: 13px system-ui, -apple-system, "Segoe UI", sans-serif;
  font-variant-numeric: tabular-nums; }}
@media (prefers-color-scheme: dark) {{ .linkstorm {{ {properties(DARK)} }} }}
@media print {{ .linkstorm {{ {properties(LIGHT)} }} }}
.linkstorm text {{ fill: var(--ink); }}
.linkstorm .soft {{ fill: var(--soft); font-size: 12px; }}
.linkstorm .title {{ font-size: 14px; font-weight: 600; }}
.linkstorm .end {{ text-anchor: end; }} .linkstorm .middle {{ text-anchor: middle; }}
.linkstorm .grid {{ stroke: var(--line); }}
.linkstorm .theory {{ stroke: var(--ink); stroke-width: 2; fill: none; }}
.linkstorm .flag {{ fill: var(--ink); }}
.linkstorm .naive {{ stroke: var(--naive); fill: var(--naive); }}
.linkstorm .fixed {{ stroke: var(--fixed); fill: var(--fixed); }}
.linkstorm .open {{ fill: var(--paper); stroke-width: 2; }}
.linkstorm tspan.soft {{ font-weight: 400; }}
.linkstorm text.naive {{ stroke: none; fill: var(--naive); font-weight: 600; }}
.linkstorm text.fixed {{ stroke: none; fill: var(--fixed); font-weight: 600; }}
"""


@dataclass(frozen=True)
class _Frame:
    """Layout: labels beside the plot if it is wide, above it if it is narrow."""

    width: int
    top: int
    left: float
    right: float
    row: int
    value: float = 0.0  # right edge of the figures, where they have a column
    spread: float = 0.0  # left edge of the intervals

    @property
    def wide(self) -> bool:
        return self.width >= NARROW

    def line_y(self, index: int) -> float:
        """The y of a row's dot."""
        return self.top + TOP + self.row * (index + (0.5 if self.wide else 0.75))

    def text_y(self, index: int) -> float:
        """The y of a row's text."""
        return self.line_y(index) + 4.5 if self.wide else self.line_y(index) - 18


def picture(result: Mapping[str, Any], width: int = WIDTH, *, titled: bool = True) -> str:
    """An SVG of the headline measure of every arm, `width` CSS pixels wide.

    Untitled it leaves out the question and the inputs, for a page that shows both.
    """
    heading = _heading(result, width) if titled else []
    frame = _frame(result, width, sum(line.height for line in heading))
    scale = _scale(result, frame)
    parts = [
        *_title(heading),
        *_axis(result, frame, scale),
        *(
            part
            for i, arm in enumerate(result["arms"])
            for part in _row(result, arm, i, frame, scale)
        ),
    ]
    height = frame.top + TOP + frame.row * len(result["arms"]) + AXIS + BOTTOM
    return _document(result, width, height, parts)


def _frame(result: Json, width: int, top: int) -> _Frame:
    if width < NARROW:
        return _Frame(width, top + 26, 20, width - 20, 50)
    said = [_said(result, measure) for measure in _measures(result)]
    name = _room([arm["name"] for arm in result["arms"]], 7.8, 96) + 16
    theory = _room([theory for *_, theory in said], 7.6, 43) + 10
    spread = width - 20 - theory - _room([spread for _, spread, _ in said], 6.4, 75) - 8
    value = spread - 10
    right = value - _room([value for value, *_ in said], 7.8, 50) - 24
    return _Frame(width, top + 26, 20 + name, round(right), 32, value, spread)


def _room(texts: Sequence[str], per_character: float, least: float) -> float:
    """Pixels that a column of these texts takes; none if all are empty."""
    longest = max(map(len, texts), default=0)
    return max(least, per_character * longest) if longest else 0.0


def _measures(result: Json) -> list[Json]:
    return [arm["measures"][result["headline"]] for arm in result["arms"]]


def _scale(result: Json, frame: _Frame) -> Scale:
    """The scale that has a place for every figure, interval and prediction."""
    measures = _measures(result)
    theory = [(measure["prediction"] or {"value": None})["value"] for measure in measures]
    figures = [*(measure["value"] for measure in measures), *theory]
    ends = [end for measure in measures for end in formatting.ends(measure)]
    return fitting(_known(figures), _known(ends), frame.left, frame.right)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


# --- its parts ---------------------------------------------------------------------------------


def _text(x: float, y: float, text: str, style: str = "", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(text)}{more}</text>'


@dataclass(frozen=True)
class _Line:
    text: str
    style: str
    height: int


def _heading(result: Json, width: int) -> list[_Line]:
    """The question and the inputs of the theory, wrapped to the width."""
    said = [] if result["verdict"] == "PASS" else [result["verdict"]]
    inputs = " · ".join([*said, *formatting.inputs(result)])
    room = width - 40
    return [
        *(_Line(line, "title", 20) for line in wrap(clean(result["question"]), int(room / 8.3))),
        *(_Line(line, "soft", 17) for line in wrap(inputs, int(room / 6.6))),
    ]


def _title(heading: Sequence[_Line]) -> Iterator[str]:
    y = 12
    for line in heading:
        y += line.height
        yield _text(20, y, line.text, line.style)


def _axis(result: Json, frame: _Frame, scale: Scale) -> Iterator[str]:
    bottom = frame.top + TOP + frame.row * len(result["arms"]) + 4
    unit = _measures(result)[0]["unit"] if result["arms"] else ""
    for value in scale.ticks():
        x = scale.place(value)
        yield f'<path class="grid" d="M{x:.1f} {frame.top + TOP - 4}V{bottom}"/>'
        yield _text(round(x, 1), bottom + 16, _round(value, unit), "soft middle")
    if result["arms"]:
        yield from _headings(result, frame, scale)


def _headings(result: Json, frame: _Frame, scale: Scale) -> Iterator[str]:
    measure = _measures(result)[0]
    title = ", ".join(filter(None, [clean(measure["title"]), scale.name]))
    yield _text(frame.left, frame.top + 8, title, "soft")
    if frame.wide:
        spread = "range" if measure["interval"] in FACTS else "95 % interval"
        if any(formatting.interval(measure) for measure in _measures(result)):
            yield _text(frame.spread, frame.top + 8, spread, "soft")
        if formatting.has_theory(result):
            yield _text(frame.width - 20, frame.top + 8, "theory", "soft end")


def _round(value: float, unit: str) -> str:
    """A round value with its unit: `50 ms`, `2 s`, `10,000`."""
    if unit == "ms" and value >= 1000:
        return _round(value / 1000, "s")
    text = f"{value:,.6g}"
    return f"{text} {unit}" if unit in ("ms", "s", "%") else text


def _row(result: Json, arm: Json, index: int, frame: _Frame, scale: Scale) -> Iterator[str]:
    measure = arm["measures"][result["headline"]]
    style = "naive" if arm["naive"] else "fixed"
    y = frame.line_y(index)
    yield from _labels(result, arm, style, index, frame)
    yield f'<path class="grid" d="M{frame.left} {y:g}H{frame.right}" stroke-dasharray="1 4"/>'
    yield from _mark_theory(measure, y, scale)
    if measure["value"] is None:
        return
    x, at_least = scale.place(measure["value"]), measure["at_least"]
    low, high = formatting.ends(measure)
    if at_least:
        yield f'<path class="{style} more" d="M{frame.right} {y:g}l-9 -4.5v9z"/>'
    if low is not None and (high is not None or at_least):
        end = frame.right - 6 if high is None else scale.place(high)
        d = f"M{scale.place(low):.1f} {y:g}H{end:.1f}"
        yield f'<path class="{style}" d="{d}" stroke-width="3" stroke-linecap="round"/>'
    yield f'<circle class="{style}{" open" if at_least else ""}" cx="{x:.1f}" cy="{y:g}" r="5.5"/>'


def _labels(result: Json, arm: Json, style: str, index: int, frame: _Frame) -> Iterator[str]:
    y, name = frame.text_y(index), clean(arm["name"])
    value, spread, theory = _said(result, arm["measures"][result["headline"]])
    naive = '<tspan class="soft" dx="8">naive</tspan>' if arm["naive"] else ""
    yield _text(20, y, name, style, naive)
    if frame.wide:
        yield _text(frame.value, y, value, "end")
        yield _text(frame.spread, y, spread, "soft")
        yield _text(frame.width - 20, y, theory, "end")
        return
    theory = f"theory {theory}" if theory else ""
    room = frame.width - 52 - 7.8 * len(name) - 44 * arm["naive"]
    said = "  ".join(filter(None, [value, spread, theory]))
    short = "  ".join(filter(None, [value, theory]))
    yield _text(frame.width - 20, y, said if 6.4 * len(said) <= room else short, "soft end")


def _said(result: Json, measure: Json) -> tuple[str, str, str]:
    """The figure, its interval, with the same decimals in all rows, and what theory predicts."""
    decimals = formatting.headline_decimals(result)
    theory = formatting.theory(measure) if formatting.has_theory(result) else ""
    return formatting.estimate(measure, decimals), formatting.interval(measure, decimals), theory


def _mark_theory(measure: Json, y: float, scale: Scale) -> Iterator[str]:
    """A tick; with a flag to its left where theory gives an upper bound."""
    prediction = measure["prediction"]
    if not prediction or prediction["value"] is None:
        return
    x = scale.place(prediction["value"])
    top = 13 if prediction["bound"] else 10
    yield f'<path class="theory" d="M{x:.1f} {y - top:g}v{top + 10}"/>'
    if prediction["bound"]:
        yield f'<path class="flag" d="M{x:.1f} {y - 13:g}l-11 3.5l11 3.5z"/>'


# --- the whole ---------------------------------------------------------------------------------


def _document(result: Json, width: int, height: float, parts: Sequence[str]) -> str:
    name = f"{clean(result['experiment'])}: {clean(result['question'])}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="linkstorm" role="img"'
            f' viewBox="0 0 {width} {height:g}" width="{width}" height="{height:g}">',
            f"<title>{escape(name)}</title>",
            f"<desc>{escape(_description(result))}</desc>",
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" rx="6" fill="var(--paper)"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _description(result: Json) -> str:
    """The picture in words, for screen readers."""
    said = [f"Verdict {result['verdict']}."]
    for arm, measure in zip(result["arms"], _measures(result), strict=True):
        value, spread, theory = _said(result, measure)
        kind = " (naive)" if arm["naive"] else ""
        said.append(f"{clean(arm['name'])}{kind}: {value} {spread}".rstrip())
        said[-1] += f", theory {theory}." if theory else "."
    return " ".join(said)
