"""Rate curves: the arrival rate in requests a second, as a function of time.

The viral decay is the response of an audience to a sudden burst (Crane and Sornette, PNAS 2008):
views fall as a power law with exponent 1.4. From its start, half of the views that the burst will
ever bring have come after (2^2.5 - 1) * tau = 4.66 tau. `docs/traffic.md` has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chaos.model.evidence import Floats
from chaos.model.traffic import Traffic

VIRAL_DECAY = 1.4
ENDLESS_RAMP_S = 60.0

Rate = Callable[[Floats], Floats]


def rate_of(traffic: Traffic, duration_s: float) -> Rate:
    """Requests a second at each of the given seconds since the start.

    A ramp takes `duration_s`, or the first minute of a run without an end, then holds the peak.
    """
    base = traffic.rate_per_s
    peak = peak_of(traffic)
    if traffic.curve == "ramp":
        climb_s = duration_s if math.isfinite(duration_s) else ENDLESS_RAMP_S
        return lambda t: np.minimum(base + (peak - base) * t / climb_s, peak)
    if traffic.curve == "step":
        return lambda t: np.where(t < traffic.step_at_s, base, peak)
    if traffic.curve == "viral":
        return lambda t: base + (peak - base) * _viral(t, traffic.rise_s, traffic.tau_s)
    return lambda t: np.full_like(t, base)


def peak_of(traffic: Traffic) -> float:
    """The highest rate that the curve reaches, in requests a second."""
    if traffic.curve == "steady" or traffic.peak_per_s is None:
        return traffic.rate_per_s
    return traffic.peak_per_s


def _viral(t: Floats, rise_s: float, tau_s: float) -> Floats:
    """From 0 to 1 within `rise_s`, then (1 + t/tau_s)^-1.4 from there."""
    since_peak = np.maximum(t - rise_s, 0.0)
    decay: Floats = (1.0 + since_peak / tau_s) ** -VIRAL_DECAY
    return np.where(t < rise_s, t / rise_s, decay) if rise_s > 0 else decay
