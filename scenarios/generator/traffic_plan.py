"""Validation of traffic from the engine's JSON or from the form."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, conlist, create_model

from chaos.model.plan import traffic_plan
from chaos.model.traffic import Curve, Retries, Step, Traffic, Visit

CURVES: tuple[str, ...] = get_args(Curve)
MAX_KEYS = 100_000
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

_BOUNDS: dict[str, Any] = {
    **{name: {"gt": 0.0} for name in ("rate_per_s", "tau_s", "timeout_s")},
    **{name: {"ge": 0.0} for name in ("step_at_s", "rise_s", "zipf_alpha")},
    "hot_share": {"ge": 0.0, "le": 1.0},
    "keys": {"ge": 1, "le": MAX_KEYS},
    **{name: {"ge": 0.0} for name in ("after_s", "pause_s", "budget")},
    "weight": {"gt": 0.0},
    "tries": {"ge": 1, "le": 100},
}


def _model(noun: type, **types: Any) -> Any:
    """A strict model with the fields, defaults and bounds of a dataclass."""
    hints = get_type_hints(noun) | types
    columns: dict[str, Any] = {}
    for field in fields(noun):
        default = ... if field.default is MISSING else field.default
        columns[field.name] = hints[field.name], Field(default, **_BOUNDS.get(field.name, {}))
    return create_model(noun.__name__, __config__=STRICT, **columns)


_STEP, _RETRIES = _model(Step), _model(Retries)
_VISIT = _model(Visit, steps=conlist(_STEP, min_length=1))
_FIELDS = _model(Traffic, visits=conlist(_VISIT, min_length=1), retries=_RETRIES)


def from_fields(given: object) -> Traffic:
    """Traffic from a JSON object; a `ValueError` names the wrong fields."""
    try:
        values = _FIELDS.model_validate(given).model_dump(warnings=False)
    except ValidationError as error:
        raise ValueError(messages(error)) from None
    traffic = Traffic(
        **values
        | {"visits": tuple(map(_visit, values["visits"])), "retries": _retries(values["retries"])}
    )
    for visit in traffic.visits:
        if visit.own_link != (visit.steps[0].operation == "create"):
            raise ValueError(f"visits: {visit.name} creates its own link first, or none at all")
    if traffic.curve != "steady" and (traffic.peak_per_s or 0.0) < traffic.rate_per_s:
        raise ValueError(f"peak_per_s: input should be at least {traffic.rate_per_s:g}")
    return traffic


def _visit(given: Any) -> Visit:
    if isinstance(given, Visit):  # the default
        return given
    steps = tuple(Step(**step) for step in given["steps"])
    return Visit(**{**given, "steps": steps})


def _retries(given: Any) -> Retries:
    return given if isinstance(given, Retries) else Retries(**given)


def checked(traffic: Traffic) -> Traffic:
    """The same traffic, if every figure is valid; else a `ValueError`."""
    return from_fields(traffic_plan(traffic))


def messages(error: ValidationError) -> str:
    """All errors in one line: `keys: input should be greater than or equal to 1`."""
    return "; ".join(
        ": ".join([*map(str, each["loc"]), _message(each["msg"])]) for each in error.errors()
    )


def _message(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
