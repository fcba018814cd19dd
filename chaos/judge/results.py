"""A result as the JSON that users and tools read; `docs/result.schema.json` documents it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.model.evidence import ArmResult, Estimate, Evidence, Result
from chaos.model.experiment import Experiment, Input, Measure

SCHEMA_VERSION = 2


def as_json(
    result: Result, experiment: Experiment, evidence: Evidence, run_dir: Path
) -> dict[str, Any]:
    """The result as a JSON document, with `null` where there is no figure."""
    plan = evidence.plan
    naive = next((arm for arm in result.arms if arm.naive), None)
    document = {
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment.name,
        "question": experiment.question,
        "verdict": result.verdict,
        "trouble": result.trouble,
        "runtime": plan["runtime"],
        "mode": evidence.mode.name,
        "seed": plan["seed"],
        "event": {"noun": experiment.event.noun, "plural": experiment.event.plural},
        "headline": experiment.headline.name,
        "inputs": [_input(figure, naive) for figure in experiment.inputs],
        "arms": [_arm(arm, result, experiment, evidence, naive) for arm in result.arms],
        "claims": [asdict(claim) for claim in result.claims],
        "checks": [asdict(check) for check in result.checks],
        "not_asked": list(result.not_asked),
        "acts": [asdict(act) | {"proven": act.proven} for act in result.acts],
        "generator": asdict(result.generator),
        "strips": [asdict(strip) for strip in experiment.strips],
        "duration_s": _duration_s(evidence),
        "run_dir": str(run_dir),
        "command": plan["command"],
        "provenance": {name: plan[name] for name in ("began", "commit", "machine", "linkstorm")},
    }
    return {name: finite(value) for name, value in document.items()}


def _input(figure: Input, naive: ArmResult | None) -> dict[str, Any]:
    """A figure that theory starts from, as measured in the naive arm."""
    value = naive.inputs[figure.name] if naive else math.nan
    return {"name": figure.name, "symbol": figure.symbol, "unit": figure.unit, "value": value}


def _arm(
    arm: ArmResult,
    result: Result,
    experiment: Experiment,
    evidence: Evidence,
    naive: ArmResult | None,
) -> dict[str, Any]:
    own = [segment for segment in evidence.segments if segment.arm == arm.name]
    plan = evidence.plan["arms"][arm.name]
    return {
        "name": arm.name,
        "naive": arm.naive,
        "verdict": arm.verdict,
        "settings": plan["settings"],
        "inputs": dict(arm.inputs),
        "measures": {m.name: _measure(m, arm) for m in experiment.measures},
        "cost": _cost(arm, naive, experiment),
        "ledgers": {kind: asdict(ledger) for kind, ledger in result.ledgers[arm.name].items()},
        "shared_links": plan["traffic"]["keys"] * len(own),
        "events_s": [float(t_s) for segment in own for t_s in experiment.event.of(segment)],
    }


def _measure(measure: Measure, arm: ArmResult) -> dict[str, Any]:
    estimate, predicted = arm.measures[measure.name], arm.predictions.get(measure.name)
    return {
        "title": measure.title,
        "unit": measure.unit,
        **asdict(estimate),
        "predicted": predicted.value if predicted else None,
        "prediction": asdict(predicted) if predicted else None,
    }


def _cost(
    arm: ArmResult, naive: ArmResult | None, experiment: Experiment
) -> list[dict[str, Any]] | None:
    """Extra cost over the naive arm, of the measures whose intervals do not overlap."""
    if naive is None or arm.naive:
        return None
    return [
        {
            "measure": measure.name,
            "title": measure.title,
            "unit": measure.unit,
            "extra": arm.measures[measure.name].value - naive.measures[measure.name].value,
        }
        for measure in experiment.costs
        if _apart(arm.measures[measure.name], naive.measures[measure.name])
    ]


def _apart(own: Estimate, other: Estimate) -> bool:
    return own.known and other.known and own.low > other.high


def _duration_s(evidence: Evidence) -> float | None:
    ends: Sequence[float] = [segment.ended_s for segment in evidence.segments]
    return max(ends) - float(evidence.plan["began_s"]) if ends else None


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by `null`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
