"""report.html: one file that works offline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chaos.model.experiment import LATENCY, SEGMENT, Strip
from chaos.record.reader import DamagedRecord, read_events, read_json
from reports import formatting, ledgers
from reports.act_proof import act_proofs
from reports.caveats import caveats
from reports.formatting import Json
from reports.palette import DARK, LIGHT, properties
from reports.picture import picture
from reports.reasons import MEANING, NOT_ASKED, advice, reasons, undecided
from reports.run_history import RunHistory, Thinning, read_history
from reports.timeline_strips import marked_s
from reports.timelines import library, timelines

NARROW_PX = 350
INJECTIONS_MAX = 100


def write_report(run_dir: Path) -> Path:
    """Write a run's report beside its record; the page names what the record lacks.

    Raises:
        OSError: the file cannot be written.
    """
    result, problems = _result(run_dir)
    plan = _plan(run_dir)
    arms = dict.fromkeys(plan.get("arms", {}), ())
    repeats = result["event"]["noun"] != SEGMENT.noun  # a segment's beginning needs no mark
    arms |= {arm["name"]: arm["events_s"] if repeats else () for arm in result["arms"]}
    history = read_history(run_dir, arms, _strips(result))
    page = _render(result, plan, history, problems, _versions(run_dir))
    path = run_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


# --- reading -----------------------------------------------------------------------------------


def _result(run_dir: Path) -> tuple[Json, list[str]]:
    """The verdict, or an empty result if it is missing."""
    try:
        return read_json(run_dir / "verdict.json"), []
    except DamagedRecord as error:
        return _unjudged(run_dir), [f"The run has not been judged: {error}"]


def _plan(run_dir: Path) -> Mapping[str, Any]:
    try:
        return read_json(run_dir / "plan.json")
    except DamagedRecord:
        return {}


def _strips(result: Json) -> list[Strip]:
    return [Strip(**strip) for strip in result["strips"]]


def _versions(run_dir: Path) -> Mapping[str, str]:
    """Versions of the stack's parts, as read at their start."""
    try:
        events = read_events(run_dir)
    except DamagedRecord:
        return {}
    return next((event["versions"] for event in events if event["kind"] == "up"), {})


def _unjudged(run_dir: Path) -> Json:
    plan = _plan(run_dir)
    unknown = ("offered", "sent", "late", "unsent")
    return {
        "experiment": plan.get("experiment", run_dir.name),
        "question": plan.get("question", ""),
        "verdict": "INVALID",
        "trouble": None,
        "runtime": plan.get("runtime", formatting.NOTHING),
        "mode": plan.get("mode", {}).get("name", formatting.NOTHING),
        "seed": plan.get("seed", formatting.NOTHING),
        "event": {"noun": SEGMENT.noun, "plural": SEGMENT.plural},
        "headline": "",
        "generator": {**dict.fromkeys(unknown, 0), "lag_p50_ms": None, "lag_p99_ms": None},
        "command": plan.get("command", ""),
        "run_dir": str(run_dir),
        "provenance": {name: plan.get(name) for name in ("began", "commit", "linkstorm")}
        | {"machine": plan.get("machine", {})},
        **{name: [] for name in ("arms", "claims", "checks", "not_asked", "acts", "inputs")},
        "strips": [asdict(LATENCY)],
        "duration_s": None,
    }


# --- rendering ---------------------------------------------------------------------------------


def _render(
    result: Json,
    plan: Mapping[str, Any],
    history: RunHistory,
    problems: Sequence[str],
    versions: Mapping[str, str],
) -> str:
    naive = next((arm["name"] for arm in result["arms"] if arm["naive"]), None)
    lines = timelines(history, _strips(result), naive)
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(formatting=formatting, clean=formatting.clean)
    return environment.get_template("page.html").render(
        result=result,
        plan=plan,
        versions=versions,
        light=properties(LIGHT),
        dark=properties(DARK),
        meaning=MEANING[result["verdict"]],
        answer=_answer(result),
        problems=[*problems, *(f"The record lacks {name}." for name in history.missing)],
        reasons=reasons(result),
        advice=advice(result),
        undecided=undecided(result),
        wide=_svg(result),
        narrow=_svg(result, NARROW_PX),
        has_theory=formatting.has_theory(result),
        titles=_titles(result),
        decimals=_decimals(result),
        proofs=act_proofs(result),
        ledgers=ledgers,
        not_asked=NOT_ASKED,
        censored=any(arm["measures"][result["headline"]]["at_least"] for arm in result["arms"]),
        caveats=caveats(result, plan),
        lines=lines,
        naive=naive,
        drawn=_drawn(history, result),
        injections=_injections(result),
        script=Markup(lines.script) if lines else "",
        library=Markup(library()) if lines else "",
        settings=_settings(result),
    )


