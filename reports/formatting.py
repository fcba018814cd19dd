"""Text for figures: a value with its unit, an interval, a cost, a verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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
        return f"{value / 1000:,.1f} s"
    if size >= 9.95 or value == 0:
        return f"{value:.0f} ms"
    return f"{value:.1f} ms" if size >= 0.995 else f"{value:.2f} ms"


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
    """A value for a table's cell: times with their unit, counts without, as the heading has it."""
    if value is None:
        return NOTHING
    if unit == "ms":
        return milliseconds(value)
    return number(value, decimals_for([value]) if decimals is None else decimals)


def with_unit(value: float | None, unit: str) -> str:
    """A value with its unit."""
    text = figure(value, unit)
    return text if unit == "ms" or value is None else f"{text} {unit}"


def interval(measure: Json, decimals: int | None = None) -> str:
    """`[28.9, 33.8]`, `[96, 118 ms]`: a dash for an unknown end, nothing if exact."""
    ends = [measure["low"], measure["high"]]
    exact = measure["interval"] == "range" and ends[0] == ends[1]
    if measure["value"] is None or ends == [None, None] or exact:
        return ""
    low, high = (figure(end, measure["unit"], decimals) for end in ends)
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0]
    return f"[{low}, {high}]"


def theory(measure: Json) -> str:
    """The predicted value of a measure: `33.0`, or `≤ 2` for a bound."""
    prediction = measure["prediction"]
    if not prediction or prediction["value"] is None:
        return NOTHING
    text = figure(prediction["value"], measure["unit"])
    return f"≤ {text}" if prediction["bound"] else text


def costs(arm: Json) -> list[str]:
    """The costs of an arm beyond the naive one: `none`, or a dash if unknown."""
    if arm["cost"] is None or not any(measure["samples"] for measure in arm["measures"].values()):
        return [NOTHING]
    return [_cost(cost) for cost in arm["cost"]] or ["none"]


def _cost(cost: Json) -> str:
    title, unit = cost["title"], cost["unit"]
    extra = figure(cost["extra"], unit)
    named = unit == "ms" or unit in title.split()
    return f"+{extra} {title}" if named else f"+{extra} {unit} {title}"


def arm_verdict(arm: Json) -> str:
    """`shown` for the PASS of a naive arm, which means that it showed the failure."""
    return "shown" if arm["naive"] and arm["verdict"] == "PASS" else str(arm["verdict"])


def is_unproven(result: Json, verdict: str) -> bool:
    """True for a verdict on an arm or a claim of a run that proves nothing."""
    return result["verdict"] == "INVALID" and verdict != "INVALID"


def inputs(result: Json) -> list[str]:
    """The known inputs of the predictions: `hot key λ 212/s` and so on."""
    known = {name: value for name, value in result["inputs"].items() if value is not None}
    texts = {
        "lambda_per_s": lambda value: f"hot key λ {value:.0f}/s",
        "delta_ms": lambda value: f"origin δ {milliseconds(value)}",
        "lambda_delta": lambda value: f"λδ {value:.1f}",
        "web_processes": lambda value: f"{value:.0f} web processes",
    }
    return [
        texts[name](value) if name in texts else f"{name} {value:g}"
        for name, value in known.items()
        if value or name != "web_processes"
    ]


def scope(result: Json) -> str:
    """Runtime, length and seed: `embedded · quick: 8 expiries an arm · seed 7`."""
    length = f"{result['mode']}: {repetitions(result)}" if result["arms"] else result["mode"]
    return f"{result['runtime']} · {length} · seed {result['seed']}"


def repetitions(result: Json) -> str:
    """The repetitions of the failure in each arm, by the headline's samples."""
    counts = [arm["measures"][result["headline"]]["samples"] for arm in result["arms"]]
    few, many = min(counts), max(counts)
    noun = result["repetition"] if many == 1 else plural(result["repetition"])
    return f"{few:,} {noun} an arm" if few == many else f"{few:,} to {many:,} {noun} an arm"


def plural(noun: str) -> str:
    """`expiry` → `expiries`, `kill` → `kills`."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def load(generator: Json) -> str:
    """The generator's own figures; a run with late requests proves nothing."""
    if not generator["offered"]:
        return "no segment finished"
    unsent = f"{generator['unsent']:,} unsent" if generator["unsent"] else "all sent"
    parts = [f"{generator['offered']:,} offered", unsent, f"{generator['late']:,} late"]
    if generator["lag_p99_ms"] is not None:
        parts.append(f"dispatch lag p99 {milliseconds(generator['lag_p99_ms'])}")
    return " · ".join(parts)


def clicks(result: Json) -> str:
    """Clicks as read back from the primary after the drain."""
    seen = result["clicks"]
    if seen is None:
        return "nothing was read back"
    names = ("acknowledged", "lost", "duplicated", "unexpected")
    text = " · ".join(f"{seen[name]:,} {name}" for name in names)
    return f"{text} · totals off by {seen['miscounted']:,}" if seen["miscounted"] else text
