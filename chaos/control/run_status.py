"""What a run tells of itself while it goes, checked as it comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from chaos.control.refusal import RequestRefused


@dataclass(frozen=True)
class RunStatus:
    """Which run it is, what it is at, its faults in force, and its load generator's figures."""

    run: str
    experiment: str
    what: str
    faults: Sequence[Mapping[str, str]]  # name, since
    metrics: str


def bulletin(said: Mapping[str, Any]) -> RunStatus:
    """A bulletin from JSON.

    Raises:
        Refused: it is not one, or Prometheus could not read its figures.
    """
    try:
        faults = [{"name": _text(f, "name"), "since": _text(f, "since")} for f in said["faults"]]
        run, experiment, what, metrics = (
            _text(said, name) for name in ("run", "experiment", "what", "metrics")
        )
    except (KeyError, TypeError) as lacking:
        why = f"a bulletin has run, experiment, what, faults and metrics: {lacking}"
        raise RequestRefused(HTTPStatus.BAD_REQUEST, why) from lacking
    try:
        list(text_string_to_metric_families(metrics))
    except ValueError as wrong:
        why = f"the figures are not in Prometheus's text format: {wrong}"
        raise RequestRefused(HTTPStatus.BAD_REQUEST, why) from wrong
    return RunStatus(run, experiment, what, faults, metrics)


def _text(said: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := said[name], str):
        raise TypeError(f"{name} must be text, not {value!r}")
    return value
