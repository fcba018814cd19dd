"""Validation of traffic from the engine's JSON or from the form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from chaos.model.experiment import Curve, Traffic

CURVES: tuple[str, ...] = get_args(Curve)
MAX_KEYS = 100_000

_NAMES = frozenset(field.name for field in fields(Traffic))
_POSITIVE = ("rate_per_s", "tau_s", "timeout_s")
_NOT_NEGATIVE = ("step_at_s", "rise_s", "zipf_alpha")


def from_fields(given: Mapping[str, Any]) -> Traffic:
    """Traffic from a JSON object; a `ValueError` says which field is wrong."""
    if unknown := sorted(set(given) - _NAMES):
        raise ValueError(f"unknown traffic field: {', '.join(unknown)}")
    if "rate_per_s" not in given:
        raise ValueError("traffic needs rate_per_s")
    return checked(Traffic(**given))


def checked(traffic: Traffic) -> Traffic:
    """The same traffic, if every figure in it makes sense; else a `ValueError`."""
    for name in _POSITIVE:
        _require(name, getattr(traffic, name), above=0.0)
    for name in _NOT_NEGATIVE:
        _require(name, getattr(traffic, name), least=0.0)
    _require("hot_share", traffic.hot_share, least=0.0, most=1.0)
    _require("keys", traffic.keys, least=1, most=MAX_KEYS)
    whole("keys", traffic.keys, least=1)
    if traffic.curve not in CURVES:
        raise ValueError(f"curve must be one of {', '.join(CURVES)}, not {traffic.curve!r}")
    if traffic.curve != "steady":
        _require("peak_per_s", traffic.peak_per_s, least=traffic.rate_per_s)
    return traffic


def number(name: str, value: Any, *, above: float = -math.inf) -> float:
    """A finite number greater than `above`; else a `ValueError` that names it."""
    _require(name, value, above=above)
    return float(value)


def whole(name: str, value: Any, *, least: int = 0) -> int:
    """A whole number, to its last digit; else a `ValueError` that names it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return value


def _require(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ValueError(f"{name} must be a number, not {value!r}")
    if not (above < value and least <= value <= most):
        bounds = [f"above {above:g}"] * math.isfinite(above)
        bounds += [f"at least {least:g}"] * math.isfinite(least)
        bounds += [f"at most {most:g}"] * math.isfinite(most)
        raise ValueError(f"{name} must be {' and '.join(bounds)}, not {value:g}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float comes near
        return False
