"""Validation of traffic from the engine's JSON or from the form."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from chaos.model.experiment import Curve, Traffic

CURVES: tuple[str, ...] = get_args(Curve)
MAX_KEYS = 100_000
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

_BOUNDS: dict[str, Any] = {
    **{name: {"gt": 0.0} for name in ("rate_per_s", "tau_s", "timeout_s")},
    **{name: {"ge": 0.0} for name in ("step_at_s", "rise_s", "zipf_alpha")},
    "hot_share": {"ge": 0.0, "le": 1.0},
    "keys": {"ge": 1, "le": MAX_KEYS},
}


def _model() -> type[BaseModel]:
    types = get_type_hints(Traffic)
    columns: dict[str, Any] = {}
    for field in fields(Traffic):
        default = ... if field.default is MISSING else field.default
        columns[field.name] = types[field.name], Field(default, **_BOUNDS.get(field.name, {}))
    return create_model("Traffic", __config__=STRICT, **columns)


_FIELDS = _model()


def from_fields(given: object) -> Traffic:
    """Traffic from a JSON object; a `ValueError` names the wrong fields."""
    try:
        traffic = Traffic(**_FIELDS.model_validate(given).model_dump())
    except ValidationError as error:
        raise ValueError(messages(error)) from None
    if traffic.curve != "steady" and (traffic.peak_per_s or 0.0) < traffic.rate_per_s:
        raise ValueError(f"peak_per_s: input should be at least {traffic.rate_per_s:g}")
    return traffic


def checked(traffic: Traffic) -> Traffic:
    """The same traffic, if every figure is valid; else a `ValueError`."""
    return from_fields(asdict(traffic))


def messages(error: ValidationError) -> str:
    """All errors in one line: `keys: input should be greater than or equal to 1`."""
    return "; ".join(
        ": ".join([*map(str, each["loc"]), _message(each["msg"])]) for each in error.errors()
    )


def _message(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
