"""A capacity as text and as a page that draws latency against rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.formatting import Json, clean, milliseconds
from reports.palette import DARK, LIGHT, properties
from reports.scales import LogScale, around

WIDTH, LEFT, RIGHT, TOP, HEIGHT = 860, 90, 840, 16, 340


def capacity_text(document: Json) -> str:
    """The answer in a sentence, and each rate that was tried."""
    lines = [answer(document), *(f"  {_line(step)}" for step in _by_rate(document))]
    return "\n".join(lines)


def answer(document: Json) -> str:
    """The answer in a sentence."""
    name, objective = document["service"], document["objective"]
    if not document["rate_per_s"]:
        return f"{name} holds {objective} at no rate that was tried"
    at_least = "at least " if document["is_of_the_client"] else ""
    why = ": beyond that the client itself was late" if at_least else ""
    return f"{name} holds {objective} up to {at_least}{document['rate_per_s']:,.0f}/s{why}"


def _line(step: Json) -> str:
    seen = NO_ANSWER if step["latency_ms"] is None else milliseconds(step["latency_ms"])
    failed = f", {step['failed_share']:.1%} failed" if step["failed_share"] else ""
    confirms = ", confirming" if step["confirms"] else ""
    held = "holds" if step["holds"] else "does not"
    return f"{step['rate_per_s']:>9,.0f}/s  {held}: {seen}{failed}{confirms}"


NO_ANSWER = "not all answered"


def _by_rate(document: Json) -> Sequence[Json]:
    return sorted(document["steps"], key=lambda step: (step["rate_per_s"], step["confirms"]))


def capacity_page(document: Json) -> str:
    """The page: one file that works offline."""
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("capacity.html").render(
        document=document,
        answer=answer(document),
        clean=clean,
        light=properties(LIGHT),
        dark=properties(DARK),
        curve=Markup(curve(document)),
        lines=[_line(step) for step in _by_rate(document)],
    )


def curve(document: Json) -> str:
    """Latency against rate, both on log scales, with the bound and the capacity."""
    steps = [step for step in document["steps"] if step["latency_ms"]]
    if not steps:
        return ""
    x = around([step["rate_per_s"] for step in steps], LEFT, RIGHT)
    figures = [step[name] for step in steps for name in ("latency_ms", "p50_ms") if step[name]]
    y = around([*figures, document["bound_ms"]], TOP + HEIGHT, TOP)
    parts = [*_axes(x, y), _rule(y.place(document["bound_ms"]), across=True)]
    if document["rate_per_s"]:
        parts.append(_rule(x.place(document["rate_per_s"]), across=False))
    for step in steps:
        at = x.place(step["rate_per_s"])
        style = "PASS" if step["holds"] else "FAIL"
        parts.append(_dot(at, y.place(step["latency_ms"]), style, 5))
        if step["p50_ms"]:
            parts.append(_dot(at, y.place(step["p50_ms"]), "head", 3))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gate" role="img" viewBox="0 0 {WIDTH} '
        f'{TOP + HEIGHT + 34}"><title>Latency against rate</title>\n{body}\n</svg>'
    )


def _axes(x: LogScale, y: LogScale) -> Iterator[str]:
    for value in x.ticks():
        at = x.place(value)
        yield f'<path class="grid" d="M{at:.1f} {TOP}V{TOP + HEIGHT}"/>'
        yield f'<text class="soft middle" x="{at:.1f}" y="{TOP + HEIGHT + 18}">{value:,g}/s</text>'
    for value in y.ticks():
        at = y.place(value)
        yield f'<path class="grid" d="M{LEFT} {at:.1f}H{RIGHT}"/>'
        yield f'<text class="soft end" x="{LEFT - 8}" y="{at + 4:.1f}">{milliseconds(value)}</text>'


def _rule(at: float, *, across: bool) -> str:
    d = f"M{LEFT} {at:.1f}H{RIGHT}" if across else f"M{at:.1f} {TOP}V{TOP + HEIGHT}"
    return f'<path class="margin pass_below" d="{d}"/>'


def _dot(x: float, y: float, style: str, radius: float) -> str:
    return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
