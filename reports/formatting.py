"""Text for figures: a value with its unit, an interval, a cost, a verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.model.evidence import FACTS

NOTHING = "–"
ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Json = Mapping[str, Any]


def clean(text: object) -> str:
    """Remove terminal escapes and control characters, which the tail of a log may contain."""
    return CONTROL_CHARACTERS.sub("", ANSI.sub("", str(text)))


def milliseconds(value: float) -> str:
    """`0.85 ms`, `9.1 ms`, `312 ms`, `1.0 s`."""
    size = abs(value)
    if size >= 999.5:
        return seconds(value / 1000)
    if size >= 9.95 or value == 0:
        return f"{value:.0f} ms"
    return f"{value:.1f} ms" if size >= 0.995 else f"{value:.2f} ms"


def seconds(value: float) -> str:
    """`0 s`, `0.25 s`, `8.0 s`, `1,234.5 s`."""
    return f"{value:,.{0 if value == 0 else 1 if abs(value) >= 0.995 else 2}f} s"


def duration(value_s: float) -> str:
    """`50 ms`, `2 s`, `10 min`."""
    if value_s >= 120:
        return f"{value_s / 60:g} min"
    return f"{value_s:g} s" if value_s >= 1 else f"{value_s * 1000:g} ms"


def number(value: float | None, decimals: int) -> str:
    """A count with a thousands separator; a dash for `None`."""
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def decimals_for(values: Sequence[float | None]) -> int:
    """The number of decimals for a column of figures: none if all are whole or large."""
    known = [value for value in values if value is not None]
    largest = max((abs(value) for value in known), default=0.0)
    if largest >= 1000 or all(float(value).is_integer() for value in known):
        return 0
    return 1 if largest >= 1 else 2


def figure(value: float | None, unit: str, decimals: int | None = None) -> str:
    """A value for a table's cell: times, shares and rates with their unit, counts without."""
    if value is None:
        return NOTHING
    if unit in TIMES:
        return TIMES[unit](value)
    text = number(value, decimals_for([value]) if decimals is None else decimals)
    return f"{text} %" if unit == "%" else f"{text}/s" if unit.endswith("/s") else text


TIMES = {"ms": milliseconds, "s": seconds}


def with_unit(value: float | None, unit: str) -> str:
    """A value with its unit: `12 queries`, `212 queries/s`, `3 of 3 answered`."""
    if value is None or unit in (*TIMES, "%", "/s"):
        return figure(value, unit)
    return f"{number(value, decimals_for([value]))} {unit}".strip()


def estimate(measure: Json, decimals: int | None = None) -> str:
    """The figure of a measure; `≥ 8.0 s` where its segment ended before it was known."""
    text = figure(measure["value"], measure["unit"], decimals)
    return f"≥ {text}" if measure["at_least"] and measure["value"] is not None else text


def ends(measure: Json) -> tuple[float | None, float | None]:
    """The ends of an interval, `None` where it has none: what is at least so much has no upper."""
    return measure["low"], None if measure["at_least"] else measure["high"]


def interval(measure: Json, decimals: int | None = None) -> str:
    """`[28.9, 33.8]`, `[96, 118 ms]`: a dash for an unknown end, nothing if exact."""
    exact = measure["interval"] in FACTS and measure["low"] == measure["high"]
    if measure["value"] is None or ends(measure) == (None, None) or exact:
        return ""
    low, high = (figure(end, measure["unit"], decimals) for end in ends(measure))
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0].removesuffix("/s")
    return f"[{low}, {high}]"


def headline_decimals(result: Json) -> int:
    """The number of decimals of the headline's figures and their intervals."""
    measures = [arm["measures"][result["headline"]] for arm in result["arms"]]
    return decimals_for([m[part] for m in measures for part in ("value", "low", "high")])


def theory(measure: Json) -> str:
    """The predicted value of a measure: `33.0`, or `≤ 2` for a bound."""
    prediction = measure["prediction"]
    if not prediction or prediction["value"] is None:
        return NOTHING
    text = figure(prediction["value"], measure["unit"])
    return f"≤ {text}" if prediction["bound"] else text


def has_theory(result: Json) -> bool:
    """True if theory predicts the headline of an arm."""
    return any(arm["measures"][result["headline"]]["prediction"] for arm in result["arms"])


def costs(arm: Json) -> list[str]:
    """The costs of an arm beyond the naive one: `none`, or a dash if unknown."""
    if arm["cost"] is None or not any(measure["samples"] for measure in arm["measures"].values()):
        return [NOTHING]
    return [_cost(cost) for cost in arm["cost"]] or ["none"]


def _cost(cost: Json) -> str:
    title, unit = cost["title"], cost["unit"]
    extra = figure(cost["extra"], unit)
    named = extra.endswith(("s", "%")) or unit in title.split()
    return f"+{extra} {title}" if named else f"+{extra} {unit} {title}"


def arm_verdict(arm: Json) -> str:
    """`shown` for the PASS of a naive arm, which means that it showed the failure."""
    return "shown" if arm["naive"] and arm["verdict"] == "PASS" else str(arm["verdict"])


def is_unproven(result: Json, verdict: str) -> bool:
    """True for a verdict on an arm or a claim of a run that proves nothing."""
    return result["verdict"] == "INVALID" and verdict != "INVALID"


def inputs(result: Json) -> list[str]:
    """The known figures that theory starts from: `λ 212/s`, `δ 121 ms`."""
    return [_input(i) for i in result["inputs"] if i["value"] is not None]


def _input(known: Json) -> str:
    value, unit = known["value"], known["unit"]
    whole = abs(value) >= 100 and unit not in TIMES
    return f"{known['symbol']} {with_unit(round(value) if whole else value, unit)}"


def scope(result: Json) -> str:
    """Runtime, length and seed: `embedded · quick: 8 segments an arm · seed 7`."""
    length = f"{result['mode']}: {events(result)}" if result["arms"] else result["mode"]
    return f"{result['runtime']} · {length} · seed {result['seed']}"


def events(result: Json) -> str:
    """The number of the experiment's events in each arm."""
    counts = [len(arm["events_s"]) for arm in result["arms"]]
    few, many = min(counts), max(counts)
    noun = result["event"]["noun" if many == 1 else "plural"]
    return f"{few:,} {noun} an arm" if few == many else f"{few:,} to {many:,} {noun} an arm"


def load(generator: Json) -> str:
    """The generator's own figures; a check says if late requests decide a claim."""
    if not generator["offered"]:
        return "no segment finished"
    unsent = f"{generator['unsent']:,} unsent" if generator["unsent"] else "all sent"
    parts = [f"{generator['offered']:,} offered", unsent, f"{generator['late']:,} late"]
    if generator["lag_p99_ms"] is not None:
        parts.append(f"dispatch lag p99 {milliseconds(generator['lag_p99_ms'])}")
    return " · ".join(parts)
