"""Validation of traffic from the engine's JSON or from the form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from chaos.model.traffic import Curve, Retries, Step, Traffic, Visit

CURVES: tuple[str, ...] = get_args(Curve)
MAX_KEYS = 100_000
MAX_TRIES = 100
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

_BOUNDS: dict[type, dict[str, Any]] = {
    Traffic: {
        **{name: {"gt": 0.0} for name in ("rate_per_s", "tau_s", "timeout_s")},
        **{name: {"ge": 0.0} for name in ("step_at_s", "rise_s", "zipf_alpha")},
        "hot_share": {"ge": 0.0, "le": 1.0},
        "keys": {"ge": 1, "le": MAX_KEYS},
    },
    Visit: {"weight": {"gt": 0.0}},
    Step: {"after_s": {"ge": 0.0}},
    Retries: {
        "tries": {"ge": 1, "le": MAX_TRIES},
        "pause_s": {"ge": 0.0},
        "budget": {"ge": 0.0},
    },
}


def _model(of: type[Any], **parts: Any) -> type[BaseModel]:
    """The fields of a dataclass within their bounds; `parts` are its fields of other models."""
    types = get_type_hints(of) | parts
    columns: dict[str, Any] = {}
    for field in fields(of):
        default = ... if field.default is MISSING else field.default
        columns[field.name] = types[field.name], Field(default, **_BOUNDS[of].get(field.name, {}))
    return create_model(of.__name__, __config__=STRICT, **columns)


def _several(of: type[BaseModel]) -> Any:
    """A tuple, or a list, which is what JSON has."""
    return Annotated[tuple[of, ...], Field(strict=False)]  # type: ignore[valid-type]


_FIELDS = _model(
    Traffic,
    visits=_several(_model(Visit, steps=_several(_model(Step)))),
    retries=_model(Retries),
)


def from_fields(given: object) -> Traffic:
    """Traffic from a JSON object; a `ValueError` names the wrong fields."""
    try:
        traffic = _traffic(_FIELDS.model_validate(given).model_dump(exclude_unset=True))
    except ValidationError as error:
        raise ValueError(messages(error)) from None
    if traffic.curve != "steady" and (traffic.peak_per_s or 0.0) < traffic.rate_per_s:
        raise ValueError(f"peak_per_s: input should be at least {traffic.rate_per_s:g}")
    if not traffic.visits:
        raise ValueError("visits: there should be at least one")
    for number, visit in enumerate(traffic.visits):
        if wrong := _wrong_steps(visit):
            raise ValueError(f"visits: {number}: steps: {wrong}")
    return traffic


def _traffic(given: dict[str, Any]) -> Traffic:
    parts: dict[str, Any] = {}
    if "visits" in given:
        parts["visits"] = tuple(_visit(**visit) for visit in given["visits"])
    if "retries" in given:
        parts["retries"] = Retries(**given["retries"])
    return Traffic(**given | parts)


def _visit(steps: Iterable[Any], **figures: Any) -> Visit:
    return Visit(**figures, steps=tuple(Step(**step) for step in steps))


def _wrong_steps(visit: Visit) -> str:
    """What a visit cannot do; empty if it can be sent."""
    if not visit.steps:
        return "there should be at least one"
    first, *later = visit.steps
    if first.after_s:
        return "the first is due when the visit arrives, so its after_s should be 0"
    if visit.own_link and first.operation != "create":
        return "a visit to a link of its own should create it first"
    if first.operation == "create" and not visit.own_link:
        return "a visit to a shared link should not create it"
    if any(step.operation == "create" for step in later):
        return "only the first should create"
    return ""


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
