"""Pictures of a gate's page, as SVG: changes, launches, distributions, and the trend."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape

from reports.formatting import Json, clean, milliseconds
from reports.gate_table import change_of
from reports.scales import LinearScale, LogScale, Scale

WIDTH, LEFT, RIGHT = 860, 150, 840
ROW, TOP, AXIS = 30, 16, 34
PLOT = 210  # height of a distribution
ARMS = ("base", "again", "head")
TREND = 60  # runs


def changes_picture(document: Json) -> str:
    """Each metric's change between its bounds, with the margins that decide."""
    metrics = document["metrics"]
    ends = [m[end] for m in metrics for end in ("change", "low", "high", "pass_below")]
    scale = _around([end for end in ends if end is not None])
    parts = [*_ticks(scale, ROW * len(metrics))]
    for row, metric in enumerate(metrics):
        y = TOP + ROW * (row + 0.5)
        parts.append(_text(LEFT - 12, y + 4, metric["name"], "end"))
        parts += [_mark(scale, metric[name], y, name) for name in ("fail_above", "pass_below")]
        parts += _interval(scale, metric, y, metric["verdict"])
    said = "; ".join(f"{m['name']}: {change_of(m)}, {m['verdict']}" for m in metrics)
    return _svg(TOP + ROW * len(metrics) + AXIS, f"Changes from base to head. {said}", parts)


def launches_picture(document: Json) -> str:
    """The change in every launch: of head, and of base to itself."""
    rows = [
        (metric["name"], [*_by_launch(metric)], [*_by_launch(metric, "again")])
        for metric in document["metrics"]
    ]
    scale = _around([change for _, head, null in rows for change in (*head, *null)])
    parts = [*_ticks(scale, ROW * len(rows))]
    for row, (name, head, null) in enumerate(rows):
        y = TOP + ROW * (row + 0.5)
        parts.append(_text(LEFT - 12, y + 4, name, "end"))
        for style, offset, changes in (("again", 6, null), ("head", -6, head)):
            parts += [_dot(scale.place(change), y + offset, style, 3.5) for change in changes]
    return _svg(TOP + ROW * len(rows) + AXIS, "The change in every launch", parts)


def density_picture(document: Json) -> str:
    """The share of each arm's requests by how long they took."""
    edges_ms, shares = _shares(document)
    if not edges_ms:
        return ""
    highest = max(max(own) for own in shares.values())
    y = LinearScale(0, highest, TOP + PLOT, TOP)
    return _over_latency(edges_ms, {arm: [*own, 0.0] for arm, own in shares.items()}, y,
                         "Share of requests by latency")  # fmt: skip


def tail_picture(document: Json) -> str:
    """The share of each arm's requests that took longer, on a log scale: the tail in full view."""
    edges_ms, shares = _shares(document)
    if not edges_ms:
        return ""
    slower = {arm: [*_slower(own)] for arm, own in shares.items()}
    least = min(share for own in slower.values() for share in own if share > 0)
    y = LogScale(least, 1.0, TOP + PLOT, TOP)
    return _over_latency(edges_ms, slower, y, "Share of requests that took longer")


def trend_picture(name: str, entries: Sequence[Json]) -> str:
    """A metric's change in each run of the history, the newest at the right."""
    known = [
        e for e in entries if name in e["metrics"] and e["metrics"][name]["change"] is not None
    ]
    shown = known[-TREND:]
    if len(shown) < 2:
        return ""
    figures = [entry["metrics"][name] for entry in shown]
    ends = [f[end] for f in figures for end in ("change", "low", "high") if f[end] is not None]
    low, high = _ends(ends)
    y, x = LinearScale(low, high, TOP + 90, TOP), LinearScale(0, len(shown) - 1, LEFT, RIGHT - 10)
    parts = [_text(LEFT - 12, TOP + 10, name, "end")]
    for value in y.ticks():
        parts += [_line(LEFT, y.place(value), RIGHT, y.place(value), "grid"),
                  _text(LEFT - 12, y.place(value) + 4, _per_cent(value), "soft end")]  # fmt: skip
    for place, figure in enumerate(figures):
        at, ends_y = (
            x.place(place),
            [y.place(figure[e]) for e in ("low", "high") if figure[e] is not None],
        )
        if len(ends_y) == 2:
            parts.append(_line(at, ends_y[0], at, ends_y[1], f"bar {figure['verdict']}"))
        parts.append(_dot(at, y.place(figure["change"]), figure["verdict"], 3))
    return _svg(TOP + 100, f"{name} in the last {len(shown)} runs", parts)


