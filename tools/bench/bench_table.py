"""Render the figures as a table, for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaos.model.evidence import Estimate
from tools.bench.figures import ArmFigures, Figure, bias
from tools.bench.report import machine_line

_HEADINGS = ("arm", "requests/s", "of bare", "p50 ms", "p99 ms", "CPU µs", "RSS MB")
_FORMATS = {
    "rps": "{:,.0f}",
    "ratio_to_bare": "{:.2f}",
    "p50_ms": "{:.2f}",
    "p99_ms": "{:.2f}",
    "cpu_us": "{:.1f}",
    "rss_mb": "{:.0f}",
}


def rows(found: Mapping[str, ArmFigures], names: Mapping[str, str]) -> list[list[str]]:
    """Return a row for each arm: means with ranges of the repeats, the ratio with its interval."""
    return [
        [names[arm], *(_cell(result, name, form) for name, form in _FORMATS.items())]
        for arm, result in found.items()
    ]


def text(found: Mapping[str, ArmFigures], names: Mapping[str, str]) -> str:
    """Render for a terminal, with the reasons for invalid arms and missing latencies."""
    table = [list(_HEADINGS), *rows(found, names)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in table]
    invalid = {arm: result for arm, result in found.items() if result.problems}
    for arm, result in invalid.items():
        lines += ["", f"INVALID: {names[arm]}", *(f"  {problem}" for problem in result.problems)]
    for arm, result in found.items():
        if result.missing_latencies:
            reasons = (f"  {why}" for why in result.missing_latencies)
            lines += ["", f"NO LATENCY: {names[arm]}", *reasons]
    if why := bias(found):
        lines += ["", f"INVALID: {why}"]
    return "\n".join(lines) + "\n"


def markdown(
    found: Mapping[str, ArmFigures], names: Mapping[str, str], machine: Mapping[str, object]
) -> str:
    """Render for docs/performance.md."""
    table = [
        [row[0] + (" (invalid)" if result.problems else ""), *row[1:]]
        for row, result in zip(rows(found, names), found.values(), strict=True)
    ]
    lines = [
        "| " + " | ".join(row) + " |"
        for row in (list(_HEADINGS), ["---", *["--:"] * (len(_HEADINGS) - 1)], *table)
    ]
    where = f"{machine_line(machine)}; {machine['rounds']} rounds."
    doubt = ["", f"INVALID: {why}."] if (why := bias(found)) else []
    return "\n".join([*lines, *doubt, "", where, ""])


def _cell(result: ArmFigures, name: str, form: str) -> str:
    if name == "ratio_to_bare" and result.of_bare.samples > 1:
        return _with_interval(result.of_bare, form)
    return _shown(result.figures.get(name), form)


def _with_interval(ratio: Estimate, form: str) -> str:
    value, low, high = (form.format(each) for each in (ratio.value, ratio.low, ratio.high))
    return f"{value} [{low}, {high}]"


def _shown(figure: Figure | None, form: str) -> str:
    if figure is None:
        return "–"
    mean, least, most = (form.format(each) for each in (figure.mean, figure.least, figure.most))
    return mean if least == most else f"{mean} ({least}–{most})"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Align words to the left, figures to the right."""
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
