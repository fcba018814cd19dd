"""A result as the JSON that users and tools read; `docs/result.schema.json` documents it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.measures.expiries import expiries
from chaos.model.evidence import ArmResult, Estimate, Evidence, Result
from chaos.model.experiment import Experiment, Measure

SCHEMA_VERSION = 1


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
        "repetition": experiment.repetition,
        "headline": experiment.headline,
        "inputs": _inputs(naive, evidence),
        "arms": [_arm(arm, experiment, evidence, naive) for arm in result.arms],
        "claims": [asdict(claim) for claim in result.claims],
        "checks": [asdict(check) for check in result.checks],
        "faults": [asdict(fault) | {"proven": fault.proven} for fault in result.faults],
        "generator": asdict(result.generator),
        "clicks": result.clicks and asdict(result.clicks),
        "duration_s": _duration_s(evidence),
        "run_dir": str(run_dir),
        "command": plan["command"],
        "provenance": {name: plan[name] for name in ("began", "commit", "machine", "linkstorm")},
    }
    return {name: _finite(value) for name, value in document.items()}


def _inputs(naive: ArmResult | None, evidence: Evidence) -> dict[str, float]:
    processes = max((segment.web_processes for segment in evidence.segments), default=0)
    return {**(naive.inputs if naive else {}), "web_processes": processes}


def _arm(
    arm: ArmResult, experiment: Experiment, evidence: Evidence, naive: ArmResult | None
) -> dict[str, Any]:
    own = [segment for segment in evidence.segments if segment.arm == arm.name]
    return {
        "name": arm.name,
        "naive": arm.naive,
        "verdict": arm.verdict,
        "settings": evidence.plan["arms"][arm.name],
        "inputs": dict(arm.inputs),
        "measures": {m.name: _measure(m, arm) for m in experiment.measures},
        "cost": _cost(arm, naive, experiment),
        "repetitions_s": [expiry.began_s for segment in own for expiry in expiries(segment)],
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
        for measure in experiment.measures
        if measure.name in experiment.costs
        and _apart(arm.measures[measure.name], naive.measures[measure.name])
    ]


def _apart(own: Estimate, other: Estimate) -> bool:
    return own.known and other.known and own.low > other.high


def _duration_s(evidence: Evidence) -> float | None:
    ends: Sequence[float] = [segment.ended_s for segment in evidence.segments]
    return max(ends) - float(evidence.plan["began_s"]) if ends else None


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by `null`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