# --- their parts --------------------------------------------------------------------------------


def _by_launch(metric: Json, arm: str = "head") -> Iterator[float]:
    """The change of an arm in each launch: head to the mean of both bases, again to base."""
    columns = [metric["by_launch"][name] for name in ("base", "again", "head")]
    for base, again, head in zip(*columns, strict=True):
        if None not in (base, again, head):
            yield head / (base * again) ** 0.5 - 1 if arm == "head" else again / base - 1


def _shares(document: Json) -> tuple[Sequence[float], dict[str, list[float]]]:
    """The edges of the bins, and the share of each arm's requests in each, ends without any cut."""
    of = document["distributions"]
    if not of["edges_ms"]:
        return [], {}
    used = [
        index for index in range(len(of["edges_ms"]) - 1) if any(of[arm][index] for arm in ARMS)
    ]
    first, last = used[0], used[-1] + 1
    shares = {arm: [c / (sum(of[arm]) or 1) for c in of[arm][first:last]] for arm in ARMS}
    return of["edges_ms"][first : last + 1], shares


def _slower(shares: Sequence[float]) -> Iterator[float]:
    left = itertools.accumulate([1.0, *shares], lambda so_far, share: so_far - share)
    yield from (max(share, 0.0) if share > 1e-9 else 0.0 for share in left)


def _over_latency(
    edges_ms: Sequence[float], of: dict[str, list[float]], y: Scale, title: str
) -> str:
    x = LogScale(edges_ms[0], edges_ms[-1], LEFT, RIGHT)
    parts = []
    for value in x.ticks():
        at = x.place(value)
        parts.append(_line(at, TOP, at, TOP + PLOT, "grid"))
        parts.append(_text(at, TOP + PLOT + 16, milliseconds(value), "soft middle"))
    parts += [
        _text(LEFT - 12, y.place(value) + 4, f"{value * 100:g} %", "soft end")
        for value in y.ticks()
    ]
    for arm in ARMS:
        points = [
            (x.place(e), y.place(v))
            for e, v in zip(edges_ms, of[arm], strict=True)
            if v or y.name == ""
        ]
        path = " ".join(
            f"{'L' if n else 'M'}{px:.1f} {py:.1f}" for n, (px, py) in enumerate(points)
        )
        parts.append(f'<path class="curve {arm}" d="{path}"/>')
    return _svg(TOP + PLOT + AXIS, title, parts)


def _around(changes: Sequence[float]) -> LinearScale:
    low, high = _ends(changes)
    return LinearScale(low, high, LEFT, RIGHT)


def _ends(changes: Sequence[float]) -> tuple[float, float]:
    """Zero and all that is shown, with a margin; a wild one does not flatten the others."""
    low, high = min([*changes, -0.01]), max([*changes, 0.01])
    margin = (high - low) * 0.06
    return max(low - margin, -1.0), min(high + margin, 4.0)


def _ticks(scale: LinearScale, height: float) -> Iterator[str]:
    for value in scale.ticks():
        x = scale.place(value)
        yield _line(x, TOP, x, TOP + height, "zero" if value == 0 else "grid")
        yield _text(x, TOP + height + 18, _per_cent(value), "soft middle")


def _per_cent(share: float) -> str:
    return "0" if share == 0 else f"{share * 100:+.3g} %"


def _interval(scale: LinearScale, metric: Json, y: float, style: str) -> Iterator[str]:
    if metric["change"] is None:
        return
    low, high = (
        edge if metric[end] is None else scale.place(metric[end])
        for end, edge in (("low", scale.left), ("high", scale.right))
    )
    yield _line(low, y, high, y, f"bar {style}")
    yield _dot(scale.place(metric["change"]), y, style, 5)


def _mark(scale: LinearScale, share: float, y: float, name: str) -> str:
    return _line(scale.place(share), y - 11, scale.place(share), y + 11, f"margin {name}")


def _dot(x: float, y: float, style: str, radius: float) -> str:
    return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<path class="{style}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(clean(text))}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gate" role="img" viewBox="0 0 {WIDTH} '
        f'{height:g}"><title>{escape(clean(title))}</title>\n{body}\n</svg>'
    )
