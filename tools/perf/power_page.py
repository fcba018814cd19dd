"""The self-check's figures as a table and a picture for the page of the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from reports.palette import DARK, LIGHT, properties
from tools.perf.verdicts import NOTHING, Rate, Summary

BEGIN, END = "<!-- self-check -->", "<!-- end of the self-check -->"
PICTURE = "pictures/performance-gate-power.svg"
METRICS = ("CPU a request", "p50", "p99")
LEFT, RIGHT, ROW, TOP = 230, 720, 34, 40
STYLE = f"""
.power {{ {properties(LIGHT)} font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }}
@media (prefers-color-scheme: dark) {{ .power {{ {properties(DARK)} }} }}
.power text {{ fill: var(--ink); }} .power .soft {{ fill: var(--soft); font-size: 12px; }}
.power .end {{ text-anchor: end; }} .power .middle {{ text-anchor: middle; }}
.power .grid {{ stroke: var(--line); }}
.power .ours {{ stroke: var(--fixed); fill: var(--fixed); stroke-width: 2.5; }}
.power .plain {{ stroke: var(--naive); fill: var(--naive); stroke-width: 2.5; }}
"""


def table(summaries: Sequence[Summary]) -> str:
    """The rates as a Markdown table."""
    head = ["planted", "verdicts", "FAIL", "a plain 5 % gate", "otherwise", *METRICS, "time"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * 3}---|{'--:|' * 4}"]
    lines += [f"| {' | '.join(_row(summary))} |" for summary in summaries]
    return "\n".join(lines)


def _row(of: Summary) -> Sequence[str]:
    others = ", ".join(f"{count} {verdict}" for verdict, count in of.others.most_common())
    doses = (of.dose(metric) for metric in METRICS)
    shown = (f"{dose * 100:+.1f} %" if math.isfinite(dose) else NOTHING for dose in doses)
    failed, naive = str(of.failed), str(of.failed_by_naive)
    return of.plant, str(len(of.verdicts)), failed, naive, others, *shown, f"{of.median_s:.0f} s"


def picture(summaries: Sequence[Summary]) -> str:
    """Shares of the plants found, by the gate and by a plain one."""
    height = TOP + ROW * len(summaries) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="power" role="img" '
        f'viewBox="0 0 760 {height}" width="760" height="{height}">',
        "<title>How often a planted regression is found</title>",
        f'<style>{STYLE}</style><rect width="100%" height="100%" rx="6" fill="var(--paper)"/>',
        f'<text x="{LEFT}" y="22" class="soft">share of verdicts that are FAIL, with 95 % bounds: '
        "the gate (blue, above), a plain 5 % gate (vermilion)</text>",
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(share)
        parts.append(f'<path class="grid" d="M{x} {TOP}V{height - 36}"/>')
        parts.append(f'<text x="{x}" y="{height - 18}" class="soft middle">{share:.0%}</text>')
    for row, summary in enumerate(summaries):
        y = TOP + ROW * (row + 0.5)
        parts.append(
            f'<text x="{LEFT - 14}" y="{y + 4}" class="end">{escape(summary.plant)}</text>'
        )
        parts += _mark(summary.failed, y - 5, "ours")
        parts += _mark(summary.failed_by_naive, y + 5, "plain")
    return "\n".join([*parts, "</svg>\n"])


def _mark(rate: Rate, y: float, style: str) -> Sequence[str]:
    if not rate.count:
        return ()
    low, high = rate.bounds
    return (
        f'<path class="{style}" d="M{_x(low):.1f} {y}H{_x(high):.1f}"/>',
        f'<circle class="{style}" cx="{_x(rate.share):.1f}" cy="{y}" r="3.5"/>',
    )


def _x(share: float) -> float:
    return LEFT + share * (RIGHT - LEFT)


def publish(summaries: Sequence[Summary], page: Path, machine: str) -> None:
    """Put table and picture where the page has its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = f"![How often what is planted is found]({PICTURE})"
    text = f"{before}{BEGIN}\n{table(summaries)}\n\n{machine}\n\n{shown}\n{END}{after}"
    page.write_text(text, encoding="utf-8")
    (page.parent / PICTURE).write_text(picture(summaries), encoding="utf-8")