def _svg(result: Json, *width: int) -> Markup:
    """The picture, with its texts escaped; nothing without arms."""
    return Markup(picture(result, *width, titled=False)) if result["arms"] else Markup("")


def _answer(result: Json) -> str:
    """The headline in a sentence, unless the run is INVALID: then it has no answer."""
    measures = [(arm, arm["measures"][result["headline"]]) for arm in result["arms"]]
    known = [(arm, measure) for arm, measure in measures if measure["value"] is not None]
    naive = [measure for arm, measure in known if arm["naive"]]
    others = [measure for arm, measure in known if not arm["naive"]]
    if result["verdict"] == "INVALID" or not naive or not others:
        return ""
    decimals = formatting.headline_decimals(result)
    low, high = (
        formatting.estimate(edge(others, key=lambda m: m["value"]), decimals) for edge in (min, max)
    )
    fixed = low if low == high else f"{low} to {high}"
    return (
        f"{formatting.estimate(naive[0], decimals)} {naive[0]['title']} without a fix, {fixed} with"
        " one."
    )


def _titles(result: Json) -> list[tuple[str, str, str]]:
    """Name, title and unit of each measure, the headline first."""
    if not result["arms"]:
        return []
    measures = result["arms"][0]["measures"]
    names = sorted(measures, key=lambda name: name != result["headline"])
    return [(name, measures[name]["title"], measures[name]["unit"]) for name in names]


def _decimals(result: Json) -> dict[str, int]:
    """The number of decimals of each measure's column."""
    decimals = {
        name: formatting.decimals_for([arm["measures"][name]["value"] for arm in result["arms"]])
        for name, _, _ in _titles(result)
    }
    return {**decimals, result["headline"]: formatting.headline_decimals(result)}


def _drawn(history: RunHistory, result: Json) -> str:
    """The caption of the timelines."""
    length = formatting.duration(history.bins.percentile_s)
    said = []
    if history.thinning:
        said.append(
            "Lines over the points: the median (p50) and the 99th percentile (p99) of each"
            f" {length}."
        )
    if any(own.events_s for own in history.arms.values()):
        until_s = marked_s(history)
        where = f" of the first {formatting.duration(until_s)}" if math.isfinite(until_s) else ""
        said.append(f"Dotted: the {result['event']['plural']}{where}.")
    return " ".join([*said, *_thinned(history, _strips(result))])


def _thinned(history: RunHistory, strips: Sequence[Strip]) -> Iterator[str]:
    """The requests that are drawn, of each link or of all."""
    names = {strip.rank: strip.of for strip in strips if strip.source == "requests"}
    for rank, thinning in history.thinning.items():
        which = "requests" if rank is None else f"requests for {names[rank]}"
        yield _thinning(thinning, which)
    if any(thinning.every > 1 for thinning in history.thinning.values()):
        yield "Rates, percentiles and look-ups count every request."


def _thinning(thinning: Thinning, requests: str) -> str:
    """The share of the requests that is drawn."""
    if thinning.every == 1:
        return f"All {thinning.requests:,} {requests} are drawn."
    which = [f"one in {thinning.every:,}"]
    if thinning.opening_s:
        which.insert(0, f"all of an arm's first {formatting.duration(thinning.opening_s)}")
    if thinning.failed:
        share = f"one in {thinning.every_failed:,}" if thinning.every_failed > 1 else "each"
        which.append(f"{share} of the {thinning.failed:,} that did not succeed")
    return (
        f"Of {thinning.requests:,} {requests} {thinning.drawn:,} are drawn: {', '.join(which)},"
        f" and the slowest and the oldest of each {formatting.duration(thinning.extremes_s)} of an"
        " arm."
    )


def _injections(result: Json) -> Sequence[Json]:
    """Injections, the unproven ones first; at most as many as a reader would read."""
    return sorted(result["acts"], key=lambda act: bool(act["proven"]))[:INJECTIONS_MAX]


def _settings(result: Json) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Settings that all arms share, and for each arm those that differ."""
    every = [arm["settings"] for arm in result["arms"]]
    shared = {
        name: value
        for name, value in (every[0] if every else {}).items()
        if all(settings.get(name) == value for settings in every)
    }
    own = {
        arm["name"]: {n: v for n, v in arm["settings"].items() if n not in shared}
        for arm in result["arms"]
    }
    return shared, own
